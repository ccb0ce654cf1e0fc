import ArgumentParser
import CoppiceCompression
import CoppiceEvidence
import CoppiceModels
import CoppiceTensors
import Foundation

/// `coppice compare`: several recipes on one model.
struct Compare: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Compare recipes on one model: the same data, the same seeds, one table.",
        discussion: """
            Each recipe compresses the model at each sparsity with each seed. The table has accuracy or perplexity (mean \
            and standard deviation over seeds), sparsity of prunable weights and of all parameters, what is left of the \
            multiplications, bytes, layers of which no weight is left, epochs of training and seconds. Models are not \
            kept; coppice compress makes the one that is wanted. A recipe that fails is named, the others are compared, \
            and the exit status is that of the failure.
            """)

    @OptionGroup var model: ModelArgument
    @Option(
        name: .customLong("recipe"), parsing: .upToNextOption,
        help: ArgumentHelp(
            "A recipe, a YAML file (see docs/recipes.md); several, or the option again.", valueName: "file"))
    var files: [String]
    @Option(
        help: ArgumentHelp(
            "Sparsities of the recipes' prune stages, such as 0.8,0.9 (default: what each recipe says).",
            valueName: "s,…"))
    var sparsity: String?
    @Option(help: ArgumentHelp("How many seeds each recipe is run with.", valueName: "n"))
    var seeds = 3
    @Option(help: ArgumentHelp("The first seed, in the place of the recipes' own.", valueName: "n"))
    var seed: UInt64 = 42
    @OptionGroup var data: CompressionData
    @Option(help: ArgumentHelp("A folder for a page, figures and the numbers.", valueName: "folder"))
    var output: String?
    @OptionGroup var common: CommonOptions

    func validate() throws {
        if files.isEmpty { throw ValidationError("--recipe: expected at least one file") }
        guard (1...1000).contains(seeds) else {
            throw ValidationError("--seeds: expected 1 to 1000, found \(seeds)")
        }
    }

    func run() throws {
        common.apply()
        PendingOutput.removeOnTermination()
        if let output { try Output.check(output, spares: model.path) }
        let numbers = (0..<UInt64(seeds)).map { seed &+ $0 }
        let recipes = try files.map { try Recipe.load($0).withSeed(seed) }
        let compression = try data.open(model.path, for: recipes)
        let progress = common.progress
        compression.announce(to: progress)
        let trials = try RecipeTrials(
            compression, recipes: recipes, sparsities: try sparsity.map(CompressionData.sparsities) ?? [],
            seeds: numbers)
        // Nothing of it stays without --output.
        let scratch = NSTemporaryDirectory() + "/coppice-compare-\(UUID().uuidString)"
        let folder = try OutputFolder(at: output ?? scratch)
        defer { folder.discard() }
        let comparison = try trials.run(
            title: "\(model.displayName) by \(files.count == 1 ? "one recipe" : "\(files.count) recipes")", in: folder,
            progress)
        let json = json(comparison, numbers)
        if output != nil { try write(comparison, json, to: folder) }
        if common.json {
            try Output.json(json)
        } else {
            try Output.line(
                ([comparison.text] + (output.map { ["\($0)/comparison.html"] } ?? [])).joined(separator: "\n"))
        }
        if let failure = comparison.entries.lazy.compactMap(\.failure).first { throw failure }
    }

    private func json(_ comparison: RecipeComparison, _ seeds: [UInt64]) -> JSON {
        var members = comparison.json
        members.updateValue(.string(model.model), forKey: "model", insertingAt: 0)
        members["seeds"] = .array(seeds.map { .integer(Int(clamping: $0)) })
        members["output"] = output.map { .string($0) } ?? .null
        return .object(members)
    }

    private func write(_ comparison: RecipeComparison, _ json: JSON, to folder: OutputFolder) throws {
        var files = [("comparison.html", comparison.html), ("comparison.json", json.serialized(pretty: true) + "\n")]
        files += comparison.figures.map { ($0.name + ".svg", $0.figure.svgDocument) }
        for (name, text) in files { try AtomicFile.write(text, to: folder.path(for: name)) }
        try folder.commit()
    }
}
