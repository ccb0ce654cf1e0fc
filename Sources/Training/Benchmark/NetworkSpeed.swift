import CoppiceNetworks
import CoppiceTensors
import Dispatch

/// How long a network takes to classify a batch and to take a training step on it, on this machine.
///
/// Times mean something in comparison with those of another network measured in the same run.
public struct NetworkSpeed: Sendable, Hashable {
    /// Seconds of the median training step: forward, backward and update by momentum.
    public var trainingStep: Double
    /// Seconds of the median pass in use.
    public var inference: Double

    /// Measures, and leaves the network as it was.
    ///
    /// - Parameter repetitions: steps and passes that count, after one that does not.
    /// - Throws: `.badData` where the loss is not finite.
    public init(of network: any SupervisedNetwork, on batch: LabeledBatch, repetitions: Int = 5) throws {
        precondition(repetitions > 0, "a median of nothing")
        let before = Snapshot(of: network)
        defer { before.restore(network) }
        func median(_ body: () throws -> Void) rethrows -> Double {
            try body()
            let times = try (0..<repetitions).map { _ in
                let start = DispatchTime.now().uptimeNanoseconds
                try body()
                return Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
            }.sorted()
            return (times[(repetitions - 1) / 2] + times[repetitions / 2]) / 2
        }
        let rates = LearningRateSchedule(
            kind: .constant, peak: 1e-4, warmupSteps: 0, minimumRatio: 1, totalSteps: 1)
        let training = SupervisedTraining(optimizer: SGD(momentum: 0.9), rates: rates)
        let source = OneBatch(labeled: batch)
        trainingStep = try network.withTraining(true) { try median { try training.run(network, on: source) } }
        inference = network.inUse { median { _ = network.outputs(batch.inputs).sum().scalar } }
    }

    private struct OneBatch: BatchSource {
        let labeled: LabeledBatch
        var batchesPerEpoch: Int { 1 }
        func batch(at step: Int) -> LabeledBatch { labeled }
    }
}
