import CoppiceNetworks
import CoppiceTensors
import Dispatch

/// How long a network takes to classify a batch and to take a training step on it, and how much memory, on this machine.
///
/// Times mean something in comparison with those of another network measured in the same run.
public struct NetworkSpeed: Sendable, Hashable {
    /// Seconds of the median training step: forward, backward and update by momentum.
    public var trainingStep: Double
    /// Seconds of the median pass in use.
    public var inference: Double
    /// The most bytes of tensors at a time in a training step: network, what the optimizer remembers, gradients and what
    /// is kept for them. Sizes are rounded up as they are allocated; libraries' own workspaces are not in it.
    public var trainingBytes: Int
    /// The same of a pass in use.
    public var inferenceBytes: Int

    /// Measures, and leaves the network as it was.
    ///
    /// - Parameter repetitions: steps and passes that count, after one that does not.
    /// - Throws: `.badData` where the loss is not finite.
    public init(of network: any SupervisedNetwork, on batch: LabeledBatch, repetitions: Int = 5) throws {
        precondition(repetitions > 0, "a median of nothing")
        let before = Snapshot(of: network)
        defer { before.restore(network) }
        let rates = LearningRateSchedule(
            kind: .constant, peak: 1e-4, warmupSteps: 0, minimumRatio: 1, totalSteps: 1)
        let training = SupervisedTraining(optimizer: SGD(momentum: 0.9), rates: rates)
        let source = OneBatch(labeled: batch)
        let own =
            network.parameters.reduce(0) { $0 + $1.parameter.wrappedValue.byteCount }
            + network.stateTensors.reduce(0) { $0 + $1.state.wrappedValue.byteCount }
        (trainingStep, trainingBytes) = try network.withTraining(true) {
            let bytes = try Self.peak { try training.run(network, on: source) }
            return (try Self.median(repetitions) { try training.run(network, on: source) }, own + bytes)
        }
        inference = Self.passSeconds(of: network, on: batch.inputs, repetitions: repetitions)
        inferenceBytes = own + Self.peak { Self.pass(network, batch.inputs) }
    }

    /// Seconds of the median pass in use, after one that does not count.
    public static func passSeconds(
        of network: any SupervisedNetwork, on inputs: Tensor, repetitions: Int = 5
    ) -> Double {
        median(repetitions) { pass(network, inputs) }
    }

    private static func pass(_ network: any SupervisedNetwork, _ inputs: Tensor) {
        network.inUse { _ = network.outputs(inputs).sum().scalar }
    }

    private static func median(_ repetitions: Int, _ body: () throws -> Void) rethrows -> Double {
        try body()
        let times = try (0..<repetitions).map { _ in
            let start = DispatchTime.now().uptimeNanoseconds
            try body()
            return Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
        }.sorted()
        return (times[(repetitions - 1) / 2] + times[repetitions / 2]) / 2
    }

    /// The most bytes of tensors that `body` has at a time beyond those that there were.
    private static func peak(_ body: () throws -> Void) rethrows -> Int {
        let allocator = CachingAllocator.shared
        allocator.resetPeak()
        let before = allocator.liveBytes
        try body()
        return max(0, allocator.peakBytes - before)
    }

    private struct OneBatch: BatchSource {
        let labeled: LabeledBatch
        var batchesPerEpoch: Int { 1 }
        func batch(at step: Int) -> LabeledBatch { labeled }
    }
}
