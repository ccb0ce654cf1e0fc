import CoppiceCompression
import CoppiceEvidence
import CoppiceModels
import OrderedCollections

/// One model compressed to several sparsities: a folder for each, and `pareto.html`, figures over bytes, sparsity and
/// multiplications (`pareto.svg`, `sparsity.svg`, `multiplications.svg`) and `pareto.json` beside them.
struct SparsityComparison {
    private let compression: any ModelCompression
    private let recipes: [(Double, Recipe)]

    init(_ compression: any ModelCompression, recipes: [(Double, Recipe)]) {
        self.compression = compression
        self.recipes = recipes
    }

    /// Compresses to every sparsity. The folder appears when all are there.
    func run(
        _ output: String, model: String, _ progress: any ProgressReporter
    ) throws -> (frontier: CompressionFrontier, results: [CompressionResult]) {
        let folder = try OutputFolder(at: output)
        defer { folder.discard() }
        var results: [CompressionResult] = []
        for (sparsity, recipe) in recipes {
            let name = "sparsity-\(sparsity)"
            progress.report("sparsity \(sparsity)")
            var result = try compression.replacing(recipe)
                .run(folder.path(for: name), earlier: results.last, progress)
            result.output = output + "/" + name
            results.append(result)
        }
        let frontier = frontier(results, title: "\(model) by \(compression.recipe.name ?? compression.recipe.source)")
        let json = JSON.object(frontier.json).serialized(pretty: true) + "\n"
        for (name, text) in [
            ("pareto.html", frontier.html), ("pareto.svg", frontier.figure.svgDocument), ("pareto.json", json),
            ("sparsity.svg", frontier.sparsityFigure.svgDocument),
            ("multiplications.svg", frontier.multiplicationsFigure.svgDocument),
        ] { try AtomicFile.write(text, to: folder.path(for: name)) }
        try folder.commit()
        return (frontier, results)
    }

    private func frontier(_ results: [CompressionResult], title: String) -> CompressionFrontier {
        let points = zip(results, recipes).map { $0.points(asked: $1.0) }
        let nothing = CompressionFrontier.Point(asked: nil, sparsity: 0, bytes: 0, quality: nil, path: "")
        return CompressionFrontier(
            title: title, measure: compression.isClassifier ? .accuracy : .perplexity,
            measuredOn: results.last?.measuredOn ?? "nothing", dense: points.last?.dense ?? nothing,
            points: points.map(\.own))
    }

    /// Stable keys.
    func json(_ frontier: CompressionFrontier, output: String) -> JSON {
        let head: OrderedDictionary<String, JSON> = [
            "output": .string(output), "recipe": .string(compression.recipe.source),
            "figure": .string(output + "/pareto.svg"),
        ]
        return .object(head.merging(frontier.json) { $1 })
    }

    /// The table for people, and where the figure is.
    func text(_ frontier: CompressionFrontier, _ results: [CompressionResult], output: String) -> String {
        let warnings = results.flatMap { result in result.report.warnings.map { "warning: \(result.output): \($0)" } }
        return ([frontier.text] + warnings + ["\(output)/pareto.html"]).joined(separator: "\n")
    }
}
