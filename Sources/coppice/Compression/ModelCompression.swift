import CoppiceCompression
import CoppiceEvidence
import CoppiceModels
import CoppiceTensors
import CoppiceTraining
import OrderedCollections

/// A compression that is ready to run, of a model of any kind.
protocol ModelCompression {
    var recipe: Recipe { get }

    /// Whether it is of a language model or an encoder, which look at texts.
    var isOfLanguage: Bool { get }

    /// Whether the model tells classes apart, so that accuracy is measured, not perplexity.
    var isClassifier: Bool { get }

    /// What it looks at where the user left that open; nil for nothing to say.
    var note: String? { get }

    /// What a user should know of the data before it runs; nil for nothing.
    var warning: String? { get }

    /// The same by another recipe.
    func replacing(_ recipe: Recipe) throws -> any ModelCompression

    /// Compresses into a folder and measures.
    ///
    /// - Parameter earlier: a result of the same model, whose measure before compression counts.
    func run(
        _ output: String, earlier: CompressionResult?, _ progress: any ProgressReporter
    ) throws -> CompressionResult
}

extension ModelCompression {
    var note: String? { nil }

    /// Says what a user should know of the data, before it runs.
    func announce(to progress: any ProgressReporter) {
        if let note { progress.report("note: " + note) }
        if let warning { progress.report("warning: " + warning) }
    }
}

/// What a compression gave.
struct CompressionResult {
    /// What is measured on a model.
    enum Measure {
        case perplexity(before: Double, after: Double)
        case accuracy(CompressionReport.Accuracy)
        /// Of a classifier of texts.
        case classification(before: Classification, after: Classification, of: String)
    }

    var output: String
    var recipe: Recipe
    var report: CompressionReport
    /// Nil where there was nothing to measure on.
    var measure: Measure?
    /// What its multiplications are counted for.
    var inputName = "a token"
    /// Whether ``measure`` would be an accuracy.
    var isMeasuredByAccuracy = false
    /// The accuracy of the network before, for the next compression of it.
    var before: Classification?
    /// Wall time without measuring the model before, nor perplexity.
    var seconds = 0.0
    /// Of the model before and what is left of it, where that was asked for.
    var speeds: SpeedComparison?

    /// Stable keys; those of a measure that a model of this kind has not are left out.
    var json: JSON {
        var members: OrderedDictionary<String, JSON> = [
            "output": .string(output), "recipe": .string(recipe.source), "recipe_sha256": .string(recipe.hash),
            "bytes_before": .integer(report.totals.bytesBefore), "bytes_after": .integer(report.totals.bytes),
            "bits_per_weight": .number(report.totals.bitsPerWeight), "sparsity": .number(report.totals.sparsity),
            "removed": .number(report.totals.removed), "removed_prunable": .number(report.prunable.removed),
        ]
        let counts = report.totals.multiplications
        for (name, count) in [("dense", counts?.dense), ("before", counts?.before), ("after", counts?.after)] {
            members["multiplications_" + name] = count.map { .integer($0) } ?? .null
        }
        members["multiplication_share"] = counts.map { .number($0.share) } ?? .null
        members["collapsed_layers"] = .array(report.collapsed.map { .string($0) })
        members.merge(measures) { $1 }
        members["warnings"] = .array(report.warnings.map { .string($0) })
        if let speeds {
            members["compression_seconds"] = .number(seconds)
            members.merge(speeds.json) { $1 }
        }
        return .object(members)
    }

    private var measures: OrderedDictionary<String, JSON> {
        switch measure {
        case .perplexity(let before, let after):
            ["perplexity_before": .number(before), "perplexity_after": .number(after)]
        case .accuracy(let accuracy): accuracy.json
        case .classification(let before, let after, _):
            [
                "accuracy_before": .number(before.accuracy), "accuracy_after": .number(after.accuracy),
                "loss_before": .number(before.loss), "loss_after": .number(after.loss),
                "examples": .integer(after.count),
            ]
        case nil:
            isMeasuredByAccuracy
                ? ["accuracy_before": .null, "accuracy_after": .null]
                : ["perplexity_before": .null, "perplexity_after": .null]
        }
    }

