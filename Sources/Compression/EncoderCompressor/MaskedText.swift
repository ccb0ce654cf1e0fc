import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// The text that an encoder in memory is compressed with: windows with hidden tokens, that criteria look at and training
/// draws from.
struct MaskedText: EncoderData {
    private let calibration: CalibrationTokens
    private let options: Recipe.Calibration
    private let frame: EncoderCheckpoint.TextFrame
    private let vocabularySize: Int

    /// - Throws: `.badData` for a text that holds no window.
    init(
        _ calibration: CalibrationTokens, options: Recipe.Calibration, frame: EncoderCheckpoint.TextFrame,
        vocabularySize: Int
    ) throws {
        self.calibration = calibration
        self.options = options
        self.frame = frame
        self.vocabularySize = vocabularySize
        _ = try unframed(1, seed: 0)
    }

    var tokenCount: Int { calibration.tokens.count }
    var source: String? { calibration.source }

    /// The text in the tokens of an encoder.
    ///
    /// - Throws: `.badData` for a text that holds no window; what reading the tokenizer throws.
    init(_ calibration: CalibrationTokens, options: Recipe.Calibration, for checkpoint: EncoderCheckpoint) throws {
        try self.init(
            calibration, options: options, frame: checkpoint.textFrame(checkpoint.tokenizer()),
            vocabularySize: checkpoint.configuration.vocabularySize)
    }

    /// Windows as they are in the text, with nothing hidden.
    ///
    /// - Throws: `.badData` for a text that holds no window.
    func windows(_ count: Int, seed: UInt64) throws -> CalibrationWindows {
        CalibrationWindows(try unframed(count, seed: seed).map { [frame.begin] + $0 + [frame.end] })
    }

    /// The same without the tokens that begin and end one.
    private func unframed(_ count: Int, seed: UInt64) throws -> [[Int]] {
        try CalibrationWindows(
            tokens: calibration.tokens, count: count, length: options.sequenceLength - 2, seed: seed,
            source: calibration.source
        ).windows
    }

    private func batches(of size: Int, seed: UInt64) -> MaskedWindows {
        MaskedWindows(
            calibration.tokens, length: options.sequenceLength, batchSize: size, frame: frame,
            vocabularySize: vocabularySize, seed: seed)
    }

    func samples(for recipe: Recipe) throws -> [LabeledBatch] {
        try samples(options.samples, of: options.batchSize, seed: recipe.seed)
    }

    func samples(_ count: Int, of size: Int, seed: UInt64) throws -> [LabeledBatch] {
        MaskedWindows.samples(
            of: try unframed(count, seed: seed), batchSize: size, frame: frame, vocabularySize: vocabularySize,
            seed: seed)
    }

    func loop(
        _ training: ClassificationRecipe, seed: UInt64
    ) -> (training: SupervisedTraining, source: any BatchSource) {
        let source = batches(of: training.loop.batchSize, seed: seed)
        return (training.training(images: source.batchesPerEpoch * training.loop.batchSize), source)
    }

    func accuracy(of network: any SupervisedNetwork) -> Double? { nil }
}
