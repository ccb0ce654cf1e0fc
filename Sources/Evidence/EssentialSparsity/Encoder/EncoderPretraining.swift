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

    /// A moment of pre-training.
    struct Checkpoint: Sendable {
        var step: Int
        /// Shares of weights below ``EssentialSparsityMeasurement/nearZeroThresholds``.
        var nearZero: [Double]
        /// s_τ of the masked language model without fine-tuning; nil for a supervised one.
        var tolerancePoint: Double?
    }

    var checkpoints: [Checkpoint]
    /// Zero-shot curves of the finished masked language model: magnitude, and random where asked for.
    var sweep: SparsityReport?
    /// The share of held-out windows whose collection a supervised encoder tells; nil for others.
    var accuracy: Double?
    /// The encoder's weights.
    var stack: Snapshot

    /// Shares of near-zero weights at the checkpoints, below 0.1 times the root mean square.
    var nearZeroCourse: [Double] { checkpoints.map { $0.nearZero[2] } }

    static let zeroShotTolerance = EssentialSparsity.tolerance

    /// Trains, and measures the initial state and equally spaced checkpoints.
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
            return try MaskedTransformer.languageModel(language, shards: task.gaps).sweep(
                variants, tolerance: Self.zeroShotTolerance, seed: seed, progress: {})
        }
        func checkpoint(_ step: Int) throws -> Checkpoint {
            // An untrained model has nothing to lose.
            let report = try step == 0 ? nil : sweep([magnitude])
            return Checkpoint(
                step: step,
                nearZero: try MaskedTransformer.nearZeroShares(of: network, pruning: EncoderTask.prunableWeights),
                tolerancePoint: report?.series[0].tolerancePoint)
        }
        var checkpoints: [Checkpoint] = []
        try training.run(network, on: source, checkpoints: size.checkpoints) { step in
            checkpoints.append(try checkpoint(step))
            if step > 0 { progress() }
        }
        self.checkpoints = checkpoints
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
