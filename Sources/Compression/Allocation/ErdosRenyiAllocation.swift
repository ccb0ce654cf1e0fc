import CoppiceTensors

/// Erdős–Rényi layer densities: a matrix keeps in proportion to its outputs plus inputs, so that small matrices
/// stay denser than large ones.
///
/// density_l = ε·(rows + columns) / (rows·columns), with ε such that the total matches. A matrix whose density
/// would exceed one stays dense and ε is solved again for the others. Mocanu et al. (2018), Evci et al., "Rigging
/// the Lottery" (2020), appendix; for matrices the "kernel" form (ERK) is this one.
public struct ErdosRenyiAllocation: Allocation {
    public init() {}

    /// The counts removed add up to exactly ⌊s·N⌋.
    public func removedCounts(
        _ weights: [PrunableWeight], sparsity: Double, scores: (Int) throws -> Tensor
    ) -> [Int] {
        let total = weights.reduce(0) { $0 + $1.count }
        let kept = total - ExactSelection.removedCount(total, sparsity: sparsity)
        return zip(weights, Self.keptCounts(weights, total: kept)).map { $0.count - $1 }
    }

    /// The real-valued densities, one per matrix, for a budget of `total` kept entries.
    ///
    /// - Complexity: O(L²) for L matrices.
    public static func densities(_ weights: [PrunableWeight], total: Int) -> [Double] {
        var isDense = weights.map { $0.count == 0 }
        while true {
            let fixed = zip(weights, isDense).reduce(0) { $0 + ($1.1 ? $1.0.count : 0) }
            let share = zip(weights, isDense).reduce(0) { $0 + ($1.1 ? 0 : $1.0.rows + $1.0.columns) }
            let epsilon = share == 0 ? 0 : Double(total - fixed) / Double(share)
            let densities = zip(weights, isDense).map { weight, dense in
                dense ? 1 : epsilon * Double(weight.rows + weight.columns) / Double(weight.count)
            }
            let overfull = densities.indices.filter { densities[$0] > 1 }
            if overfull.isEmpty { return densities }
            for index in overfull { isDense[index] = true }
        }
    }

    /// Whole counts with the sum `total`: densities rounded down, the rest to the largest fractions, the earlier
    /// matrix first among equals.
    static func keptCounts(_ weights: [PrunableWeight], total: Int) -> [Int] {
        let exact = zip(weights, densities(weights, total: total)).map { Double($0.count) * $1 }
        var kept = zip(exact, weights).map { min($1.count, max(0, Int($0.rounded(.down)))) }
        let byFraction = exact.indices.sorted {
            let first = exact[$0] - exact[$0].rounded(.down)
            let second = exact[$1] - exact[$1].rounded(.down)
            return first == second ? $0 < $1 : first > second
        }
        var missing = total - kept.reduce(0, +)
        // One round is enough but for rounding errors of the densities.
        while missing != 0 {
            let before = missing
            for index in byFraction where missing > 0 && kept[index] < weights[index].count {
                kept[index] += 1
                missing -= 1
            }
            for index in byFraction.reversed() where missing < 0 && kept[index] > 0 {
                kept[index] -= 1
                missing += 1
            }
            precondition(before != missing, "the budget exceeds the matrices")
        }
        return kept
    }
}
