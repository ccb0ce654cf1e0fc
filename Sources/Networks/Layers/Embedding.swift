import CoppiceTensors

/// A table of vectors, one for each token.
public final class Embedding: Module {
    /// [tokens, size].
    @Parameter public var weight: Tensor

    public init(weight: Tensor) { _weight = Parameter("weight", weight) }

    /// Indices `[...]` → vectors `[..., size]`.
    public func callAsFunction(_ indices: Tensor) -> Tensor { weight.take(indices) }

    /// The product with every vector: `[..., size]` → `[..., tokens]`, for output heads that share the table.
    public func scores(_ x: Tensor) -> Tensor {
        x.reshaped([-1, x.shape[x.rank - 1]]).matmul(weight.transposed())
            .reshaped(x.shape.dropLast() + [weight.shape[0]])
    }
}
