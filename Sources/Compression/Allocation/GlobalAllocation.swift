import CoppiceTensors

/// One threshold for all matrices: the ⌊s·N⌋ smallest scores of the whole model go, wherever they are.
///
/// Matrices with small scores may lose nearly everything. Ties are broken by (matrix order, index).
/// Gupta et al., "Is Complexity Required for Neural Network Pruning?" (2022); Jaiswal et al. (2023).
public struct GlobalAllocation: Allocation {
    public init() {}

    public var needsScores: Bool { true }

    /// - Complexity: O(N) in four passes over the scores, holding one matrix's at a time.
    public func removedCounts(
        _ weights: [PrunableWeight], sparsity: Double, scores: (Int) throws -> Tensor
    ) throws -> [Int] {
        let total = weights.reduce(0) { $0 + $1.count }
        let removed = ExactSelection.removedCount(total, sparsity: sparsity)
        let threshold = try ExactSelection.threshold(removing: removed) { visit in
            for index in weights.indices { try scores(index).withElements(Float.self) { visit($0) } }
        }
        var ties = threshold.ties
        return try weights.indices.map { index in
            let (below, equal) = try scores(index).withElements(Float.self) {
                ExactSelection.counts($0, around: threshold)
            }
            let taken = min(ties, equal)
            ties -= taken
            return below + taken
        }
    }
}
