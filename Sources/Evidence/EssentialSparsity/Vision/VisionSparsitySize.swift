import CoppiceModels
import CoppiceTraining

/// How much the vision transformers' part of the experiment trains.
package struct VisionSparsitySize: Sendable, Hashable {
    package var width = 64
    package var depth = 3
    package var headSize = 16
    /// Rows and columns of a patch.
    package var patchSize = 8
    /// The part of the patches that is hidden from a self-supervised network.
    package var hiddenShare = 0.6
    /// Optimizer steps and images of each.
    package var pretrainingSteps = 1_000
    package var pretrainingBatch = 64
    package var pretrainingRate = 2e-3
    /// Checkpoints along a pre-training, behind the initial state.
    package var checkpoints = 20
    package var tuningSteps = 120
    package var tuningBatch = 32
    package var tuningRate = 5e-4
    /// Images of the held-out classes to learn from; others are tested on.
    package var tuningImages = 1_500
    /// Images of the held-out classes to test on at most.
    package var testImages = 3_000

    package init() {}

    static let small = VisionSparsitySize()
    /// Hours' worth. The paper's ViT, 12 blocks of width 768 on ImageNet, is out of reach here.
    static let large: VisionSparsitySize = {
        var size = VisionSparsitySize()
        (size.width, size.depth, size.headSize, size.patchSize) = (192, 6, 32, 4)
        (size.pretrainingSteps, size.pretrainingBatch, size.pretrainingRate) = (5_000, 128, 1e-3)
        (size.tuningSteps, size.tuningBatch, size.tuningRate) = (300, 64, 3e-4)
        return size
    }()

    /// Steps and images multiplied.
    func scaled(by factor: Double) -> VisionSparsitySize {
        var size = self
        size.pretrainingSteps = pretrainingSteps.scaled(by: factor, least: checkpoints)
        size.tuningSteps = tuningSteps.scaled(by: factor, least: 2)
        size.tuningImages = tuningImages.scaled(by: factor, least: tuningBatch)
        size.testImages = testImages.scaled(by: factor, least: 32)
        return size
    }

    func configuration(of images: ImageDataSet) -> VisionTransformer.Configuration {
        VisionTransformer.Configuration(
            depth: depth, width: width, headSize: headSize, patchSize: patchSize,
            options: ClassifierOptions(
                classes: images.classCount, inputChannels: images.channels,
                imageSize: .init(rows: images.rows, columns: images.columns)))
    }

    var pretraining: SupervisedTraining { .pretraining(steps: pretrainingSteps, peakRate: pretrainingRate) }
}
