import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// What pre-training a vision transformer did to its weights.
package struct VisionPretraining: Sendable {
    /// What is learned from the same images.
    package enum Kind: String, Sendable, CaseIterable {
        case supervised
        /// The pixels of hidden patches.
        case selfSupervised = "self-supervised"
    }

    package var checkpoints: [PretrainingCheckpoint]
    /// On test images of the classes seen: the share that a supervised network tells; the mean squared error of a
    /// self-supervised one, 1 for guessing the mean of a patch.
    package var result: Double

    package init(checkpoints: [PretrainingCheckpoint], result: Double) {
        self.checkpoints = checkpoints
        self.result = result
    }

    /// Trains, measures the initial state and checkpoints, and returns the encoder's weights too.
    ///
    /// Both kinds begin with the same weights and see the same images, steps and rates.
    static func trained(
        _ kind: Kind, _ task: VisionSparsityTask, seed: UInt64, progress: () -> Void
    ) throws -> (measured: VisionPretraining, encoder: Snapshot) {
        let images = task.pretrainingBatches(seed: seed)
        func train(_ network: any SupervisedNetwork, on source: any BatchSource) throws -> [PretrainingCheckpoint] {
            try task.size.pretraining.run(
                network, on: source, counting: VisionSparsityTask.prunableWeights, checkpoints: task.size.checkpoints,
                progress: progress)
        }
        switch kind {
        case .supervised:
            let network = VisionTransformer(task.configuration, seed: seed)
            let checkpoints = try train(network, on: images)
            let accuracy = Classification(of: network, on: task.pretrainingTests.batches(of: 250)).accuracy
            return (
                VisionPretraining(checkpoints: checkpoints, result: accuracy), Snapshot(of: network.encoder)
            )
        case .selfSupervised:
            let network = MaskedPatchNetwork(task.configuration, seed: seed)
            let source = MaskedPatches(
                images, patchCount: task.configuration.patchCount, hiddenCount: task.hiddenCount, seed: seed)
            let checkpoints = try train(network, on: source)
            let errors = network.inUse { task.hiddenPatches.map { Double(network.loss($0).scalar) } }
            return (
                VisionPretraining(checkpoints: checkpoints, result: SeedStatistics(errors).mean),
                Snapshot(of: network.encoder)
            )
        }
    }
}
