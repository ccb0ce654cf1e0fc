import CoppiceTensors

/// How a sparsity is shared out among matrices.
public protocol Allocation: Sendable {
    /// The number of entries to remove of each matrix.
    ///
    /// - Parameters:
    ///   - weights: the matrices in checkpoint order.
    ///   - sparsity: the fraction to remove, in `[0, 1)`.
    ///   - scores: the scores of the matrix with the given index. May be called several times, or never.
    func removedCounts(
        _ weights: [PrunableWeight], sparsity: Double, scores: (_ index: Int) throws -> Tensor
    ) throws -> [Int]

    /// Whether the counts depend on the scores of all matrices, so that they cannot be had one block at a time.
    var needsScores: Bool { get }
}

extension Allocation {
    public var needsScores: Bool { false }
}
