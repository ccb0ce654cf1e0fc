import CoppiceTensors

/// How a sparsity is shared out among matrices.
public protocol Allocation: Sendable {
    /// Throws what names and shapes alone show to be wrong, so that it is known before any work.
    ///
    /// - Throws: `.usage`, naming the option and the weight at fault.
    func check(_ weights: [PrunableWeight], sparsity: Double) throws

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

    public var needsScores: Bool { false }
}
