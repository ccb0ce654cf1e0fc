import CKernels
import CoppiceTensors

/// The inverse of an approximation F of a loss's curvature at some weights: what optimal-brain-surgeon pruning asks of
/// it.
public protocol InverseCurvature: Sendable {
    /// Number of weights d.
    var count: Int { get }

    /// F⁻¹ x.
    ///
    /// - Parameter vectors: `[d]`, or `[n, d]` for several.
    /// - Returns: the same shape, f64 where F was made of gradients in f64, else f32.
    /// - Throws: `.badData` for another length or for elements that are not finite.
    func product(_ vectors: Tensor) throws -> Tensor

    /// The diagonal of F⁻¹, all positive: f64 `[d]`.
    func diagonal() -> Tensor
}

extension Tensor {
    /// The gradients of a curvature: contiguous f32, f64 or bf16 `[m, d]`, m and d at least 1, all finite.
    ///
    /// - Throws: `.badData` naming the gradient and the element.
    func asGradients(in storage: DataType? = nil) throws -> Tensor {
        let own = try asRowsOfGradients(in: storage)
        try own.checkGradients()
        return own
    }

    /// The gradients of a curvature, whose elements are not looked at.
    ///
    /// - Parameter storage: f32, f64 or bf16; nil for their own of these, else f32.
    /// - Throws: `.badData` for another shape or type.
    func asRowsOfGradients(in storage: DataType? = nil) throws -> Tensor {
        guard rank == 2, shape[0] > 0, shape[1] > 0, dataType.isFloatingPoint else {
            throw CoppiceError(
                .badData, field: "gradients",
                "\(dataType) of shape \(shape), expected floating point [gradients, weights], at least one of each")
        }
        let own: DataType = dataType == .f64 || dataType == .bf16 ? dataType : .f32
        return detached().converted(to: storage ?? own).contiguous()
    }

    /// - Throws: `.badData` naming the first element of rows of gradients that is not finite.
    func checkGradients() throws {
        if let place = firstNotFinite {
            throw CoppiceError(
                .badData, field: "gradient \(place / shape[1])",
                "element \(place % shape[1]) is not finite, expected finite numbers")
        }
    }

    /// Vectors that a curvature is applied to, as `[n, d]` of a precision.
    ///
    /// - Throws: `.badData` where they are of another length or not finite.
    func asVectors(of count: Int, _ type: DataType) throws -> Tensor {
        guard rank == 1 || rank == 2, shape.last == count, dataType.isFloatingPoint else {
            throw CoppiceError(
                .badData, field: "vector",
                "\(dataType) of shape \(shape), expected floating point [\(count)] or [vectors, \(count)]")
        }
        let own = detached().converted(to: type).contiguous().reshaped([-1, count])
        if let place = own.firstNotFinite {
            throw CoppiceError(
                .badData, field: "vector", "element \(place % count) is not finite, expected finite numbers")
        }
        return own
    }

    /// The flat place of the first infinite or NaN element of contiguous f32, f64 or bf16.
    private var firstNotFinite: Int? {
        if dataType == .bf16 { return withElements(BFloat16.self) { $0.firstIndex { !$0.float.isFinite } } }
        if dataType == .f64 { return withElements(Double.self) { $0.firstIndex { !$0.isFinite } } }
        let place = withElements(Float.self) { elements in
            elements.baseAddress.map { coppice_first_non_finite($0, elements.count) } ?? -1
        }
        return place < 0 ? nil : place
    }
}

/// - Throws: `.usage` where the dampening λ is not a positive number.
func checkDampening(_ dampening: Double) throws {
    guard dampening > 0, dampening.isFinite else {
        throw CoppiceError(.usage, field: "dampening", "\(dampening), expected a number above 0")
    }
}
