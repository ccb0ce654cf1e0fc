import CoppiceTensors

/// Which linear layers and convolutions compute with their kept weights alone while a body runs.
///
/// ```swift
/// let support = SparseSupport(rows: 300, columns: 784, words: mask.words)
/// let loss = withSparseProducts(SparseProducts([(layer.$weight, support)])) { network.loss(batch) }
/// ```
///
/// The weights that a support leaves out count as zeros, whatever they are, and so do their gradients. Convolutions skip
/// zeros in networks in use alone (``init(skippingZerosOf:)``).
public struct SparseProducts: Sendable {
    private var supports: [ObjectIdentifier: SparseSupport] = [:]
    private var kernels: [ObjectIdentifier: SparseKernel] = [:]

    @TaskLocal static var current: SparseProducts?

    /// Rows of a batch from which on skipping pays: below, the panels of 64 rows are mostly filling.
    public static let leastRows = 32

    /// - Parameter supports: weights of linear layers, each with its kept entries.
    public init(_ supports: [(weight: Parameter, kept: SparseSupport)]) {
        for (weight, kept) in supports { self.supports[ObjectIdentifier(weight)] = kept }
    }

    /// The sparsity from which on a linear layer of ``leastWeights`` or more is faster by its kept weights alone. Measured
    /// with batches of 128 that begins at 0.7 (`docs/performance.md`); batches of 32, whose panels of 64 rows are half
    /// empty, need more.
    public static let linearSparsityThatPays = 0.85
    public static let leastWeights = 1 << 14

    /// The sparsity of all convolutions of a network together from which on they are faster by their kept weights alone
    /// (`docs/performance.md`).
    public static let convolutionSparsityThatPays = 0.8

    /// What a network in use skips: the zeros of linear layers and convolutions, where that is faster. All convolutions or
    /// none, so that images lie in one way throughout. The weights must not change while this is in use. O(weights).
    public init(skippingZerosOf network: some Module) {
        let weights = network.parameters.map(\.parameter)
        func sparsity(_ weights: [Parameter]) -> Double {
            let zeros = weights.reduce(0) { $0 + $1.wrappedValue.zeroCount }
            return Double(zeros) / Double(max(1, weights.reduce(0) { $0 + $1.wrappedValue.count }))
        }
        for weight in weights where weight.wrappedValue.rank == 2 && weight.wrappedValue.count >= Self.leastWeights {
            guard sparsity([weight]) >= Self.linearSparsityThatPays else { continue }
            supports[ObjectIdentifier(weight)] = SparseSupport(ofNonzerosOf: weight.wrappedValue)
        }
        let convolutions = weights.filter { $0.wrappedValue.rank == 4 }
        guard sparsity(convolutions) >= Self.convolutionSparsityThatPays else { return }
        for weight in convolutions { kernels[ObjectIdentifier(weight)] = SparseKernel(weight.wrappedValue) }
    }

    public var isEmpty: Bool { supports.isEmpty && kernels.isEmpty }

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
        both.kernels.merge(other.kernels) { $1 }
        return both
    }

    subscript(weight: Parameter) -> SparseSupport? { supports[ObjectIdentifier(weight)] }

    func kernel(of weight: Parameter) -> SparseKernel? { kernels[ObjectIdentifier(weight)] }

    /// Whether convolutions are those of kept weights, which take and give images plane by plane.
    var takesPlanes: Bool { !kernels.isEmpty }
}

extension Tensor {
    /// Images `[images, channels, rows, columns]` as the convolutions that follow are fastest on: channels last, or plane
    /// by plane within ``withSparseProducts(_:_:)`` that skips weights of convolutions.
    public func laidOutForConvolutions() -> Tensor {
        SparseProducts.current?.takesPlanes == true ? contiguous() : channelsLast()
    }
}

/// Runs `body` with products of linear layers that skip removed weights; nil for dense ones. The backward pass of what is
/// recorded skips them too, wherever it runs.
public func withSparseProducts<Result>(_ products: SparseProducts?, _ body: () throws -> Result) rethrows -> Result {
    try SparseProducts.$current.withValue(products, operation: body)
}
