import CoppiceTensors

/// Layer densities in proportion to the part of each weight that the PQ index says must stay, so that one whose
/// magnitudes are less equal loses more.
///
/// density_l = ε·(1 − I_l)^(pq/(q − p)), with I_l the index of the weight's magnitudes and ε such that the total
/// matches; a weight whose density would exceed one stays whole and ε is solved again for the others, as in
/// ``ErdosRenyiAllocation``. The bound is theorem 1 of Diao et al., "Pruning deep neural networks from a sparsity
/// perspective" (2023), with η = 0 (``PQIndex/leastRetained(of:index:tail:)``). Their own method goes down to it round
/// by round (``AdaptiveSparsity``); here the sparsity is given, and the bounds say how it is shared out.
public struct PQIndexAllocation: Allocation {
    public var index: PQIndex

    public init(_ index: PQIndex = .gentle) { self.index = index }

    public var needsScores: Bool { true }

    /// The counts removed add up to exactly ⌊s·N⌋, or to what is removed already where that is more. What is removed
    /// already has no part in an index.
    ///
    /// - Parameter scores: magnitudes.
    /// - Throws: `.badData` for scores that are not finite.
    /// - Complexity: O(N), one pass.
    public func removedCounts(
        _ weights: [PrunableWeight], sparsity: Double, scores: (Int) throws -> Tensor
    ) throws -> [Int] {
        let bounds = try weights.indices.map { try bound(scores($0)) }
        let left = bounds.map(\.left)
        let count = weights.reduce(0) { $0 + $1.count }
        let total = min(count - ExactSelection.removedCount(count, sparsity: sparsity), left.reduce(0, +))
        let densities = ProportionalDensities.solving(left, shares: bounds.map(\.needed), total: total)
        let kept = WholeCounts.rounding(
            zip(left, densities).map { Double($0) * $1 }, total: total, limits: left)
        return zip(weights, kept).map { $0.count - $1 }
    }

    /// How many scores are left of a matrix, and how many of them must stay.
    private func bound(_ scores: Tensor) throws -> (left: Int, needed: Double) {
        var present = scores
        var left = scores.count
        present.withMutableElements(Float.self) { elements in
            for place in elements.indices where elements[place] == -.infinity {
                elements[place] = 0  // adds nothing to sums of powers
                left -= 1
            }
        }
        let sums = PQIndex.PowerSums(try index.sums(of: present, mask: nil), count: left)
        return (left, index.leastRetained(of: left, index: index.value(sums)))
    }
}
