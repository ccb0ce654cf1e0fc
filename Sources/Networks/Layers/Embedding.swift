import CoppiceTensors

/// A module whose own parameters are vectors that are looked up or added, not weights that inputs are multiplied with.
public protocol VectorTable: Module {}

/// A table of vectors, one for each token.
public final class Embedding: Module, VectorTable {
    /// [tokens, size].
    @Parameter public var weight: Tensor
    /// What vectors are read from in the weight's place, which is not read then: for use, not for training.
    public var storedWeight: (any StoredMatrix)?

    public init(weight: Tensor) { _weight = Parameter("weight", weight) }

    /// Indices `[...]` → vectors `[..., size]`.
    public func callAsFunction(_ indices: Tensor) -> Tensor {
        guard let storedWeight else { return weight.take(indices) }
        let (count, size) = (weight.shape[0], weight.shape[1])
        let tokens = indices.integers()
        var vectors = Tensor(uninitialized: indices.shape + [size])
        vectors.withMutableElements(Float.self) { elements in
            guard let base = elements.baseAddress else { return }
            for (place, token) in tokens.enumerated() {
                precondition((0..<count).contains(token), "token \(token) of \(count)")
                storedWeight.copyRow(token, into: base + place * size)
            }
        }
        return vectors
    }

    /// The product with every vector: `[..., size]` → `[..., tokens]`, for output heads that share the table.
    public func scores(_ x: Tensor) -> Tensor {
        let rows = x.reshaped([-1, x.shape[x.rank - 1]])
        return (storedWeight?.product(rows) ?? rows.matmul(weight.transposed()))
            .reshaped(x.shape.dropLast() + [weight.shape[0]])
    }
}
