import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTraining

/// One seed of the vision transformers' part: two pre-trainings, and what fine-tuning under masks makes of them.
package struct VisionSparsityTrial: Sendable {
    typealias Label = EssentialSparsityMeasurement.Label

    package var seed: UInt64
    package var pretrainings: [VisionPretraining.Kind: VisionPretraining]
    /// Fine-tuned on the other classes under masks: magnitude with one threshold and random; layer by layer and random
    /// ERK at the sparsities of controls; N:M patterns. Losses are shares of errors.
    package var tuned: [VisionPretraining.Kind: SparsityReport]
    /// Iterative pruning to the sparsities of controls.
    package var iterative: [VisionPretraining.Kind: [LotteryLevel]]
    /// Magnitude and random from initial weights, at the sparsities of controls.
    package var fresh: SparsityReport

    package init(
        seed: UInt64, pretrainings: [VisionPretraining.Kind: VisionPretraining],
        tuned: [VisionPretraining.Kind: SparsityReport], iterative: [VisionPretraining.Kind: [LotteryLevel]],
        fresh: SparsityReport
    ) {
        self.seed = seed
        self.pretrainings = pretrainings
        self.tuned = tuned
        self.iterative = iterative
        self.fresh = fresh
    }

    /// Parts of a trial, as progress counts them.
    static func partCount(_ size: VisionSparsitySize) -> Int {
        let (sweeps, coarse) = (EssentialSparsity.sparsities.count, EssentialSparsity.coarseSparsities.count)
        let tuned = 1 + 2 * sweeps + 2 * coarse + PatternCurves.variants.reduce(0) { $0 + $1.steps.count }
        return VisionPretraining.Kind.allCases.count * (size.checkpoints + tuned + coarse + 1) + 1 + 2 * coarse
    }

    package init(_ task: VisionSparsityTask, seed: UInt64, progress: () -> Void) throws {
        func network(_ encoder: Snapshot?) throws -> MaskedTransformer {
            let network = VisionTransformer(task.configuration, seed: seed)
            encoder?.restore(network.encoder)
            return try .classifier(
                network, pruning: VisionSparsityTask.prunableWeights, classCount: task.classCount,
                training: task.tuningSteps, source: task.tuningBatches(seed: seed), shards: task.testing)
        }
        func sweep(_ network: MaskedTransformer, _ variants: [SparsityVariant]) throws -> SparsityReport {
            try network.sweep(variants, tolerance: EssentialSparsity.tunedTolerance, seed: seed, progress: progress)
        }
        func standard(_ sparsities: [Double], _ labels: [String]) -> [SparsityVariant] {
            SparsityVariant.standard(sparsities: sparsities, labels, seed: seed)
        }
        let coarse = EssentialSparsity.coarseSparsities
        self.seed = seed
        (pretrainings, tuned, iterative) = ([:], [:], [:])
        fresh = try sweep(try network(nil), standard(coarse, [Label.global, Label.random]))
        for kind in VisionPretraining.Kind.allCases {
            let (measured, encoder) = try VisionPretraining.trained(kind, task, seed: seed, progress: progress)
            let pretrained = try network(encoder)
            pretrainings[kind] = measured
            tuned[kind] = try sweep(
                pretrained,
                standard(EssentialSparsity.sparsities, [Label.global, Label.random])
                    + standard(coarse, [Label.layer, Label.randomErdosRenyi]) + PatternCurves.variants)
            iterative[kind] = try pretrained.lotteryLevels(at: coarse, progress: progress)
        }
    }
}
