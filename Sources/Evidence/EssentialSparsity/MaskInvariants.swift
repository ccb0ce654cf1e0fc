import CoppiceCompression
import CoppiceTensors

/// What must be exactly true of masks, counted on a real model's matrices.
struct MaskInvariants: Sendable, Hashable {
    /// Sparsities at which global magnitude or random masks keep another number than N − ⌊s·N⌋.
    var wrongCounts = 0
    /// Neighbouring sparsities whose masks are not nested.
    var nestingViolations = 0
    /// Sparsities at which some removed weight is larger than some kept one.
    var orderViolations = 0
    /// Matrices in which some group of an N:M pattern keeps another number than N.
    var patternViolations = 0
    /// The largest distance of an Erdős–Rényi allocation from its budget, in weights.
    var largestBudgetError = 0
    /// Matrices to which an Erdős–Rényi allocation gives more than they have.
    var overfullMatrices = 0

    init() {}

    /// Counts violations.
    ///
    /// - Parameters:
    ///   - tenths: sparsities in tenths, increasing: counts are checked in whole numbers, not by the floating-point
    ///     arithmetic that made them.
    ///   - values: the matrix with the given index, f32.
    init(
        _ weights: [PrunableWeight], tenths: [Int], seed: UInt64, values: (Int) -> Tensor
    ) throws {
        let total = weights.reduce(0) { $0 + $1.count }
        let criteria: [any Criterion] = [MagnitudeCriterion(), RandomCriterion(seed: seed)]
        for criterion in criteria {
            var denser: [WeightMask]?
            for tenth in tenths {
                let masks = try PruningMethod(
                    criterion: criterion, granularity: UnstructuredGranularity(), allocation: GlobalAllocation(),
                    sparsity: Double(tenth) / 10
                ).masks(of: weights, values: values)
                if masks.reduce(0, { $0 + $1.keptCount }) != total - total * tenth / 10 { wrongCounts += 1 }
                if let denser, !zip(masks, denser).allSatisfy({ $0.isSubset(of: $1) }) { nestingViolations += 1 }
                denser = masks
                if criterion is MagnitudeCriterion, !Self.isOrdered(masks, values: values) { orderViolations += 1 }
            }
        }
        for (kept, length) in [(1, 2), (2, 4), (4, 8)] where weights.allSatisfy({ $0.columns % length == 0 }) {
            let pattern = SemiStructuredPattern(kept: kept, of: length)
            let masks = try PruningMethod(
                criterion: MagnitudeCriterion(), granularity: SemiStructuredGranularity(pattern),
                allocation: UniformAllocation(), sparsity: pattern.sparsity
            ).masks(of: weights, values: values)
            // At most N in every group and N·groups in all: exactly N in every group.
            patternViolations += masks.count {
                !$0.satisfies(pattern) || $0.keptCount != $0.count / length * kept
            }
        }
        for tenth in tenths {
            let removed = ErdosRenyiAllocation().removedCounts(weights, sparsity: Double(tenth) / 10) { values($0) }
            let error = abs(removed.reduce(0, +) - total * tenth / 10)
            largestBudgetError = max(largestBudgetError, error)
            let densities = ErdosRenyiAllocation.densities(weights, total: total - total * tenth / 10)
            overfullMatrices += densities.count { $0 > 1 }
            overfullMatrices += zip(removed, weights).count { $0 < 0 || $0 > $1.count }
        }
    }

    /// Whether no kept weight is smaller in magnitude than a removed one.
    static func isOrdered(_ masks: [WeightMask], values: (Int) -> Tensor) -> Bool {
        var smallestKept = Float.infinity
        var largestRemoved: Float = -1
        for (index, mask) in masks.enumerated() {
            values(index).withElements(Float.self) { elements in
                for (position, value) in elements.enumerated() {
                    if mask.words[position / 64] >> UInt64(position % 64) & 1 == 1 {
                        smallestKept = min(smallestKept, abs(value))
                    } else {
                        largestRemoved = max(largestRemoved, abs(value))
                    }
                }
            }
        }
        return smallestKept >= largestRemoved
    }
}
