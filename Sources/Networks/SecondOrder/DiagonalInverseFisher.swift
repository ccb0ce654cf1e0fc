import CoppiceTensors

/// The inverse of the diagonal of a dampened empirical Fisher matrix, λ + (1/m) Σᵢ gᵢ².
///
/// The curvature of optimal brain damage (LeCun, Denker and Solla, 1990), with the Fisher matrix for the Hessian.
public struct DiagonalInverseFisher: InverseCurvature {
    private let inverse: Tensor
    private let dataType: DataType

    /// O(m d), in f64.
    ///
    /// - Parameters:
    ///   - gradients: `[m, d]`; f64 stays f64.
    ///   - dampening: λ.
    /// - Throws: `.usage` for a λ that is not positive; `.badData` for another shape or elements that are not finite.
    public init(gradients: Tensor, dampening: Double) throws {
        try checkDampening(dampening)
        let own = try gradients.asGradients()
        let m = own.shape[0]
        var squares = Tensor.zeros([own.shape[1]], dataType: .f64)
        for row in 0..<m { squares += own[row].converted(to: .f64).square() }
        inverse = 1 / (squares / Double(m) + dampening)
        dataType = own.dataType
    }

    public var count: Int { inverse.count }

    /// O(d) for each vector.
    public func product(_ vectors: Tensor) throws -> Tensor {
        let own = try vectors.asVectors(of: count, dataType)
        return (own.converted(to: .f64) * inverse).converted(to: dataType).reshaped(vectors.shape)
    }

    public func diagonal() -> Tensor { inverse }
}
