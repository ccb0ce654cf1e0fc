import CoppiceTensors

/// y = x Wᵀ + b.
public final class Linear: Module {
    /// [outputs, inputs].
    @Parameter public var weight: Tensor
    /// [outputs].
    public let bias: Parameter?
    /// What is multiplied by in the weight's place, which is not read then: for use, not for training.
    public var storedWeight: (any StoredMatrix)?
    /// Called with every input `[..., inputs]` of the layer: for calibration.
    public var inputObserver: ((Tensor) -> Void)?

    /// - Parameters:
    ///   - weight: [outputs, inputs].
    ///   - bias: [outputs], or nil for none.
    public init(weight: Tensor, bias: Tensor? = nil) {
        precondition(weight.rank == 2, "a linear layer's weight of shape \(weight.shape)")
        _weight = Parameter("weight", weight)
        self.bias = bias.map { Parameter("bias", $0) }
    }

    public var inputCount: Int { weight.shape[1] }
    public var outputCount: Int { weight.shape[0] }

    /// `[..., inputs]` → `[..., outputs]`. Within ``withSparseProducts(_:_:)`` by the kept weights alone.
    public func callAsFunction(_ x: Tensor) -> Tensor {
        inputObserver?(x)
        let rows = x.reshaped([-1, x.shape[x.rank - 1]])
        var y: Tensor
        if let storedWeight {
            y = storedWeight.product(rows)
        } else if rows.shape[0] >= SparseProducts.leastRows, let kept = SparseProducts.current?[$weight] {
            y = rows.multiplied(byTransposed: weight, keeping: kept)
        } else {
            y = rows.matmul(weight.transposed())
        }
        if let bias { y = y + bias.wrappedValue }
        return y.reshaped(x.shape.dropLast() + [outputCount])
    }
}
