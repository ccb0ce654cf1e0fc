import ArgumentParser
import CoppiceCompression
import CoppiceModels

/// `coppice compress`: makes a model smaller by a recipe.
struct Compress: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Make a model smaller by a recipe.")

    @OptionGroup var model: ModelArgument
    @Option(help: ArgumentHelp("The recipe, a YAML file (see docs/recipes.md).", valueName: "file"))
    var recipe: String
    @Option(help: ArgumentHelp("The folder to write.", valueName: "folder"))
    var output: String
    @Option(
        help: ArgumentHelp(
            "Text for methods that need activations (default: the sample tales that come with the program).",
            valueName: "file"))
    var calibration: String?
    @Option(help: ArgumentHelp("Text to measure perplexity on, before and after.", valueName: "file"))
    var evaluate: String?
    @Flag(help: "Do not measure perplexity.")
    var skipEvaluation = false
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        PendingOutput.removeOnTermination()
        let progress = common.progress
        let recipe = try Recipe.load(recipe)
        let checkpoint = try Checkpoint.open(model.path)
        let compressor = try Compressor(checkpoint, recipe: recipe)
        var tokens: CalibrationTokens?
        if recipe.needsCalibration {
            let file = try calibration ?? BuiltInModel.sampleText
            tokens = CalibrationTokens(
                try checkpoint.tokenizer().encode(TextFile.read(file), addingSpecialTokens: false), source: file)
        }
        let report = try compressor.run(output: output, calibration: tokens, progress: progress)
        var perplexities: (before: Double, after: Double)?
        if !skipEvaluation {
            let before = try Evaluate.measure(path: model.path, text: evaluate, progress: progress).result
            let after = try Evaluate.measure(path: output, text: evaluate, progress: progress).result
            perplexities = (before.perplexity, after.perplexity)
        }
        if common.json {
            try Output.json(
                .object([
                    "output": .string(output), "recipe": .string(recipe.source), "recipe_sha256": .string(recipe.hash),
                    "bytes_before": .integer(report.totals.bytesBefore), "bytes_after": .integer(report.totals.bytes),
                    "bits_per_weight": .number(report.totals.bitsPerWeight),
                    "sparsity": .number(report.totals.sparsity),
                    "perplexity_before": perplexities.map { .number($0.before) } ?? .null,
                    "perplexity_after": perplexities.map { .number($0.after) } ?? .null,
                    "warnings": .array(report.warnings.map { .string($0) }),
                ]))
        } else {
            try Output.line(
                "\(output): \(Output.bytes(report.totals.bytesBefore)) → \(Output.bytes(report.totals.bytes)), "
                    + "\(Output.number(report.totals.bitsPerWeight)) bits a weight, "
                    + "\(Output.number(report.totals.sparsity * 100, digits: 1)) % zeros")
            for warning in report.warnings { try Output.line("warning: \(warning)") }
            if let perplexities {
                try Output.line(
                    "perplexity \(Output.number(perplexities.before, digits: 3)) → "
                        + Output.number(perplexities.after, digits: 3))
            }
        }
    }
}
