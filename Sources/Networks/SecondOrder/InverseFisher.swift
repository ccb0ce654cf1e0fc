import CKernels
import CoppiceTensors

/// The inverse of a dampened empirical Fisher matrix, F = λI + (1/m) Σᵢ gᵢ gᵢᵀ, that never exists as a matrix: products
/// with it, its diagonal, rows and single elements, from m gradients of d weights; a window that slides over them.
///
/// ```swift
/// var inverse = try InverseFisher(gradients: gradients, dampening: 1e-5)   // [m, d]
/// let direction = try inverse.product(slope)                               // F⁻¹ x
/// try inverse.push(next)                                                   // replaces the oldest gradient
/// ```
///
/// Frantar, Kurtic and Alistarh, "M-FAC: Efficient matrix-free approximations of second-order information" (2021). The
/// paper's recursions for static and for sliding windows are the triangular factor of M = mλI + GGᵀ (G holds the
/// gradients as rows), written out row by row: with M = LLᵀ, their vectors are vᵢ = (Lᵢᵢ/λ) (L⁻¹G)ᵢ, so that
///
///     F⁻¹x = (x − Gᵀ M⁻¹ G x) / λ,     [F⁻¹]ₖₖ = (1 − ‖L⁻¹ G₍ₖ₎‖²) / λ.
///
/// Both are evaluated in this form: G as it came, everything of size m in f64, and sums over weights in f64, which is
/// what the cancellation at a small λ asks for. Memory is G's, 4 m d bytes of f32 (8 of f64), plus 16 m² bytes.
public struct InverseFisher: InverseCurvature {
    /// λ.
    public let dampening: Double
    /// G, the gradients as rows `[m, d]`, f32 or f64; zeros where none came yet. Their order does not matter.
    public private(set) var gradients: Tensor
    /// The row that the next gradient replaces.
    public private(set) var nextRow: Int
    /// GGᵀ, f64 `[m, m]`.
    public private(set) var gram: Tensor
    /// L.
    private var factor: Tensor

    /// Takes m gradients as they are. O(m² d + m³).
    ///
    /// - Parameters:
    ///   - gradients: `[m, d]`; f64 stays f64, other types are kept in f32. Rows of zeros contribute nothing but count
    ///     in m.
    ///   - dampening: λ.
    ///   - nextRow: the oldest row, for a window that is restored.
    /// - Throws: `.usage` for a λ that is not positive or a row outside the window; `.badData` for another shape, for
    ///   elements that are not finite and for a λ too small for the gradients' size.
    public init(gradients: Tensor, dampening: Double, nextRow: Int = 0) throws {
        let own = try gradients.asRowsOfGradients()
        let products = own.gramMatrix()
        // The squared norms are finite only where the elements are: no reading of them all before.
        let diagonal = products.doubles().enumerated().filter { $0.offset % (own.shape[0] + 1) == 0 }
        if !diagonal.allSatisfy(\.element.isFinite) { try own.checkGradients() }
        try self.init(rows: own, gram: products, dampening: dampening, nextRow: nextRow)
    }

    /// A window that is restored with its Gram matrix, whose entries were summed as gradients came: it goes on bit for
    /// bit. O(m d + m³).
    ///
    /// - Parameter gram: GGᵀ, f64 `[m, m]`.
    /// - Throws: as ``init(gradients:dampening:nextRow:)``; `.badData` for another shape of the Gram matrix.
    public init(gradients: Tensor, gram: Tensor, dampening: Double, nextRow: Int) throws {
        let own = try gradients.asGradients()
        guard gram.dataType == .f64, gram.shape == [own.shape[0], own.shape[0]] else {
            throw CoppiceError(
                .badData, field: "Gram matrix",
                "\(gram.dataType) of shape \(gram.shape), expected f64 \([own.shape[0], own.shape[0]])")
        }
        try self.init(rows: own, gram: gram.detached().contiguous(), dampening: dampening, nextRow: nextRow)
    }

    private init(rows: Tensor, gram: Tensor, dampening: Double, nextRow: Int) throws {
        try checkDampening(dampening)
        guard (0..<rows.shape[0]).contains(nextRow) else {
            throw CoppiceError(
                .usage, field: "next row", "\(nextRow), expected a row of the window, from 0 to \(rows.shape[0] - 1)")
        }
        (self.dampening, self.nextRow) = (dampening, nextRow)
        (gradients, self.gram) = (rows, gram)
        factor = try Self.factor(gram, dampening)
    }

