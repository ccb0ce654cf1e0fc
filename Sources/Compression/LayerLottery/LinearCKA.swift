import CoppiceTensors

/// Linear centred kernel alignment: how similar two representations of the same examples are, whatever the rotation and
/// the scale of either.
///
/// Kornblith et al., "Similarity of neural network representations revisited" (2019): with columns centred,
/// ‖YᵀX‖²_F / (‖XᵀX‖_F ‖YᵀY‖_F).
public enum LinearCKA {
    /// - Parameters:
    ///   - x: `[examples, features]`.
    ///   - y: `[examples, other features]`.
    /// - Returns: from 0 to 1; NaN where a representation is the same for all examples. Computed in f64.
    /// - Complexity: through the Gram matrices of examples, O(examples² · features), or of features where these are
    ///   fewer, O(examples · features²).
    /// - Precondition: as many examples in both, at least two.
    public static func similarity(_ x: Tensor, _ y: Tensor) -> Double {
        precondition(x.rank == 2 && y.rank == 2 && x.shape[0] == y.shape[0], "\(x.shape) and \(y.shape)")
        precondition(x.shape[0] > 1, "one example has no similarity")
        func centred(_ tensor: Tensor) -> Tensor {
            let values = tensor.detached().converted(to: .f64)
            return values - values.mean(axes: [0])
        }
        let (x, y) = (centred(x), centred(y))
        func inner(_ a: Tensor, _ b: Tensor) -> Double { (a * b).sum().doubles()[0] }
        guard max(x.shape[1], y.shape[1]) >= x.shape[0] else {
            func squaredNorm(_ a: Tensor, _ b: Tensor) -> Double {
                let product = a.transposed().matmul(b)
                return inner(product, product)
            }
            return squaredNorm(y, x) / (squaredNorm(x, x) * squaredNorm(y, y)).squareRoot()
        }
        // ‖YᵀX‖²_F = ⟨XXᵀ, YYᵀ⟩.
        let (a, b) = (x.matmul(x.transposed()), y.matmul(y.transposed()))
        return inner(a, b) / (inner(a, a) * inner(b, b)).squareRoot()
    }
}
