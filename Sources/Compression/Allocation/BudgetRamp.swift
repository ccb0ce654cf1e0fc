import CoppiceTensors
import CoppiceTraining

/// Budgets on the way: each matrix is as far on a ramp to its own budget as all of them together are on theirs.
///
/// A sparsity s of all entries says how far that is: with r_l(u) what the ramp removes of matrix l at its place u,
/// Σ_l ⌊r_l(u)⌋ is the most that is at most ⌊s·N⌋. At the end of the ramp every matrix has exactly its budget.
struct BudgetRamp: Allocation {
    let ramp: SparsityRamp
    /// Entries that are removed of each matrix at the start.
    let start: [Int]
    /// Entries that are removed of each in the end; at least those at the start.
    let goal: [Int]

    /// - Precondition: as many matrices as the ramp was made for.
    /// - Complexity: O(L) for L matrices.
    func removedCounts(
        _ weights: [PrunableWeight], sparsity: Double, scores: (Int) throws -> Tensor
    ) -> [Int] {
        precondition(weights.count == start.count, "a ramp of \(start.count) budgets for \(weights.count) matrices")
        let wanted = ExactSelection.removedCount(weights.reduce(0) { $0 + $1.count }, sparsity: sparsity)
        guard wanted < goal.reduce(0, +) else { return goal }
        // Counts rise with the place, which halving finds; finer than an entry of any matrix.
        var (low, high) = (0.0, 1.0)
        for _ in 0..<48 {
            let middle = (low + high) / 2
            if counts(weights, at: middle).reduce(0, +) <= wanted { low = middle } else { high = middle }
        }
        return counts(weights, at: low)
    }

    private func counts(_ weights: [PrunableWeight], at place: Double) -> [Int] {
        weights.indices.map { index in
            guard start[index] < goal[index] else { return goal[index] }
            let count = Double(weights[index].count)
            let sparsity = ramp.sparsity(
                at: place, from: Double(start[index]) / count, to: Double(goal[index]) / count)
            return max(start[index], ExactSelection.removedCount(weights[index].count, sparsity: sparsity))
        }
    }
}
