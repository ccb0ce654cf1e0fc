/// The closed set of operations that everything on tensors is composed of.
///
/// A backend evaluates them, ``DerivativeRules`` differentiates them in terms of themselves. Inputs are positional;
/// elementwise operations broadcast by the NumPy rules.
enum Primitive: Sendable {
    /// f(x), elementwise.
    case unary(UnaryOperation)
    /// f(a, b), elementwise.
    case binary(BinaryOperation)
    /// Whether a ∘ b holds, elementwise, as bool.
    case comparison(Comparison)
    /// a where the condition holds, else b. Inputs: condition (bool), a, b.
    case select
    /// The same numbers in another element type.
    case convert(DataType)
    /// A reduction over axes, which stay with extent 1.
    case reduce(Reduction, axes: [Int])
    /// Sums of all elements up to each along an axis, from the end where `reverse`.
    case cumulativeSum(axis: Int, reverse: Bool)
    /// [..., m, k] · [..., k, n] → [..., m, n] with broadcast leading dimensions.
    case matmul(OperandPrecision)
    /// Dimensions in another order.
    case permute([Int])
    /// The same elements in row-major order under another shape.
    case reshape([Int])
    /// Repetition along new or unit dimensions, without copying.
    case broadcast([Int])
    /// Elements `start, start + step, …` along each axis; steps may be negative.
    case slice([AxisSlice])
    /// The adjoint of `slice`: the input's elements at the slice's places in a tensor of zeros.
    case place([AxisSlice], shape: [Int])
    /// Inputs one after another along an axis.
    case concatenate(axis: Int)
    /// Entries of an axis at a vector of indices. Inputs: x, indices (i64).
    case take(axis: Int)
    /// The adjoint of `take`: sums entries into `extent` places. Inputs: x, indices.
    case addAt(axis: Int, extent: Int)
    /// For each element of the indices, the element of x at that place along the axis. Inputs: x, indices (i64).
    case takeAlong(axis: Int)
    /// The adjoint of `takeAlong`. Inputs: x, indices.
    case addAlong(axis: Int, extent: Int)
    /// One of the three operations of a convolution, which are each other's derivatives. Inputs: the two of x, w, y
    /// that the operation does not compute, in this order.
    case convolution(ConvolutionProblem, ConvolutionProblem.Operation)
    /// Sums over windows of the last two dimensions, or their adjoint.
    case sumPool(Pooling, adjoint: Bool)
    /// A fused operation: one kernel with the same answer as its composition of primitives.
    case fused(any FusedOperation)
}

/// Elementwise functions of one argument.
public enum UnaryOperation: Sendable, CaseIterable {
    case negate, absolute, sign, square, exp, log, squareRoot, reciprocalSquareRoot, reciprocal, tanh, sigmoid, sin,
        cos, errorFunction, floor, ceiling, round
}

/// Elementwise functions of two arguments.
public enum BinaryOperation: Sendable, CaseIterable {
    case add, subtract, multiply, divide, maximum, minimum, power
}

/// Elementwise comparisons.
enum Comparison: Sendable, CaseIterable {
    case equal, less, lessOrEqual
}

/// Reductions over axes.
public enum Reduction: Sendable, CaseIterable {
    case sum, maximum, minimum
}

/// What a slice keeps of one axis: `count` entries from `start` on, `step` apart.
public struct AxisSlice: Sendable, Hashable {
    public var start: Int
    public var count: Int
    public var step: Int

    public init(start: Int, count: Int, step: Int = 1) {
        self.start = start
        self.count = count
        self.step = step
    }

    /// The entries of a range.
    public init(_ range: Range<Int>) { self.init(start: range.lowerBound, count: range.count) }
}
