import ArgumentParser
import CoppiceCompression
import CoppiceModels
import CoppiceTensors

/// `coppice compress`: makes a model smaller by a recipe.
struct Compress: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make a model smaller by a recipe.",
        discussion: """
            Language models and encoders need a text for some methods (--calibration), vision networks images (--data). \
            Weights are stored in the formats that they are computed with; coppice convert makes dense ones of them, which \
            transformers loads. With several sparsities every one is tried: the folder then holds a model for each and \
            a figure of what they cost.
            """)

    @OptionGroup var model: ModelArgument
    @Option(help: ArgumentHelp("The recipe, a YAML file (see docs/recipes.md).", valueName: "file"))
    var recipe: String
    @Option(help: ArgumentHelp("The folder to write.", valueName: "folder"))
    var output: String
    @OptionGroup var data: CompressionData
    @Option(
        help: ArgumentHelp(
            "The sparsity of the recipe's prune stages; several, such as 0.5,0.8,0.9, to compare what they cost.",
            valueName: "s,…"))
    var sparsity: String?
    @Option(
        help: ArgumentHelp(
            "Epochs of the recipe's training, for a trial; all times in it that are epochs are scaled alike.",
            valueName: "n"))
    var epochs: Double?
    @Flag(
        help: ArgumentHelp(
            "Measure time and memory of training steps and passes of a vision network and of what is left of it, which "
                + "take turns on 32 images of noise."))
    var measure = false
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        PendingOutput.removeOnTermination()
        try Output.check(output, spares: model.path)
        var recipe = try Recipe.load(recipe)
        if let epochs { recipe = try recipe.withEpochs(epochs) }
        let sparsities = try sparsity.map(CompressionData.sparsities) ?? []
        // The sparsest first: what does not fit is found before anything is written.
        let recipes = try sparsities.map { try recipe.withSparsity($0) }
        let compression = try data.open(model.path, for: [recipes.last ?? recipe])
        if measure { try checkMeasurable(compression, recipes.count) }
        let progress = common.progress
        compression.announce(to: progress)
        if recipes.count > 1 {
            let sweep = SparsityComparison(compression, recipes: Array(zip(sparsities, recipes)))
            let (frontier, results) = try sweep.run(output, model: model.displayName, progress)
            let json = sweep.json(frontier, output: output)
            try common.json ? Output.json(json) : Output.line(sweep.text(frontier, results, output: output))
            return
        }
        var result = try compression.run(output, earlier: nil, progress)
        if measure { result.speeds = try (compression as? VisionCompression)?.speeds(of: output) }
        if common.json { try Output.json(result.json) } else { try Output.line(result.text) }
    }

    /// - Throws: `.usage` where ``measure`` has no meaning, before any work.
    private func checkMeasurable(_ compression: any ModelCompression, _ count: Int) throws {
        guard compression is VisionCompression else {
            throw CoppiceError(.usage, field: "--measure", "is for vision networks, this is none")
        }
        guard count <= 1 else {
            throw CoppiceError(.usage, field: "--measure", "is of one result, expected one number for --sparsity")
        }
    }
}
