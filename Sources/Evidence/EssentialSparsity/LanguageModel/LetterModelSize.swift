import CoppiceModels
import CoppiceTraining

/// How much the language model's part of the experiment trains.
package struct LetterModelSize: Sendable, Hashable {
    package var width = 64
    package var layers = 4
    package var heads = 4
    /// Neurons of the gated feed-forward layer.
    package var intermediate = 128
    /// Letters that a window predicts.
    package var context = 32
    /// Optimizer steps and windows of each.
    package var steps = 600
    package var batch = 32
    package var rate = 4e-3
    /// Checkpoints along the training, behind the initial state.
    package var checkpoints = 20
    /// Windows of held-out texts that the loss is measured on.
    package var heldOutWindows = 128

    package init() {}

    static let small = LetterModelSize()
    /// Hours' worth.
    static let large: LetterModelSize = {
        var size = LetterModelSize()
        (size.width, size.layers, size.intermediate, size.context) = (128, 6, 384, 128)
        (size.steps, size.batch, size.rate, size.heldOutWindows) = (6_000, 64, 2e-3, 512)
        return size
    }()

    /// Steps and windows multiplied.
    func scaled(by factor: Double) -> LetterModelSize {
        var size = self
        size.steps = steps.scaled(by: factor, least: checkpoints)
        size.heldOutWindows = heldOutWindows.scaled(by: factor, least: 32)
        return size
    }

    var configuration: DecoderConfiguration {
        DecoderConfiguration(
            vocabularySize: LetterTexts.vocabularySize, hiddenSize: width, intermediateSize: intermediate,
            layerCount: layers, headCount: heads, maximumPositions: context, tiesEmbeddings: true, dataType: .f32)
    }

    func training(weightDecay: Double) -> SupervisedTraining {
        .pretraining(steps: steps, peakRate: rate, weightDecay: weightDecay)
    }
}
