import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// One seed of the language model's part: decoders that learn to say the next letter, pruned without fine-tuning.
package struct LetterModelTrial: Sendable {
    typealias Label = EssentialSparsityMeasurement.Label

    /// How a decoder is trained.
    package enum Kind: String, Sendable, CaseIterable {
        case plain = "weight decay 0"
        case decayed = "weight decay 0.1"
    }

    package var seed: UInt64
    package var checkpoints: [Kind: [PretrainingCheckpoint]]
    /// The finished decoders under masks: all kinds of the one without decay, magnitude of the other. Losses are nats a
    /// letter of held-out texts.
    package var sweeps: [Kind: SparsityReport]

    /// The matrices of the blocks.
    static let prunableWeights = [WeightPattern("layers")]

    package init(seed: UInt64, checkpoints: [Kind: [PretrainingCheckpoint]], sweeps: [Kind: SparsityReport]) {
        (self.seed, self.checkpoints, self.sweeps) = (seed, checkpoints, sweeps)
    }

    /// Parts of a trial, as progress counts them.
    static func partCount(_ size: LetterModelSize) -> Int { Kind.allCases.count * size.checkpoints }

    package init(_ texts: LetterTexts, size: LetterModelSize, seed: UInt64, progress: () -> Void) throws {
        self.seed = seed
        (checkpoints, sweeps) = ([:], [:])
        let source = NextLetters(
            texts: texts.pretraining(), length: size.context, batchSize: size.batch, seed: seed)
        // The same tests for every seed.
        let tests = NextLetters(
            texts: texts.collections.map(\.heldOut), length: size.context, batchSize: (size.heldOutWindows + 7) / 8,
            seed: 0)
        let shards = (0..<8).map { tests.batch(at: $0) }
        for kind in Kind.allCases {
            let network = DecoderNetwork(size.configuration, seed: seed)
            func sweep(_ labels: [String]) throws -> SparsityReport {
                try MaskedTransformer.languageModel(network, pruning: Self.prunableWeights, shards: shards).sweep(
                    SparsityVariant.standard(sparsities: EssentialSparsity.sparsities, labels, seed: seed),
                    tolerance: EssentialSparsity.tolerance, seed: seed, progress: {})
            }
            checkpoints[kind] = try size.training(weightDecay: kind == .plain ? 0 : 0.1).run(
                network, on: source, counting: Self.prunableWeights, checkpoints: size.checkpoints,
                tolerancePoint: { try sweep([Label.global]).learnedTolerancePoint }, progress: progress)
            sweeps[kind] = try sweep(
                kind == .plain
                    ? [Label.global, Label.layer, Label.random, Label.randomErdosRenyi] : [Label.global])
        }
    }
}

/// Windows of texts and the letter that follows each place, as a pure function of the step.
package struct NextLetters: BatchSource {
    /// Windows are drawn from all of these alike.
    let texts: [[Int]]
    /// Letters that a window predicts.
    let length: Int
    let batchSize: Int
    let seed: UInt64

    package init(texts: [[Int]], length: Int, batchSize: Int, seed: UInt64) {
        (self.texts, self.length, self.batchSize, self.seed) = (texts, length, batchSize, seed)
    }

    package var batchesPerEpoch: Int { max(1, texts.reduce(0) { $0 + $1.count } / (batchSize * length)) }

    package func batch(at step: Int) -> LabeledBatch {
        var generator = RandomGenerator(seed: seed, stream: UInt32(truncatingIfNeeded: step))
        let windows = (0..<batchSize).map { row in
            LetterTexts.window(of: texts[(step * batchSize + row) % texts.count], length: length + 1, using: &generator)
        }
        return LabeledBatch(
            inputs: Tensor(windows.flatMap { $0.dropLast() }, shape: [batchSize, length]),
            targets: Tensor(windows.flatMap { $0.dropFirst() }, shape: [batchSize, length]))
    }
}
