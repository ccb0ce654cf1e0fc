import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// What pre-training an encoder did to its weights.
struct EncoderPretraining: Sendable {
    /// What is learned, and from how much.
    enum Kind: String, Sendable, CaseIterable {
        /// Gaps, of all texts.
        case masked = "masked letters"
        /// With weight decay.
        case decayed = "masked letters, weight decay 0.1"
        /// Gaps, of a small part of the texts, as many steps.
        case lessData = "masked letters, less data"
        /// The collection that a window is from.
        case supervised = "collections, supervised"

        var weightDecay: Double { self == .decayed ? 0.1 : 0 }
    }

    var checkpoints: [PretrainingCheckpoint]
    /// Zero-shot curves of the finished masked language model: magnitude, and random where asked for.
    var sweep: SparsityReport?
    /// The share of held-out windows whose collection a supervised encoder tells; nil for others.
    var accuracy: Double?
    /// The encoder's weights.
    var stack: Snapshot

    /// Trains, and measures the initial state and checkpoints.
    init(_ kind: Kind, _ task: EncoderTask, seed: UInt64, progress: () -> Void) throws {
        let size = task.size
        let texts = task.texts.pretraining(part: kind == .lessData ? size.lessData : 1)
        let training = size.pretraining(weightDecay: kind.weightDecay)
        let language = MaskedLanguageEncoder(
            size.configuration, seed: seed)
        let network: any SupervisedNetwork
        let source: any BatchSource
        if kind == .supervised {
            let classifier = EncoderClassifier(
                size.configuration, classCount: texts.count, seed: seed)
            network = classifier
            source = LabelledLetters(
                texts: texts, length: size.context, batchSize: size.pretrainingBatch, seed: seed)
        } else {
            network = language
            source = MaskedLetters(texts: texts, length: size.context, batchSize: size.pretrainingBatch, seed: seed)
        }
        let sparsities = EssentialSparsity.sparsities
        let magnitude = SparsityVariant(
            label: EssentialSparsityMeasurement.Label.global, criterion: MagnitudeCriterion(),
            allocation: GlobalAllocation(), sparsities: sparsities)
        let random = SparsityVariant(
            label: EssentialSparsityMeasurement.Label.random, criterion: RandomCriterion(seed: seed),
            allocation: GlobalAllocation(), sparsities: sparsities)
        func sweep(_ variants: [SparsityVariant]) throws -> SparsityReport? {
            guard kind != .supervised else { return nil }
            return try MaskedTransformer.languageModel(
                language, pruning: EncoderTask.prunableWeights, shards: task.gaps
            ).sweep(variants, tolerance: EssentialSparsity.tolerance, seed: seed, progress: {})
        }
        checkpoints = try training.run(
            network, on: source, counting: EncoderTask.prunableWeights, checkpoints: size.checkpoints,
            tolerancePoint: { try sweep([magnitude])?.learnedTolerancePoint }, progress: progress)
        self.sweep = try sweep(kind == .masked ? [magnitude, random] : [magnitude])
        guard let classifier = network as? EncoderClassifier else {
            stack = Snapshot(of: language.stack)
            return
        }
        stack = Snapshot(of: classifier.stack)
        let heldOut = LabelledLetters(
            texts: task.texts.collections.map(\.heldOut), length: size.context, batchSize: size.heldOutWindows, seed: 0)
        accuracy = Classification(of: classifier, on: (0..<4).map { heldOut.batch(at: $0) }).accuracy
    }
}
