import CoppiceNetworks
import CoppiceTensors

/// One threshold for all matrices: the ⌊s·N⌋ smallest scores of the whole model go, wherever they are.
///
/// Matrices with small scores may lose nearly everything, unless a floor keeps the largest scores of each: those are set
/// aside, and the threshold is found among the others. Where the floor is not needed it changes nothing, and the count is
/// exact with it too. Ties are broken by (matrix order, index).
/// Gupta et al., "Is Complexity Required for Neural Network Pruning?" (2022), whose loop over layers this replaces by one
/// selection; Jaiswal et al. (2023).
public struct GlobalAllocation: Allocation {
    /// The least that each matrix keeps; nil for no such limit.
    public var floor: LayerFloor?

    public init(floor: LayerFloor? = nil) { self.floor = floor }

    public var needsScores: Bool { true }

    /// - Throws: `.usage` where floors keep more than the sparsity leaves, or are none.
    public func check(_ weights: [PrunableWeight], sparsity: Double) throws {
        guard let floor else { return }
        let total = weights.reduce(0) { $0 + $1.count }
        let kept = total - ExactSelection.removedCount(total, sparsity: sparsity)
        let reserved = try floor.counts(weights).reduce(0, +)
        guard reserved <= kept else {
            throw CoppiceError(
                .usage, field: "floor",
                "keeps \(reserved) of \(total) weights, and a sparsity of \(sparsity) leaves \(kept); expected a smaller "
                    + "floor or sparsity")
        }
    }

    /// The counts removed add up to exactly ⌊s·N⌋.
    ///
    /// - Complexity: O(N) in three passes over the scores, holding one matrix's at a time.
    public func removedCounts(
        _ weights: [PrunableWeight], sparsity: Double, scores: (Int) throws -> Tensor
    ) throws -> [Int] {
        try check(weights, sparsity: sparsity)
        let counts = weights.map(\.count)
        let removed = ExactSelection.removedCount(counts.reduce(0, +), sparsity: sparsity)
        return try SharedThreshold.removedCounts(
            counts, floors: floor?.counts(weights) ?? counts.map { _ in 0 }, removing: removed, scores: scores)
    }
}
