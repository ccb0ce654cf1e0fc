import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// One seed of the encoder's part: four pre-trainings, and what fine-tuning under masks makes of them.
package struct EncoderTrial: Sendable {
    typealias Label = EssentialSparsityMeasurement.Label

    var seed: UInt64
    var pretrainings: [EncoderPretraining.Kind: EncoderPretraining]
    /// Fine-tuned under masks: magnitude with one threshold and layer by layer, random, random ERK, N:M patterns.
    /// Losses are shares of errors.
    package var tuned: SparsityReport
    package var iterative: [LotteryLevel]
    /// The same from initial weights.
    package var fresh: SparsityReport
    /// From initial weights that are trained until they have learned the task.
    package var freshTrained: SparsityReport
    /// Magnitude masks of the others, fine-tuned.
    var tunedOthers: [EncoderPretraining.Kind: SparsityReport]

    /// Others than the first that are fine-tuned under masks.
    static let comparedKinds: [EncoderPretraining.Kind] = [.lessData, .supervised]
    private static let (sparsities, coarse) = (EssentialSparsity.sparsities, EssentialSparsity.coarseSparsities)

    /// Parts of a trial, as progress counts them.
    static func partCount(_ size: EncoderSize) -> Int {
        let patterns = 7 + 3 + 1
        return EncoderPretraining.Kind.allCases.count * size.checkpoints + (1 + 4 * sparsities.count + patterns)
            + (sparsities.count + 1) + 2 * (1 + 2 * coarse.count) + comparedKinds.count * (1 + sparsities.count)
    }

    package init(_ texts: LetterTexts, size: EncoderSize, seed: UInt64, progress: () -> Void) throws {
        let task = EncoderTask(texts, size: size, seed: seed)
        self.seed = seed
        var pretrainings: [EncoderPretraining.Kind: EncoderPretraining] = [:]
        for kind in EncoderPretraining.Kind.allCases {
            pretrainings[kind] = try EncoderPretraining(kind, task, seed: seed, progress: progress)
        }
        self.pretrainings = pretrainings

        func encoder(_ stack: Snapshot?, training: SupervisedTraining? = nil) throws -> MaskedTransformer {
            let network = EncoderClassifier(
                size.configuration, classCount: EncoderTask.classCount, seed: seed)
            stack?.restore(network.stack)
            return try .classifier(
                network, pruning: EncoderTask.prunableWeights, classCount: EncoderTask.classCount,
                training: training ?? task.tuning, source: task.training, shards: task.testing)
        }
        func sweep(_ encoder: MaskedTransformer, _ variants: [SparsityVariant]) throws -> SparsityReport {
            try encoder.sweep(variants, tolerance: EssentialSparsity.tunedTolerance, seed: seed, progress: progress)
        }
        func standard(_ sparsities: [Double], _ labels: [String]) -> [SparsityVariant] {
            SparsityVariant.standard(sparsities: sparsities, labels, seed: seed)
        }
        let pretrained = try encoder(pretrainings[.masked]?.stack)
        tuned = try sweep(
            pretrained,
            standard(Self.sparsities, [Label.global, Label.layer, Label.random, Label.randomErdosRenyi])
                + PatternCurves.variants)
        iterative = try pretrained.lotteryLevels(at: Self.sparsities, progress: progress)
        fresh = try sweep(try encoder(nil), standard(Self.coarse, [Label.global, Label.random]))
        freshTrained = try sweep(
            try encoder(nil, training: task.control), standard(Self.coarse, [Label.global, Label.random]))
        tunedOthers = [:]
        for kind in Self.comparedKinds {
            tunedOthers[kind] = try sweep(
                try encoder(pretrainings[kind]?.stack), standard(Self.sparsities, [Label.global]))
        }
    }
}
