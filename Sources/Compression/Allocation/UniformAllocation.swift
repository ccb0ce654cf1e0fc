import CoppiceTensors

/// Every matrix loses the same fraction: ⌊s·N_l⌋ entries.
public struct UniformAllocation: Allocation {
    public init() {}

    public func removedCounts(
        _ weights: [PrunableWeight], sparsity: Double, scores: (Int) throws -> Tensor
    ) -> [Int] {
        weights.map { ExactSelection.removedCount($0.count, sparsity: sparsity) }
    }
}
