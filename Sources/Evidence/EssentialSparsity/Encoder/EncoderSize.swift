import CoppiceModels
import CoppiceNetworks
import CoppiceTraining

/// How much the encoder's part of the experiment trains.
package struct EncoderSize: Sendable, Hashable {
    package var width = 64
    package var layers = 2
    package var heads = 4
    /// Tokens of a window.
    package var context = 24
    /// Letters of each collection that are used at most.
    package var letters = 2_000_000
    /// The part of the texts that the model with less data sees.
    package var lessData = 1.0 / 256
    /// Optimizer steps and windows of each.
    package var pretrainingSteps = 1_800
    package var pretrainingBatch = 40
    package var pretrainingRate = 4e-3
    /// Checkpoints along a pre-training, behind the initial state.
    package var checkpoints = 20
    /// Windows whose gaps measure a masked language model.
    package var heldOutWindows = 256
    package var tuningSteps = 120
    package var tuningBatch = 16
    package var tuningRate = 5e-4
    /// The control that is trained from initial weights until it has learned the task.
    package var controlSteps = 480
    package var controlRate = 1e-3
    /// Passages to learn the task from, and to test it on.
    package var tuningPassages = 3_000
    package var testPassages = 1_600

    package init() {}

    static let small = EncoderSize()
    /// Hours' worth. The paper's BERT, 12 layers of width 768, is out of reach here.
    static let large: EncoderSize = {
        var size = EncoderSize()
        (size.width, size.layers, size.context) = (128, 4, 64)
        (size.pretrainingSteps, size.pretrainingBatch, size.pretrainingRate) = (6_000, 64, 2e-3)
        size.heldOutWindows = 512
        (size.tuningSteps, size.tuningBatch, size.controlSteps) = (400, 32, 1_600)
        (size.tuningPassages, size.testPassages) = (12_000, 6_000)
        return size
    }()

    /// Steps and passages multiplied.
    func scaled(by factor: Double) -> EncoderSize {
        var size = self
        size.pretrainingSteps = pretrainingSteps.scaled(by: factor, least: checkpoints)
        size.tuningSteps = tuningSteps.scaled(by: factor, least: 2)
        size.controlSteps = controlSteps.scaled(by: factor, least: 2)
        size.tuningPassages = tuningPassages.scaled(by: factor, least: tuningBatch)
        // Parts of one size, as many as are tested apart.
        size.testPassages = testPassages.scaled(by: factor, least: 32) / 8 * 8
        size.heldOutWindows = heldOutWindows.scaled(by: factor, least: 32)
        return size
    }

    var configuration: EncoderConfiguration {
        EncoderConfiguration(
            vocabularySize: LetterTexts.vocabularySize, hiddenSize: width, layerCount: layers, headCount: heads,
            positionCount: context + 1 + LetterTexts.pad, tokenTypeCount: 1, normEpsilon: 1e-5,
            padToken: LetterTexts.pad)
    }

    func pretraining(weightDecay: Double) -> SupervisedTraining {
        .pretraining(steps: pretrainingSteps, peakRate: pretrainingRate, weightDecay: weightDecay)
    }
}
