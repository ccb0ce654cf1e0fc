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
        self = try Self.inTurns([network], on: batch, repetitions: repetitions)[0]
    }

    /// Measures several networks side by side, and leaves them as they were: steps and passes take turns, so that what
    /// else the machine does meets all of them.
    ///
    /// - Parameters:
    ///   - batch: one that all of them take.
    ///   - repetitions: steps and passes of each that count, after one that does not.
    /// - Throws: `.badData` where a loss is not finite.
    public static func inTurns(
        _ networks: [any SupervisedNetwork], on batch: LabeledBatch, repetitions: Int = 5
    ) throws -> [NetworkSpeed] {
        precondition(repetitions > 0, "a median of nothing")
        let before = networks.map { Snapshot(of: $0) }
        defer { for (network, snapshot) in zip(networks, before) { snapshot.restore(network) } }
        let rates = LearningRateSchedule(
            kind: .constant, peak: 1e-4, warmupSteps: 0, minimumRatio: 1, totalSteps: 1)
        let training = SupervisedTraining(optimizer: SGD(momentum: 0.9), rates: rates)
        let source = OneBatch(labeled: batch)
        func step(_ network: any SupervisedNetwork) throws {
            try network.withTraining(true) { try training.run(network, on: source) }
        }
        // Before steps, which leave no weight at zero.
        let passBytes = networks.map { network in
            network.inUseSkippingZeros { peak { pass(network, batch.inputs) } }
        }
        let passes = passSeconds(of: networks, on: batch.inputs, repetitions: repetitions)
        let trainingBytes = try networks.map { network in try peak { try step(network) } }
        let steps = try medians(repetitions, of: networks.indices) { try step(networks[$0]) }
        return networks.enumerated().map { index, network in
            let own =
                network.parameters.reduce(0) { $0 + $1.parameter.wrappedValue.byteCount }
                + network.stateTensors.reduce(0) { $0 + $1.state.wrappedValue.byteCount }
            return NetworkSpeed(
                trainingStep: steps[index], inference: passes[index], trainingBytes: own + trainingBytes[index],
                inferenceBytes: own + passBytes[index])
        }
    }

    private init(trainingStep: Double, inference: Double, trainingBytes: Int, inferenceBytes: Int) {
        self.trainingStep = trainingStep
        self.inference = inference
        self.trainingBytes = trainingBytes
        self.inferenceBytes = inferenceBytes
    }

    /// Seconds of the median pass in use, after one that does not count.
    public static func passSeconds(
        of network: any SupervisedNetwork, on inputs: Tensor, repetitions: Int = 5
    ) -> Double {
        passSeconds(of: [network], on: inputs, repetitions: repetitions)[0]
    }

    /// The same of several networks. Their zeros are looked for before.
    private static func passSeconds(
        of networks: [any SupervisedNetwork], on inputs: Tensor, repetitions: Int
    ) -> [Double] {
        let products = networks.map { SparseProducts(skippingZerosOf: $0) }
        return medians(repetitions, of: networks.indices) { index in
            withSparseProducts(products[index]) { pass(networks[index], inputs) }
        }
    }

    private static func pass(_ network: any SupervisedNetwork, _ inputs: Tensor) {
        network.inUse { _ = network.outputs(inputs).sum().scalar }
    }

    /// Seconds of the median run of each; they take turns, after one run of each that does not count.
    private static func medians(
        _ repetitions: Int, of indices: Range<Int>, _ body: (Int) throws -> Void
    ) rethrows -> [Double] {
        var times = indices.map { _ in [Double]() }
        for round in 0...repetitions {
            for index in indices {
                let start = DispatchTime.now().uptimeNanoseconds
                try body(index)
                if round > 0 { times[index].append(Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9) }
            }
        }
        return times.map { own in
            let sorted = own.sorted()
            return (sorted[(repetitions - 1) / 2] + sorted[repetitions / 2]) / 2
        }
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
