import CoppiceCompression
import CoppiceModels
import CoppiceTensors
import CoppiceTraining

/// A classifier of texts with the labelled texts that its compression looks at and is measured on.
struct ClassifierCompression: ModelCompression {
    private let checkpoint: EncoderCheckpoint
    private var compressor: EncoderCompressor
    private let calibration: LabelledTexts?
    private let evaluation: LabelledTexts?
    let warning: String?
    let isOfLanguage = true
    let isClassifier = true

    /// - Parameters:
    ///   - calibration: the file that methods look at and train on.
    ///   - evaluation: the file that accuracy is measured on; nil: nothing is measured.
    /// - Throws: `.usage` where a recipe needs texts and there are none; `.badData` for a recipe that does not fit, and
    ///   what reading the files throws.
    init(
        _ checkpoint: EncoderCheckpoint, _ recipe: Recipe, calibration: String?, evaluation: String?,
        columns: LabelledArguments
    ) throws {
        self.checkpoint = checkpoint
        compressor = try EncoderCompressor(checkpoint, recipe: recipe)
        if calibration == nil, let (index, need) = recipe.needOfText {
            throw CoppiceError(
                .usage, source: recipe.source, field: "stages[\(index)].prune",
                "\(need), expected --calibration with texts and labels")
        }
        let needed = recipe.needsCalibration ? calibration : nil
        let looked = try needed.map { try columns.read($0, for: checkpoint) }
        let measured = try evaluation.map { try columns.read($0, for: checkpoint) }
        (self.calibration, self.evaluation) = (looked, measured)
        let isSame = looked.map { $0.examples == measured?.examples } ?? false
        warning =
            isSame
            ? "--calibration has the texts that accuracy is measured on (--evaluate): "
                + (recipe.trains ? "the model trains on them" : "methods look at them")
                + ", and what is measured says little of other texts" : nil
    }

    var recipe: Recipe { compressor.recipe }

    func replacing(_ recipe: Recipe) throws -> any ModelCompression {
        var other = self
        other.compressor = try EncoderCompressor(checkpoint, recipe: recipe)
        return other
    }

    func run(
        _ output: String, earlier: CompressionResult?, _ progress: any ProgressReporter
    ) throws -> CompressionResult {
        // First, since what cannot be written or measured should not be found out about after the work.
        try Output.check(folder: output)
        let before = try evaluation.map {
            try earlier?.before ?? Evaluate.measure(checkpoint, on: $0, progress: progress).result
        }
        let start = ContinuousClock.now
        let report = try compressor.run(output: output, labelled: calibration, progress: progress)
        var result = CompressionResult(output: output, recipe: recipe, report: report)
        result.seconds = (ContinuousClock.now - start) / .seconds(1)
        result.isMeasuredByAccuracy = true
        guard let evaluation, let before else { return result }
        let after = try Evaluate.measure(.open(output), on: evaluation, progress: progress).result
        result.before = before
        result.measure = .classification(before: before, after: after, of: evaluation.source)
        return result
    }
}