    /// An empty window of m gradients, whose F is λI.
    ///
    /// - Throws: `.usage` for a λ that is not positive, and for a window without gradients or weights.
    public init(window: Int, count: Int, dampening: Double, dataType: DataType = .f32) throws {
        try checkDampening(dampening)
        guard window > 0, count > 0 else {
            throw CoppiceError(
                .usage, field: "window", "\(window) gradients of \(count) weights, expected at least one of each")
        }
        precondition(dataType == .f32 || dataType == .f64, "a window of \(dataType)")
        self.dampening = dampening
        gradients = .zeros([window, count], dataType: dataType)
        nextRow = 0
        gram = .zeros([window, window], dataType: .f64)
        factor = try Self.factor(gram, dampening)
    }

    /// Number of gradients m, those that have not come yet included.
    public var window: Int { gradients.shape[0] }
    public var count: Int { gradients.shape[1] }

    /// Replaces the oldest gradient. O(m d + m³).
    ///
    /// - Parameter gradient: `[d]`.
    /// - Throws: `.badData` for another length or elements that are not finite; the window is as before then.
    public mutating func push(_ gradient: Tensor) throws {
        let own = try gradient.asVectors(of: count, gradients.dataType)
        guard own.shape[0] == 1 else {
            throw CoppiceError(.badData, field: "gradient", "shape \(gradient.shape), expected [\(count)]")
        }
        let (row, d, m) = (nextRow, count, window)
        func store<Scalar: TensorElement>(_ type: Scalar.Type) {
            own.withElements(type) { source in
                gradients.withMutableElements(type) { rows in
                    for k in 0..<d { rows[row * d + k] = source[k] }
                }
            }
        }
        if gradients.dataType == .f64 { store(Double.self) } else { store(Float.self) }
        let products = dots(own)
        gram.withMutableElements(Double.self) { gram in
            for other in 0..<m { (gram[row * m + other], gram[other * m + row]) = (products[other], products[other]) }
        }
        factor = try Self.factor(gram, dampening)
        nextRow = (row + 1) % m
    }

    /// Sets the entries of some weights to zero in all gradients of the window, as if they had never had any: F is then
    /// that of the other weights alone, and λ for these. O(m d), and O(m² d + m³) where that changes a gradient.
    ///
    /// - Parameter isRemoved: one flag a weight.
    /// - Throws: `.badData` for another number of flags; the window is as before then.
    public mutating func clear(_ isRemoved: [Bool]) throws {
        guard isRemoved.count == count else {
            throw CoppiceError(.badData, field: "flags", "\(isRemoved.count) of \(count) weights")
        }
        let (m, d) = (window, count)
        func clear<Scalar: TensorElement & BinaryFloatingPoint>(_ type: Scalar.Type) -> Bool {
            gradients.withMutableElements(type) { rows in
                var hasChanged = false
                for row in 0..<m {
                    for k in 0..<d where isRemoved[k] && rows[row * d + k] != 0 {
                        rows[row * d + k] = 0
                        hasChanged = true
                    }
                }
                return hasChanged
            }
        }
        guard gradients.dataType == .f64 ? clear(Double.self) : clear(Float.self) else { return }
        gram = gradients.gramMatrix()
        factor = try Self.factor(gram, dampening)
    }

    /// F⁻¹ x. O(m d + m²) for each vector; G is read twice.
    public func product(_ vectors: Tensor) throws -> Tensor {
        let own = try vectors.asVectors(of: count, gradients.dataType)
        let results = try (0..<own.shape[0]).map { index in
            let vector = own[index]
            return remainder(try solved(dots(vector)), from: vector)
        }
        return Tensor.concatenated(results).reshaped(vectors.shape)
    }

    /// F⁻¹ of a gradient of the window, `[d]`: G is read once, since its products with the gradient are known. O(m d + m²).
    ///
    /// - Precondition: a row of the window.
    public func product(ofGradient row: Int) throws -> Tensor {
        precondition((0..<window).contains(row), "gradient \(row) of \(window)")
        return remainder(try solved(gram[row].doubles()), from: gradients[row])
    }

