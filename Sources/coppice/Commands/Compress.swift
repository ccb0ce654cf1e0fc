import ArgumentParser
import CoppiceCompression
import CoppiceModels
import CoppiceTensors
import Foundation

/// `coppice compress`: makes a model smaller by a recipe.
struct Compress: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make a model smaller by a recipe.",
        discussion: """
            Language models and encoders need a text for some methods (--calibration), vision networks images (--data). \
            An encoder (BERT, RoBERTa) stays a folder that transformers loads, with zeros in its weights. With several \
            sparsities every one is tried: the folder then holds a model for each and a figure of what they cost.
            """)

    @OptionGroup var model: ModelArgument
    @Option(help: ArgumentHelp("The recipe, a YAML file (see docs/recipes.md).", valueName: "file"))
    var recipe: String
    @Option(help: ArgumentHelp("The folder to write.", valueName: "folder"))
    var output: String
    @Option(
        help: ArgumentHelp(
            "Text for what methods look at and train on (default: the sample tales that come with the program).",
            valueName: "file"))
    var calibration: String?
    @Option(help: ArgumentHelp("Text to measure perplexity on, before and after.", valueName: "file"))
    var evaluate: String?
    @Option(
        help: ArgumentHelp(
            "Images of a vision network: what methods learn from and accuracy is measured on.", valueName: "folder"))
    var data: String?
    @Option(
        help: ArgumentHelp(
            "The sparsity of the recipe's prune stages; several, such as 0.5,0.8,0.9, to compare what they cost.",
            valueName: "s,…"))
    var sparsity: String?
    @Flag(help: "Do not measure perplexity.")
    var skipEvaluation = false
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        PendingOutput.removeOnTermination()
        let recipe = try Recipe.load(recipe)
        let sparsities = try sparsity.map(Self.sparsities) ?? []
        // The sparsest first: what does not fit is found before anything is written.
        let recipes = try sparsities.map { try recipe.withSparsity($0) }
        let compression = try makeCompression(recipes.last ?? recipe)
        let progress = common.progress
        if let warning = compression.warning { progress.report("warning: " + warning) }
        if recipes.count > 1 {
            let sweep = SparsityComparison(compression, recipes: Array(zip(sparsities, recipes)))
            let (frontier, results) = try sweep.run(output, model: model.displayName, progress)
            let json = sweep.json(frontier, output: output)
            try common.json ? Output.json(json) : Output.line(sweep.text(frontier, results, output: output))
            return
        }
        let result = try compression.run(output, earlier: nil, progress)
        if common.json { try Output.json(result.json) } else { try Output.line(result.text) }
    }

    /// Reads `0.5,0.8,0.9`; ascending, without repetitions.
    static func sparsities(_ text: String) throws -> [Double] {
        let numbers = try text.split(separator: ",", omittingEmptySubsequences: false).map { part in
            guard let number = Double(part.trimmingCharacters(in: .whitespaces)), number >= 0, number < 1 else {
                throw CoppiceError(
                    .usage, field: "--sparsity", "expected numbers from 0 to below 1, found \"\(part.prefix(20))\"")
            }
            return number
        }
        return Set(numbers).sorted()
    }

    /// The model and what its compression looks at.
    private func makeCompression(_ recipe: Recipe) throws -> any ModelCompression {
        let model = try AnyCheckpoint.open(model.path)
        if model.isOfLanguage, data != nil {
            throw CoppiceError(
                .usage, field: "--data", "is for vision networks, this is none; --calibration names a text")
        }
        switch model {
        case .vision(let checkpoint):
            for (name, value) in [("--calibration", calibration), ("--evaluate", evaluate)] where value != nil {
                throw CoppiceError(.usage, field: name, "is for language models; --data names images")
            }
            return try VisionCompression(checkpoint, recipe, folder: data)
        case .languageModel(let checkpoint):
            return try TextCompression(
                checkpoint.path, recipe, calibration: calibration, text: evaluate, measures: !skipEvaluation,
                tokenizer: checkpoint.tokenizer, compressor: { try Compressor(checkpoint, recipe: $0) },
                perplexity: { [evaluate] path, progress in
                    try Evaluate.measure(path: path, text: evaluate, progress: progress).result.perplexity
                })
        case .encoder(let checkpoint):
            return try TextCompression(
                checkpoint.path, recipe, calibration: calibration, text: evaluate, measures: !skipEvaluation,
                tokenizer: checkpoint.tokenizer, compressor: { try EncoderCompressor(checkpoint, recipe: $0) },
                perplexity: { [evaluate] path, progress in
                    try Evaluate.measure(.open(path), text: evaluate, progress: progress).result.perplexity
                })
        }
    }
}

extension AnyCheckpoint {
    /// Whether it is measured on texts.
    fileprivate var isOfLanguage: Bool {
        if case .vision = self { return false }
        return true
    }
}
