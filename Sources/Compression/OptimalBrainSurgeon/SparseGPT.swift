import CoppiceTensors

/// Removes weights of a linear layer and lets the others make up for them, so that its outputs change least.
///
/// Columns are gone through from left to right. A weight w of column j that goes costs w² / [H⁻¹]_jj and moves the weights of
/// its row to the right by −w / [H⁻¹]_jj · [H⁻¹]_j,j: with H of the inputs from j on; those to the left stay as they are.
/// So all rows share one factorization, and the weights to the right are the exact optimum each time (optimal brain
/// surgeon). Frantar and Alistarh, "SparseGPT: Massive Language Models Can Be Accurately Pruned in One-Shot" (2023),
/// algorithm 1.
///
/// ```swift
/// var moments = InputMoments()
/// moments.add(inputs)
/// let inverse = try moments.inverse(dampening: 0.01)
/// let (values, mask) = SparseGPT().prune(weight, .count(weight.count / 2), inverse: inverse)
/// ```
public struct SparseGPT: Sendable, Hashable {
    /// What is added to H's diagonal, as a part of its mean.
    public var dampening: Double
    /// Columns that are chosen from at once, and that are up to date while one of them is worked on. What is left of a given
    /// mask does not depend on it.
    public var blockSize: Int

    /// Which weights go.
    public enum Choice: Sendable, Hashable {
        /// All that a mask does not keep.
        case mask(WeightMask)
        /// So many of the matrix, the same part of each block of columns, by one threshold for all rows.
        case count(Int)
        /// Of each group of a row those that cost least when its turn comes.
        case pattern(SemiStructuredPattern)
    }

    /// - Precondition: a dampening above zero, a block of at least one column.
    public init(dampening: Double = 0.01, blockSize: Int = 128) {
        precondition(dampening > 0 && blockSize > 0, "dampening \(dampening), blocks of \(blockSize) columns")
        self.dampening = dampening
        self.blockSize = blockSize
    }

    /// The matrix with some weights removed and the others compensated.
    ///
    /// Where weights are chosen, those of inputs that are always zero become zero and go first, as published; a given
    /// mask leaves them as they are.
    ///
    /// - Parameters:
    ///   - weights: W, f32 `[outputs, inputs]`, finite.
    ///   - present: weights that may be kept; the others go, and count among those removed. Nil: all.
    ///   - inverse: of the moments of the matrix's inputs.
    /// - Returns: f32 `[outputs, inputs]`, `+0` where removed, and what is kept.
    /// - Precondition: equal shapes; a count that is no smaller than what is not present; a pattern that divides the inputs.
    /// - Complexity: O(outputs · inputs²) by matrix products, and O(outputs · inputs · block) beside them. The result does
    ///   not depend on the number of threads.
    public func prune(
        _ weights: Tensor, _ choice: Choice, present: WeightMask? = nil, inverse: InverseMoments
    ) -> (values: Tensor, mask: WeightMask) {
        let sweep = ColumnSweep(weights, inverse.factor)
        guard sweep.rows > 0, sweep.columns > 0 else {
            return (weights, WeightMask(keepingAllOf: sweep.rows, sweep.columns))
        }
        if let present { sweep.remove(present) }
        var size = blockSize
        var quotas = BlockQuotas.none
        switch choice {
        case .mask(let mask): sweep.remove(mask)
        case .count(let count):
            sweep.clear(inverse.unusedInputs)
            quotas = BlockQuotas(removing: count, removed: sweep.removedOfColumns, rows: sweep.rows)
        case .pattern(let pattern):
            sweep.clear(inverse.unusedInputs)
            size = (size + pattern.groupLength - 1) / pattern.groupLength * pattern.groupLength
            sweep.pattern = pattern
        }
        for start in stride(from: 0, to: sweep.columns, by: size) {
            let block = start..<min(start + size, sweep.columns)
            sweep.bringUpToDate(block)
            if let quota = quotas.removals(in: block) { sweep.choose(quota, in: block) }
            sweep.sweep(block)
        }
        return (sweep.values, sweep.mask)
    }
}

/// How many weights of each block of columns go, so that their sum is exact.
private struct BlockQuotas {
    static let none = BlockQuotas()

    /// Weights before each column that are gone already, and that could go.
    private var removed: [Int] = []
    private var free: [Int] = []
    private var isEmpty = true
    private var count = 0

    private init() {}

    /// - Parameter removed: what is gone already of each column.
    init(removing count: Int, removed ofColumns: [Int], rows: Int) {
        isEmpty = false
        removed = ofColumns.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1) }
        free = removed.enumerated().map { $0.offset * rows - $0.element }
        let gone = removed[removed.count - 1]
        precondition(count >= gone && count <= gone + free[free.count - 1], "\(count) to remove, \(gone) are gone")
        self.count = count - gone
    }

    /// The same part of what is left in each block, with what is gone; nil where nothing is chosen.
    func removals(in block: Range<Int>) -> Int? {
        guard !isEmpty else { return nil }
        let all = free[free.count - 1]
        let until = { (column: Int) in all == 0 ? 0 : free[column] * count / all }
        return removed[block.upperBound] - removed[block.lowerBound] + until(block.upperBound) - until(block.lowerBound)
    }
}
