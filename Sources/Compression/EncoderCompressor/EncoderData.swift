import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// What an encoder in memory is compressed with: a running text, or texts with labels.
protocol EncoderData: StageData {
    /// Texts as they are, with what surrounds them: for what looks at activations.
    ///
    /// - Throws: as ``StageData/samples(for:)``.
    func windows(_ count: Int, seed: UInt64) throws -> CalibrationWindows

    /// Of all that there is.
    var tokenCount: Int { get }

    /// The texts' file, or what else they are called.
    var source: String? { get }
}

/// Texts with labels that a classifier is compressed with.
struct LabelledData: EncoderData {
    private let texts: EncodedTexts
    private let options: Recipe.Calibration
    let source: String?

    init(_ texts: EncodedTexts, options: Recipe.Calibration, source: String? = nil) {
        self.texts = texts
        self.options = options
        self.source = source
    }

    var tokenCount: Int { texts.tokenCount }

    func windows(_ count: Int, seed: UInt64) throws -> CalibrationWindows {
        CalibrationWindows(texts.sample(count, seed: seed).map { texts.sequences[$0] })
    }

    func samples(for recipe: Recipe) throws -> [LabeledBatch] {
        try samples(options.samples, of: options.batchSize, seed: recipe.seed)
    }

    func samples(_ count: Int, of size: Int, seed: UInt64) throws -> [LabeledBatch] {
        let chosen = texts.sample(count, seed: seed)
        return stride(from: 0, to: count, by: size).map { texts.batch(chosen[$0..<min($0 + size, count)]) }
    }

    func loop(
        _ training: ClassificationRecipe, seed: UInt64
    ) -> (training: SupervisedTraining, source: any BatchSource) {
        let source = EncodedTextBatches(texts, batchSize: training.loop.batchSize, seed: seed)
        return (training.training(images: source.batchesPerEpoch * training.loop.batchSize), source)
    }

    func accuracy(of network: any SupervisedNetwork) -> Double? { nil }
}
