import CoppiceTensors

/// Erdős–Rényi layer densities: a weight keeps in proportion to the sum of its extents, so that small weights stay
/// denser than large ones.
///
/// density_l = ε·(outputs + inputs + Σ kernel extents) / (outputs·inputs·Π kernel extents), with ε such that the total
/// matches. A weight whose density would exceed one stays dense and ε is solved again for the others. Mocanu et al.
/// (2018) for matrices; with kernels (ERK) Evci et al., "Rigging the Lottery" (2020), section 3.
public struct ErdosRenyiAllocation: Allocation {
    public init() {}

    /// The counts removed add up to exactly ⌊s·N⌋.
    public func removedCounts(
        _ weights: [PrunableWeight], sparsity: Double, scores: (Int) throws -> Tensor
    ) -> [Int] {
        let total = weights.reduce(0) { $0 + $1.count }
        let kept = total - ExactSelection.removedCount(total, sparsity: sparsity)
        let exact = zip(weights, Self.densities(weights, total: kept)).map { Double($0.count) * $1 }
        let counts = WholeCounts.rounding(exact, total: kept, limits: weights.map(\.count))
        return zip(weights, counts).map { $0.count - $1 }
    }

    /// The real-valued densities, one per matrix, for a budget of `total` kept entries.
    ///
    /// - Complexity: O(L²) for L matrices.
    public static func densities(_ weights: [PrunableWeight], total: Int) -> [Double] {
        ProportionalDensities.solving(
            weights.map(\.count), shares: weights.map { Double(extentSum($0)) }, total: total)
    }

    /// Outputs plus inputs plus the kernel's extents.
    private static func extentSum(_ weight: PrunableWeight) -> Int {
        weight.rows + weight.inputs + weight.kernel.reduce(0, +)
    }
}
