import CoppiceTensors
import CoppiceTraining

/// How a sparsity is shared out among matrices.
public protocol Allocation: Sendable {
    /// Throws what names and shapes alone show to be wrong, so that it is known before any work.
    ///
    /// - Throws: `.usage`, naming the option and the weight at fault.
    func check(_ weights: [PrunableWeight], sparsity: Double) throws

    /// Throws where less is asked for than is removed already. A sparsity of zero asks for nothing.
    ///
    /// - Parameter removed: the entries that are removed of each matrix.
    /// - Throws: `.usage`.
    func check(_ weights: [PrunableWeight], sparsity: Double, removed: [Int]) throws

    /// Where pruning in several steps ends, and how the sparsities on the way there are shared out.
    ///
    /// - Parameters:
    ///   - sparsity: what the allocation is asked for in the end.
    ///   - removed: the entries that are removed of each matrix at the start.
    ///   - ramp: how the sparsity rises from step to step.
    /// - Returns: the fraction of all entries that is gone in the end, and what to ask for it and for smaller ones.
    /// - Throws: what ``check(_:sparsity:)`` throws.
    func path(
        to sparsity: Double, of weights: [PrunableWeight], from removed: [Int], along ramp: SparsityRamp
    ) throws -> (sparsity: Double, allocation: any Allocation)

    /// The number of entries to remove of each matrix.
    ///
    /// - Parameters:
    ///   - weights: the matrices in checkpoint order.
    ///   - sparsity: the fraction to remove, in `[0, 1)`.
    ///   - scores: the scores of the matrix with the given index; −∞ where an earlier stage removed an entry. May be
    ///     called several times, or never.
    /// - Throws: what ``check(_:sparsity:)`` throws, and what making scores throws.
    func removedCounts(
        _ weights: [PrunableWeight], sparsity: Double, scores: (_ index: Int) throws -> Tensor
    ) throws -> [Int]

    /// Whether the counts depend on the scores of all matrices, so that they cannot be had one block at a time.
    var needsScores: Bool { get }
}

extension Allocation {
    public func check(_ weights: [PrunableWeight], sparsity: Double) {}

    /// Compares all matrices together.
    public func check(_ weights: [PrunableWeight], sparsity: Double, removed: [Int]) throws {
        let (count, gone) = (weights.reduce(0) { $0 + $1.count }, removed.reduce(0, +))
        guard sparsity > 0, ExactSelection.removedCount(count, sparsity: sparsity) < gone else { return }
        throw CoppiceError.sparsityBelow(sparsity, Double(gone) / Double(count))
    }

    /// Any sparsity is shared out in the same way, so that nothing changes on the way.
    public func path(
        to sparsity: Double, of weights: [PrunableWeight], from removed: [Int], along ramp: SparsityRamp
    ) -> (sparsity: Double, allocation: any Allocation) { (sparsity, self) }

    public var needsScores: Bool { false }
}
