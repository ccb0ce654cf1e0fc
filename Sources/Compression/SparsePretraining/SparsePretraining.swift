import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Prunes a network by magnitude while it is trained from scratch, on a schedule of compute: the result is sparse and
/// by the paper as good as a dense network of its *average* size, for the same compute.
///
/// ```swift
/// let schedule = try ComputePhaseSchedule(denseSteps: 10_000, finalSparsity: 0.6)
/// let pruning = SparsePretraining(try PrunableNetwork(network), schedule: schedule)
/// var training = SupervisedTraining(optimizer: AdamW(), rates: rates)      // of schedule.totalSteps
/// try training.run(network, on: batches, hooks: [pruning])
/// ```
///
/// Before a step that the schedule names, the smallest weights go; they never return. The gradient of a removed weight
/// is zero, so that it does not count in clipping, and so are its value and what the optimizer remembers of it.
///
/// Source: "The Journey Matters: Average Parameter Count over Pre-training Unifies Sparse and Dense Scaling Laws"
/// (2025).
public final class SparsePretraining: StoredTrainingHook, MaskHolding {
    public let network: PrunableNetwork
    public let schedule: ComputePhaseSchedule
    /// Lower than that of smaller batches: steps of language models have some thousand rows (`docs/performance.md`).
    public let sparseFrom = 0.75
    private let allocation: any Allocation

    /// - Parameter allocation: how the sparsity is shared out; by default one threshold for all weights.
    public init(
        _ network: PrunableNetwork, schedule: ComputePhaseSchedule, allocation: any Allocation = GlobalAllocation()
    ) {
        self.network = network
        self.schedule = schedule
        self.allocation = allocation
    }

    /// - Throws: `.badData` naming a weight that is NaN or infinite.
    public func willStep(_ step: Int) throws {
        guard let sparsity = schedule.sparsity(at: step) else { return }
        try network.prune(by: .magnitude, allocation: allocation, to: sparsity)
    }

    // MARK: - Checkpoints

    public var keptCounts: [KeptCount] {
        zip(network.weights, network.masks).map { KeptCount(name: $0.name, kept: $1.keptCount, count: $0.count) }
    }

    /// The masks as bitmaps, 64 weights an integer.
    public func tensors() -> [NamedTensor] {
        zip(network.weights, network.masks).map { weight, mask in
            NamedTensor(Self.prefix + weight.name, Tensor(mask.words.map { Int64(bitPattern: $0) }))
        }
    }

    public func restore(_ tensors: [String: Tensor], source: String) throws {
        network.setMasks(
            try network.weights.map { weight in
                let (name, wordCount) = (Self.prefix + weight.name, (weight.count + 63) / 64)
                guard let tensor = tensors[name] else {
                    throw CoppiceError(.badData, source: source, field: name, "is missing")
                }
                guard tensor.dataType == .i64, tensor.shape == [wordCount] else {
                    throw CoppiceError(
                        .badData, source: source, field: name,
                        "is \(tensor.dataType) \(tensor.shape), expected i64 [\(wordCount)]")
                }
                let words = tensor.withElements(Int64.self) { $0.map { UInt64(bitPattern: $0) } }
                let rest = UInt64(weight.count % 64)
                guard rest == 0 || (words.last ?? 0) >> rest == 0 else {
                    throw CoppiceError(
                        .badData, source: source, field: name, "has bits set past the last of \(weight.count) weights")
                }
                return WeightMask(rows: weight.rows, columns: weight.columns, words: words)
            })
    }

    private static let prefix = "mask."
}
