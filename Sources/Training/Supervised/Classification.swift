import CoppiceNetworks
import CoppiceTensors

/// How well a network tells classes apart.
public struct Classification: Sendable, Hashable {
    /// Targets that count.
    public var count = 0
    /// Those whose class has the largest score.
    public var correct = 0
    /// The sum of cross-entropies in nats.
    public var totalLoss = 0.0

    public init() {}

    /// The fraction that is right; 0 of nothing.
    public var accuracy: Double { count == 0 ? 0 : Double(correct) / Double(count) }
    /// The mean cross-entropy in nats; 0 of nothing.
    public var loss: Double { count == 0 ? 0 : totalLoss / Double(count) }

    /// Measures a network in use (running statistics) on batches, skipping zeros of its weights where that is faster, and
    /// leaves it in the mode that it was in.
    public init(of network: any SupervisedNetwork, on batches: some Sequence<LabeledBatch>) {
        self = Self.measure(network, on: batches) ?? Classification()
    }

    /// Measures as ``init(of:on:)`` does, and can be ended.
    ///
    /// - Parameter progress: told the examples done; false ends the measurement.
    /// - Returns: nil when it was ended.
    public static func measure(
        _ network: any SupervisedNetwork, on batches: some Sequence<LabeledBatch>,
        progress: (Int) -> Bool = { _ in true }
    ) -> Classification? {
        network.inUseSkippingZeros {
            var result = Classification()
            for batch in batches {
                result.add(network.outputs(batch.inputs), targets: batch.targets)
                guard progress(result.count) else { return nil }
            }
            return result
        }
    }

    /// - Parameter source: what errors call the network.
    /// - Throws: `.badData` where a score was not a number, so that neither accuracy nor loss mean anything.
    public func checkFinite(source: String?) throws {
        guard !totalLoss.isFinite else { return }
        throw CoppiceError(
            .badData, source: source, "the network's scores are not finite numbers: its activations overflow")
    }

    /// Takes in scores `[..., classes]` of targets `[...]`; negative targets do not count.
    public mutating func add(_ scores: Tensor, targets: Tensor) {
        let classes = scores.shape[scores.rank - 1]
        let rows = scores.reshaped([-1, classes])
        let flat = targets.reshaped([-1])
        let chosen = rows.argmax().integers()
        for (target, choice) in zip(flat.integers(), chosen) where target >= 0 {
            count += 1
            if target == choice { correct += 1 }
        }
        totalLoss += Double(rows.crossEntropy(targets: flat).sum().scalar)
    }
}
