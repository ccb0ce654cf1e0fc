import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// A small encoder of one seed, pre-trained on gaps in texts, that optimizers fine-tune to the same task on the same
/// batches; task and pre-training are those of ``EssentialSparsity``.
package struct TuningTrial: Sendable {
    let task: EncoderTask
    /// m of M-FAC.
    let window: Int
    let seed: UInt64
    /// Pre-trained.
    let stack: Snapshot

    /// Pre-trains.
    package init(_ texts: LetterTexts, size: EncoderSize, window: Int, seed: UInt64) throws {
        task = EncoderTask(texts, size: size, seed: seed)
        self.window = window
        self.seed = seed
        let network = MaskedLanguageEncoder(size.configuration, seed: seed)
        try size.pretraining(weightDecay: 0).run(
            network,
            on: MaskedLetters(
                texts: texts.pretraining(), length: size.context, batchSize: size.pretrainingBatch, seed: seed))
        stack = Snapshot(of: network.stack)
    }

    /// Fine-tunes, with a rate that falls linearly to zero.
    ///
    /// - Parameter rate: where it starts.
    package func tune(_ descent: MFACMeasurement.Descent, rate: Double) throws -> Descended {
        let network = EncoderClassifier(task.size.configuration, classCount: EncoderTask.classCount, seed: seed)
        stack.restore(network.stack)
        var training = task.tuning
        training.rates.peak = rate
        training.optimizer = descent.optimizer(window: window)
        return try Descended(training, of: network, on: task.training) {
            Classification(of: network, on: task.testing).accuracy
        }
    }
}
