import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTraining

/// One seed of the vision transformers' part: two pre-trainings, and what fine-tuning under masks makes of them.
package struct VisionSparsityTrial: Sendable {
    typealias Label = EssentialSparsityMeasurement.Label

    package var seed: UInt64
    package var pretrainings: [VisionPretraining.Kind: VisionPretraining]
    /// Fine-tuned on the other classes under masks by magnitude and at random. Losses are shares of errors.
    package var tuned: [VisionPretraining.Kind: SparsityReport]
    /// The same from initial weights, at the sparsities of controls.
    package var fresh: SparsityReport

    package init(
        seed: UInt64, pretrainings: [VisionPretraining.Kind: VisionPretraining],
        tuned: [VisionPretraining.Kind: SparsityReport], fresh: SparsityReport
    ) {
        self.seed = seed
        self.pretrainings = pretrainings
        self.tuned = tuned
        self.fresh = fresh
    }

    /// Parts of a trial, as progress counts them.
    static func partCount(_ size: VisionSparsitySize) -> Int {
        VisionPretraining.Kind.allCases.count * (size.checkpoints + 1 + 2 * EssentialSparsity.sparsities.count) + 1
            + 2 * EssentialSparsity.coarseSparsities.count
    }

    package init(_ task: VisionSparsityTask, seed: UInt64, progress: () -> Void) throws {
        func sweep(_ encoder: Snapshot?, _ sparsities: [Double]) throws -> SparsityReport {
            let network = VisionTransformer(task.configuration, seed: seed)
            encoder?.restore(network.encoder)
            let masked = try MaskedTransformer.classifier(
                network, pruning: VisionSparsityTask.prunableWeights, classCount: task.classCount,
                training: task.tuningSteps, source: task.tuningBatches(seed: seed), shards: task.testing)
            return try masked.sweep(
                SparsityVariant.standard(sparsities: sparsities, [Label.global, Label.random], seed: seed),
                tolerance: EssentialSparsity.tunedTolerance, seed: seed, progress: progress)
        }
        self.seed = seed
        (pretrainings, tuned) = ([:], [:])
        fresh = try sweep(nil, EssentialSparsity.coarseSparsities)
        for kind in VisionPretraining.Kind.allCases {
            let (measured, encoder) = try VisionPretraining.trained(kind, task, seed: seed, progress: progress)
            pretrainings[kind] = measured
            tuned[kind] = try sweep(encoder, EssentialSparsity.sparsities)
        }
    }
}
