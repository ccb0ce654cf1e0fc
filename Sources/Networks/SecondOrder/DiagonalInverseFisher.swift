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
        let own = try gradients.asRowsOfGradients()
        try own.checkGradients()
        var sums = DiagonalFisherSums(count: own.shape[1], dataType: own.dataType == .f64 ? .f64 : .f32)
        for row in 0..<own.shape[0] { try sums.push(own[row]) }
        self = try sums.inverse(dampening: dampening)
    }

    fileprivate init(inverse: Tensor, dataType: DataType) {
        self.inverse = inverse
        self.dataType = dataType
    }

    public var count: Int { inverse.count }

    /// O(d) for each vector.
    public func product(_ vectors: Tensor) throws -> Tensor {
        let own = try vectors.asVectors(of: count, dataType)
        return (own.converted(to: .f64) * inverse).converted(to: dataType).reshaped(vectors.shape)
    }

    public func diagonal() -> Tensor { inverse }
}

/// The sums of squares that ``DiagonalInverseFisher`` is made of, taken up as gradients come: 8 bytes a weight.
public struct DiagonalFisherSums: Sendable {
    /// Gradients taken so far.
    public private(set) var gradientCount = 0
    private var squares: Tensor
    private let dataType: DataType

    /// - Parameter dataType: f32 or f64, of the gradients and of products with the inverse.
    /// - Precondition: at least one weight.
    public init(count: Int, dataType: DataType = .f32) {
        precondition(count > 0 && (dataType == .f32 || dataType == .f64), "\(count) weights in \(dataType)")
        squares = .zeros([count], dataType: .f64)
        self.dataType = dataType
    }

    /// - Parameter gradient: `[d]`.
    /// - Throws: `.badData` for another length or elements that are not finite; nothing has changed then.
    public mutating func push(_ gradient: Tensor) throws {
        let own = try gradient.asVectors(of: squares.count, dataType)
        guard own.shape[0] == 1 else {
            throw CoppiceError(.badData, field: "gradient", "shape \(gradient.shape), expected [\(squares.count)]")
        }
        squares += own[0].converted(to: .f64).square()
        gradientCount += 1
    }

    /// - Throws: `.usage` for a λ that is not positive and where no gradient has come.
    public func inverse(dampening: Double) throws -> DiagonalInverseFisher {
        try checkDampening(dampening)
        guard gradientCount > 0 else { throw CoppiceError(.usage, "no gradient has come, expected at least one") }
        return DiagonalInverseFisher(inverse: 1 / (squares / Double(gradientCount) + dampening), dataType: dataType)
    }
}