    /// F x = λx + Gᵀ(Gx)/m. O(m d).
    ///
    /// - Throws: as ``product(_:)``.
    public func forwardProduct(_ vectors: Tensor) throws -> Tensor {
        let own = try vectors.asVectors(of: count, gradients.dataType)
        let scale = -1 / (Double(window) * dampening)
        let results = (0..<own.shape[0]).map { index in
            let vector = own[index]
            // λ (x + Gᵀ(Gx) / (mλ)), in the form that the inverse has.
            return remainder(dots(vector).map { $0 * scale }, from: vector, factor: dampening)
        }
        return Tensor.concatenated(results).reshaped(vectors.shape)
    }

    /// The diagonal of F⁻¹: f64 `[d]`. O(m² d), as blocked triangular solves in f64.
    public func diagonal() -> Tensor {
        var result = (1 - factor.squaredNorms(solving: gradients)) / dampening
        result.withMutableElements(Double.self) { entries in
            // Where nearly all digits cancel, the bound [F⁻¹]ₖₖ ≥ 1 / Fₖₖ holds still.
            for k in entries.indices where entries[k] * dampening < 1e-10 {
                let square = column(k).reduce(0) { $0 + $1 * $1 }
                entries[k] = max(entries[k], 1 / (dampening + square / Double(window)))
            }
        }
        return result
    }

    /// [F⁻¹]ₖₗ. O(m²).
    ///
    /// - Precondition: both below d.
    public func element(_ k: Int, _ l: Int) throws -> Double {
        let (left, right) = (column(k), try solved(column(l)))
        return ((k == l ? 1 : 0) - zip(left, right).reduce(0) { $0 + $1.0 * $1.1 }) / dampening
    }

    /// Row k of F⁻¹ (and its column k): `[d]`. O(m d + m²).
    ///
    /// - Precondition: k below d.
    public func row(_ k: Int) throws -> Tensor {
        var unit = Tensor.zeros([count], dataType: gradients.dataType)
        if gradients.dataType == .f64 {
            unit.withMutableElements(Double.self) { $0[k] = 1 }
        } else {
            unit.withMutableElements(Float.self) { $0[k] = 1 }
        }
        return remainder(try solved(column(k)), from: unit)
    }

    // MARK: Parts

    /// L of M = mλI + GGᵀ.
    private static func factor(_ gram: Tensor, _ dampening: Double) throws -> Tensor {
        let m = gram.shape[0]
        do {
            return try (gram + Tensor.identity(m, dataType: .f64) * (Double(m) * dampening)).choleskyFactor()
        } catch {
            throw CoppiceError(
                .badData, field: "dampening", "\(dampening) is too small for gradients of this size, or they overflow")
        }
    }

    /// Column k of G.
    private func column(_ k: Int) -> [Double] {
        precondition((0..<count).contains(k), "weight \(k) of \(count)")
        return gradients.slice(axis: 1, k..<(k + 1)).doubles()
    }

    /// G x.
    private func dots(_ vector: Tensor) -> [Double] {
        guard gradients.dataType == .f32 else { return gradients.matmul(vector.reshaped([count, 1])).doubles() }
        var result = [Double](repeating: 0, count: window)
        gradients.withElements(Float.self) { rows in
            vector.withElements(Float.self) { vector in
                coppice_wide_dots(window, count, rows.baseAddress, vector.baseAddress, &result)
            }
        }
        return result
    }

    /// M⁻¹ t.
    private func solved(_ products: [Double]) throws -> [Double] {
        try factor.choleskySolve(Tensor(products)).doubles()
    }

    /// (x − Gᵀz) · factor, 1/λ by default.
    private func remainder(_ z: [Double], from vector: Tensor, factor: Double? = nil) -> Tensor {
        let scale = factor ?? 1 / dampening
        guard gradients.dataType == .f32 else {
            let combination = Tensor(z, shape: [1, window]).matmul(gradients).reshaped([count])
            return (vector.reshaped([count]) - combination) * scale
        }
        var result = Tensor(uninitialized: [count])
        gradients.withElements(Float.self) { rows in
            vector.withElements(Float.self) { vector in
                result.withMutableElements(Float.self) { out in
                    coppice_wide_remainder(
                        window, count, rows.baseAddress, z, vector.baseAddress, scale, out.baseAddress)
                }
            }
        }
        return result
    }
}