    /// A few lines for people.
    var text: String {
        var lines = [
            "\(output): \(Output.bytes(report.totals.bytesBefore)) → \(Output.bytes(report.totals.bytes)), "
                + "\(Output.number(report.totals.bitsPerWeight)) bits a weight, "
                + "\(Output.number(report.totals.sparsity * 100, digits: 1)) % zeros"
        ]
        if let counts = report.totals.multiplications {
            lines.append(
                "\(counts.before) → \(counts.after) multiplications for \(inputName), "
                    + "\(Output.number(counts.share * 100, digits: 1)) % of the dense network's")
        }
        lines += report.warnings.map { "warning: \($0)" }
        switch measure {
        case .perplexity(let before, let after):
            lines.append("perplexity \(Output.number(before, digits: 3)) → \(Output.number(after, digits: 3))")
        case .accuracy(let accuracy): lines.append(accuracy.text)
        case .classification(let before, let after, let file):
            lines.append(
                "accuracy \(Output.number(before.accuracy, digits: 4)) → \(Output.number(after.accuracy, digits: 4))  "
                    + "loss \(Output.number(before.loss, digits: 4)) → \(Output.number(after.loss, digits: 4))  "
                    + "(\(after.count) examples of \(file))")
        case nil: break
        }
        lines += (report.stageReports ?? []).flatMap(\.lines)
        if let speeds { lines += ["compressed in \(Output.number(seconds, digits: 1)) s", speeds.text] }
        return lines.joined(separator: "\n")
    }
}

extension CompressionResult {
    /// The places of the model before and after it among others.
    ///
    /// - Parameter asked: the sparsity that was asked for; nil: what the recipe says.
    func points(asked: Double?) -> (dense: CompressionFrontier.Point, own: CompressionFrontier.Point) {
        let (totals, prunable) = (report.totals, report.prunable)
        var own = CompressionFrontier.Point(
            asked: asked, sparsity: totals.sparsity, removed: prunable.removed,
            multiplications: totals.multiplications?.share, bytes: totals.bytes, quality: nil, path: output)
        own.collapsed = report.collapsed
        var dense = CompressionFrontier.Point(
            asked: nil, sparsity: totals.sparsityBefore, removed: prunable.sparsityBefore,
            multiplications: totals.multiplications?.shareBefore, bytes: totals.bytesBefore, quality: nil, path: "")
        switch measure {
        case .perplexity(let before, let after): (dense.quality, own.quality) = (before, after)
        case .accuracy(let accuracy): (dense.quality, own.quality) = (accuracy.before, accuracy.after)
        case .classification(let before, let after, _):
            (dense.quality, own.quality) = (before.accuracy, after.accuracy)
        case nil: break
        }
        return (dense, own)
    }

    /// What was measured on, for figures.
    var measuredOn: String {
        switch measure {
        case .perplexity: "a text"
        case .accuracy(let accuracy): accuracy.measuredOn
        case .classification(_, let after, let file): "\(after.count) examples of \(file)"
        case nil: "nothing"
        }
    }
}

extension CompressionReport.Accuracy {
    /// Stable keys.
    var json: OrderedDictionary<String, JSON> {
        [
            "accuracy_before": .number(before), "accuracy_after": .number(after),
            "loss_before": .number(lossBefore), "loss_after": .number(lossAfter),
            "images": .integer(images), "part": .string(part.rawValue),
        ]
    }

    /// A line for people.
    var text: String {
        "accuracy \(Output.number(before, digits: 4)) → \(Output.number(after, digits: 4))  "
            + "(\(measuredOn))"
    }
}

/// A vision network with the images that its compression looks at and is measured on.
struct VisionCompression: ModelCompression {
    private let checkpoint: VisionCheckpoint
    private var compressor: VisionCompressor
    private let images: CompressionImages?
    var warning: String? { images?.warning }
    let isOfLanguage = false
    let isClassifier = true

    init(_ checkpoint: VisionCheckpoint, _ recipe: Recipe, folder: String?) throws {
        self.checkpoint = checkpoint
        compressor = try VisionCompressor(checkpoint, recipe: recipe)
        images = try folder.map { try CompressionImages(folder: $0, for: checkpoint, seed: recipe.seed) }
    }

    var recipe: Recipe { compressor.recipe }

    func replacing(_ recipe: Recipe) throws -> any ModelCompression {
        var other = self
        other.compressor = try VisionCompressor(checkpoint, recipe: recipe)
        return other
    }

    func run(
        _ output: String, earlier: CompressionResult?, _ progress: any ProgressReporter
    ) throws -> CompressionResult {
        try compressor.check(output: output, images: images)
        let before = try earlier?.before ?? compressor.accuracy(on: images, progress: progress)
        let start = ContinuousClock.now
        let report = try compressor.run(output: output, images: images, before: before, progress: progress)
        var result = CompressionResult(output: output, recipe: recipe, report: report)
        result.seconds = (ContinuousClock.now - start) / .seconds(1)
        (result.isMeasuredByAccuracy, result.before) = (true, before)
        result.inputName = checkpoint.architecture.inputName
        result.measure = report.accuracy.map { .accuracy($0) }
        return result
    }

    /// How fast the network and what a compression of it wrote are.
    func speeds(of output: String) throws -> SpeedComparison {
        try SpeedComparison(checkpoint.network(), VisionCheckpoint.open(output).network(), seed: recipe.seed)
    }
}
