import CoppiceTensors

/// Which linear layers compute with their kept weights alone while a body runs.
///
/// ```swift
/// let support = SparseSupport(rows: 300, columns: 784, words: mask.words)
/// let loss = withSparseProducts(SparseProducts([(layer.$weight, support)])) { network.loss(batch) }
/// ```
///
/// The weights that a support leaves out count as zeros, whatever they are, and so do their gradients.
public struct SparseProducts: Sendable {
    private var supports: [ObjectIdentifier: SparseSupport] = [:]

    @TaskLocal static var current: SparseProducts?

    /// Rows of a batch from which on skipping pays: below, the panels of 64 rows are mostly filling.
    static let leastRows = 32

    /// - Parameter supports: weights of linear layers, each with its kept entries.
    public init(_ supports: [(weight: Parameter, kept: SparseSupport)]) {
        for (weight, kept) in supports { self.supports[ObjectIdentifier(weight)] = kept }
    }

    public var isEmpty: Bool { supports.isEmpty }

    /// Products of an input and a weight that the forward pass of a batch leaves out, where each layer meets so many rows;
    /// the backward pass leaves out twice as many.
    public func skippedCount(rows: Int) -> Int {
        guard rows >= Self.leastRows else { return 0 }
        return rows * supports.values.reduce(0) { $0 + $1.rows * $1.columns - $1.keptCount }
    }

    /// The supports of both.
    public func merging(_ other: SparseProducts) -> SparseProducts {
        var both = self
        both.supports.merge(other.supports) { $1 }
        return both
    }

    subscript(weight: Parameter) -> SparseSupport? { supports[ObjectIdentifier(weight)] }
}

/// Runs `body` with products of linear layers that skip removed weights; nil for dense ones. The backward pass of what is
/// recorded skips them too, wherever it runs.
public func withSparseProducts<Result>(_ products: SparseProducts?, _ body: () throws -> Result) rethrows -> Result {
    try SparseProducts.$current.withValue(products, operation: body)
}
