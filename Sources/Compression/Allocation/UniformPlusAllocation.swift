import CoppiceTensors

/// Every matrix loses the same fraction, but the first stays dense and the last loses four fifths at most; the others
/// make up for both.
///
/// Gale, Elsen and Hooker, "The state of sparsity in deep neural networks" (2019), section 5, for networks that begin with
/// a small convolution.
public struct UniformPlusAllocation: Allocation {
    /// The most that the last matrix loses.
    public static let lastSparsity = 0.8
    /// Whether the first matrix stays dense.
    public var keepsFirst: Bool

    public init(keepsFirst: Bool = true) { self.keepsFirst = keepsFirst }

    /// - Throws: `.usage` where the other matrices are too small to make up for the first and the last.
    public func check(_ weights: [PrunableWeight], sparsity: Double) throws {
        _ = try sparsities(weights, removing: Self.removed(weights, sparsity))
    }

    /// The counts removed add up to exactly ⌊s·N⌋.
    public func removedCounts(
        _ weights: [PrunableWeight], sparsity: Double, scores: (Int) throws -> Tensor
    ) throws -> [Int] {
        let removed = Self.removed(weights, sparsity)
        let exact = zip(weights, try sparsities(weights, removing: removed)).map { Double($0.count) * $1 }
        return WholeCounts.rounding(exact, total: removed, limits: limits(weights))
    }

    private static func removed(_ weights: [PrunableWeight], _ sparsity: Double) -> Int {
        ExactSelection.removedCount(weights.reduce(0) { $0 + $1.count }, sparsity: sparsity)
    }

    /// The most that each matrix may lose: none loses all.
    private func limits(_ weights: [PrunableWeight]) -> [Int] {
        var limits = weights.map { max(0, $0.count - 1) }
        if let last = limits.indices.last {
            limits[last] = ExactSelection.removedCount(weights[last].count, sparsity: Self.lastSparsity)
        }
        if keepsFirst, !limits.isEmpty { limits[0] = 0 }
        return limits
    }

    /// The fraction that each matrix loses.
    private func sparsities(_ weights: [PrunableWeight], removing removed: Int) throws -> [Double] {
        let limits = limits(weights)
        guard removed <= limits.reduce(0, +) else {
            throw CoppiceError(
                .usage, field: "allocation",
                "uniform+ \(keepsFirst ? "keeps \(weights[0].name) dense and " : "")removes at most "
                    + "\(Self.lastSparsity) of \(weights[weights.count - 1].name), so \(limits.reduce(0, +)) of "
                    + "\(weights.reduce(0) { $0 + $1.count }) weights may go, not \(removed); expected a smaller sparsity, "
                    + "or weights without them")
        }
        let first = keepsFirst ? 1 : 0
        var sparsities = weights.map { _ in 0.0 }
        // The last loses as much as the others do, or as much as it may.
        let open = weights[min(first, weights.count)...].reduce(0) { $0 + $1.count }
        let even = open == 0 ? 0 : Double(removed) / Double(open)
        let last = weights.count - 1
        let others = last > first ? weights[first..<last].reduce(0) { $0 + $1.count } : 0
        let share = even <= Self.lastSparsity || others == 0 ? even : Double(removed - limits[last]) / Double(others)
        for index in weights.indices where index >= first { sparsities[index] = share }
        if last >= first, even > Self.lastSparsity, others > 0 {
            sparsities[last] = Double(limits[last]) / Double(max(1, weights[last].count))
        }
        return sparsities
    }
}
