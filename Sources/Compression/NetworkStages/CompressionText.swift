import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// The text that a language model in memory is compressed with: windows that criteria look at, and that training runs
/// through in an order of its own each epoch.
struct CompressionText: StageData {
    let calibration: CalibrationTokens
    let options: Recipe.Calibration
    private let stream: TokenStream
    private let vocabularySize: Int

    /// - Throws: `.badData` for a text that holds no window, or tokens that the model does not know.
    init(_ calibration: CalibrationTokens, options: Recipe.Calibration, vocabularySize: Int) throws {
        self.calibration = calibration
        self.options = options
        self.vocabularySize = vocabularySize
        stream = TokenStream(tokens: calibration.tokens.map { Int32(clamping: $0) }, byteCount: 0)
        try stream.check(
            length: options.sequenceLength, vocabularySize: vocabularySize,
            source: calibration.source ?? "calibration text")
    }

    func samples(for recipe: Recipe) throws -> [LabeledBatch] {
        try samples(options.samples, of: options.batchSize, seed: recipe.seed)
    }

    /// Windows as ``CalibrationWindows`` draws them; their last token has no label.
    func samples(_ count: Int, of size: Int, seed: UInt64) throws -> [LabeledBatch] {
        try windows(count, seed: seed).batches(of: size, vocabularySize: vocabularySize)
    }

    /// - Throws: `.badData` for a text that holds no window.
    func windows(_ count: Int, seed: UInt64) throws -> CalibrationWindows {
        try CalibrationWindows(
            tokens: calibration.tokens, count: count, length: options.sequenceLength, seed: seed,
            source: calibration.source)
    }

    func loop(
        _ training: ClassificationRecipe, seed: UInt64
    ) -> (training: SupervisedTraining, source: any BatchSource) {
        let windows = TokenWindows(
            stream, length: options.sequenceLength, batchSize: training.loop.batchSize, seed: seed)
        return (training.training(images: windows.batchesPerEpoch * training.loop.batchSize), windows)
    }

    func accuracy(of network: any SupervisedNetwork) -> Double? { nil }
}
