import CoppiceCompression
import CoppiceEvidence
import CoppiceModels
import CoppiceTensors
import Foundation

/// One model compressed by several recipes, at each sparsity and with each seed, all with the same data.
struct RecipeTrials {
    private let compression: any ModelCompression
    private let seeds: [UInt64]
    private var entries: [RecipeComparison.Entry] = []
    /// The recipe of each entry.
    private var recipes: [Recipe] = []

    /// Matches all recipes with the model, before anything runs.
    ///
    /// - Parameters:
    ///   - sparsities: none: what each recipe says.
    ///   - seeds: at least one.
    /// - Throws: what says that a recipe and the model do not fit together, naming the recipe.
    init(_ compression: any ModelCompression, recipes: [Recipe], sparsities: [Double], seeds: [UInt64]) throws {
        self.compression = compression
        self.seeds = seeds
        let names = Self.names(of: recipes)
        for sparsity in sparsities.isEmpty ? [nil] : sparsities.map(Optional.some) {
            for (name, recipe) in zip(names, recipes) {
                do {
                    let own = try sparsity.map { try recipe.withSparsity($0) } ?? recipe
                    _ = try compression.replacing(own)
                    self.recipes.append(own)
                } catch let error as CoppiceError { throw error.naming(recipe) }
                entries.append(
                    .init(
                        recipe: name, file: recipe.source, asked: sparsity,
                        epochs: recipe.trainedEpochs(ofLanguage: compression.isOfLanguage)))
            }
        }
    }

    /// The recipes' names or those of their files; where two are called alike, their paths.
    static func names(of recipes: [Recipe]) -> [String] {
        let short = recipes.map { recipe in
            recipe.name ?? URL(fileURLWithPath: recipe.source).deletingPathExtension().lastPathComponent
        }
        return zip(short, recipes).map { name, recipe in
            short.filter { $0 == name }.count == 1 ? name : recipe.source
        }
    }

    /// Runs all trials. A recipe that fails is passed over from there on.
    ///
    /// - Parameter folder: where models are written until they are measured.
    func run(title: String, in folder: OutputFolder, _ progress: any ProgressReporter) throws -> RecipeComparison {
        var entries = entries
        var dense: CompressionFrontier.Point?
        var place = "nothing"
        var earlier: CompressionResult?
        let path = folder.path(for: "trial")
        for (index, recipe) in recipes.enumerated() {
            let asked = entries[index].asked
            for seed in seeds {
                progress.report(
                    entries[index].recipe + (asked.map { " at \($0)" } ?? "") + ", seed \(seed)")
                do {
                    let result = try compression.replacing(recipe.withSeed(seed))
                        .run(path, earlier: earlier, progress)
                    try FileManager.default.removeItem(atPath: path)
                    let points = result.points(asked: asked)
                    (dense, earlier, place) = (dense ?? points.dense, earlier ?? result, result.measuredOn)
                    entries[index].trials.append(
                        .init(
                            seed: seed, point: points.own, removedOfAll: result.report.totals.removed,
                            seconds: result.seconds))
                } catch let error as CoppiceError {
                    try? FileManager.default.removeItem(atPath: path)
                    entries[index].failure = error.naming(recipe)
                    progress.report("failed: \(error)")
                    break
                }
            }
        }
        return RecipeComparison(
            title: title, measure: compression.isClassifier ? .accuracy : .perplexity, measuredOn: place, dense: dense,
            entries: entries)
    }
}

extension CoppiceError {
    /// The error as one that says which recipe it came with.
    fileprivate func naming(_ recipe: Recipe) -> CoppiceError {
        guard source != recipe.source else { return self }
        var error = self
        error.source = recipe.source
        error.field = [source, field].compactMap { $0 }.joined(separator: ": ")
        if error.field?.isEmpty == true { error.field = nil }
        return error
    }
}
