extension Tensor {
    /// x (m ⊙ W)ᵀ, where a support says which entries the mask m keeps: those that are not are neither read nor
    /// multiplied, and their gradient is zero.
    ///
    /// - Parameters:
    ///   - weight: W, [outputs, inputs].
    ///   - support: the kept entries of W.
    /// - Returns: `[rows, outputs]`.
    /// - Precondition: this tensor is `[rows, inputs]`.
    /// - Complexity: O(rows · kept entries); in bf16 (``withOperandPrecision(_:_:)``) and types other than f32 that of the
    ///   dense product.
    public func multiplied(byTransposed weight: Tensor, keeping support: SparseSupport) -> Tensor {
        precondition(
            rank == 2 && weight.shape == [support.rows, support.columns] && shape[1] == support.columns,
            "a product of \(shape) and \(weight.shape) with kept entries of \([support.rows, support.columns])")
        return .fused(SparseLinear(support: support, precision: .current), [self, weight])
    }
}

/// Inputs: x [rows, inputs], W [outputs, inputs].
struct SparseLinear: FusedOperation {
    var support: SparseSupport
    var precision: OperandPrecision
    /// The panels of x, which the forward pass leaves for the backward one.
    private let found = Found()

    init(support: SparseSupport, precision: OperandPrecision) {
        self.support = support
        self.precision = precision
    }

    private final class Found: @unchecked Sendable {
        /// Written by the forward pass, before anybody reads it.
        var panels: SparsePanels?
    }

    private func isFast(_ inputs: [Tensor]) -> Bool {
        precision == .f32 && inputs.allSatisfy { $0.dataType == .f32 } && inputs[0].shape[0] > 0
    }

    func evaluate(_ inputs: [Tensor]) -> Tensor {
        guard isFast(inputs) else { return composition(inputs.map { $0.detached() }) }
        let panels = SparsePanels(inputs[0].detached())
        if Recording.isEnabled, inputs.contains(where: \.isTracked) { found.panels = panels }
        return support.product(panels, inputs[1].detached(), ofColumns: false).batch
    }

    func composition(_ inputs: [Tensor]) -> Tensor {
        let masked = inputs[1] * support.indicator.converted(to: inputs[1].dataType)
        return inputs[0].multiplied(by: masked.transposed(), inputs[0].dataType, precision: precision)
    }

    func fastGradients(inputs: [Tensor], output: Tensor, seed: Tensor) -> [Tensor?]? {
        guard !Recording.isEnabled, isFast(inputs), let panels = found.panels else { return nil }
        let slopes = SparsePanels(seed.detached())
        return [
            inputs[0].isTracked ? support.product(slopes, inputs[1].detached(), ofColumns: true).batch : nil,
            inputs[1].isTracked ? support.outerProduct(slopes, panels) : nil,
        ]
    }
}
