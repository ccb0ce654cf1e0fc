import CoppiceNetworks
import CoppiceTensors

/// Batches of images of which patches are hidden at random, for networks that learn to fill them in.
///
/// Every image hides as many patches (He et al., "Masked autoencoders are scalable vision learners", 2022, section 3;
/// Xie et al., "SimMIM: a simple framework for masked image modeling", 2022, section 3.2). The batch of a step is a
/// function of the images, the seed and the step alone.
///
/// ```swift
/// let images = ImageBatches(dataSet, batchSize: 64, seed: 1)
/// try training.run(network, on: MaskedPatches(images, patchCount: 16, hiddenCount: 10, seed: 1))
/// ```
public struct MaskedPatches: BatchSource {
    /// Whose inputs are shown; its targets are not.
    public let images: any BatchSource
    /// Patches of an image.
    public let patchCount: Int
    /// Those that are hidden of each image.
    public let hiddenCount: Int
    public let seed: UInt64

    /// - Precondition: from none to all of the patches are hidden.
    public init(_ images: any BatchSource, patchCount: Int, hiddenCount: Int, seed: UInt64) {
        precondition((0...patchCount).contains(hiddenCount), "\(hiddenCount) hidden patches of \(patchCount)")
        self.images = images
        self.patchCount = patchCount
        self.hiddenCount = hiddenCount
        self.seed = seed
    }

    public var batchesPerEpoch: Int { images.batchesPerEpoch }

    /// The images, and i64 `[images, patches]`: 1 where a patch is hidden, 0 where it is seen.
    public func batch(at step: Int) -> LabeledBatch {
        let inputs = images.batch(at: step).inputs
        var generator = RandomGenerator(seed: seed, stream: UInt32(truncatingIfNeeded: step))
        let isHidden = (0..<inputs.shape[0]).flatMap { _ -> [Int] in
            var row = [Int](repeating: 0, count: patchCount)
            for patch in row.indices.shuffled(using: &generator).prefix(hiddenCount) { row[patch] = 1 }
            return row
        }
        return LabeledBatch(inputs: inputs, targets: Tensor(isHidden, shape: [inputs.shape[0], patchCount]))
    }
}
