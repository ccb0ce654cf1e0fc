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
///
/// Stored in bf16, G takes half of that, and F is that of the rounded gradients exactly.
public struct InverseFisher: InverseCurvature {
    /// λ.
    public let dampening: Double
    private var rows: GradientRows
    /// The row that the next gradient replaces.
    public private(set) var nextRow: Int
    /// GGᵀ, f64 `[m, m]`.
    public private(set) var gram: Tensor
    /// L.
    private var factor: Tensor

    /// Takes m gradients as they are. O(m² d + m³).
    ///
    /// - Parameters:
    ///   - gradients: `[m, d]`. Rows of zeros contribute nothing but count in m.
    ///   - dampening: λ.
    ///   - nextRow: the oldest row, for a window that is restored.
    ///   - storage: f32, f64 or bf16, which gradients are rounded to; nil for their own, and f32 for other types.
    /// - Throws: `.usage` for a λ that is not positive or a row outside the window; `.badData` for another shape, for
    ///   elements that are not finite (as stored) and for a λ too small for the gradients' size.
    public init(gradients: Tensor, dampening: Double, nextRow: Int = 0, storage: DataType? = nil) throws {
        let own = try gradients.asRowsOfGradients(in: storage)
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
        (self.rows, self.gram) = (GradientRows(rows), gram)
        factor = try Self.factor(gram, dampening)
    }

    /// An empty window of m gradients, whose F is λI.
    ///
    /// - Parameter dataType: f32, f64 or bf16, which gradients are rounded to.
    /// - Throws: `.usage` for a λ that is not positive, and for a window without gradients or weights.
    public init(window: Int, count: Int, dampening: Double, dataType: DataType = .f32) throws {
        try checkDampening(dampening)
        guard window > 0, count > 0 else {
            throw CoppiceError(
                .usage, field: "window", "\(window) gradients of \(count) weights, expected at least one of each")
        }
        self.dampening = dampening
        rows = GradientRows(.zeros([window, count], dataType: dataType))
        nextRow = 0
        gram = .zeros([window, window], dataType: .f64)
        factor = try Self.factor(gram, dampening)
    }

    /// G, the gradients as rows `[m, d]`, as they are stored; zeros where none came yet. Their order does not matter.
    public var gradients: Tensor { rows.values }
    /// Number of gradients m, those that have not come yet included.
    public var window: Int { rows.window }
    public var count: Int { rows.count }

    /// Replaces the oldest gradient. O(m d + m³); G is read once.
    ///
    /// - Parameter gradient: `[d]`.
    /// - Throws: `.badData` for another length, for elements that are not finite (as stored), and where λ is too small
    ///   for the gradient's size; the window is as before then.
    public mutating func push(_ gradient: Tensor) throws { try push(StoredGradient(gradient, in: rows), sums: .wide) }

    private mutating func push(_ own: StoredGradient, sums: GradientRows.Sums) throws {
        let row = nextRow
        var products = rows.dots(own.vector, sums)
        products[row] = own.squaredNorm
        let before = gram[row].doubles()
        setProducts(of: row, to: products)
        do {
            factor = try Self.factor(gram, dampening)
        } catch {
            setProducts(of: row, to: before)
            throw error
        }
        rows.replace(row, with: own.row)
        nextRow = (row + 1) % window
    }

    /// Takes a gradient, and gives F⁻¹ of it as it is stored, `[d]`: ``push(_:)`` and ``product(ofGradient:)``, with short
    /// sums in f32 where gradients are in bf16 and that costs less than 1e-3 of the result.
    ///
    /// What cancels in the combination of gradients is up to 1 + ‖g‖²/(mλ) times what is left, of the largest gradient g
    /// of the window.
    mutating func step(along gradient: Tensor) throws -> Tensor {
        let own = try StoredGradient(gradient, in: rows)
        let (row, m) = (nextRow, window)
        var sums = GradientRows.Sums.wide
        if gradients.dataType == .bf16 {
            let norms = gram.withElements(Double.self) { gram in (0..<m).map { gram[$0 * m + $0] } }
            let largest = max(norms.max() ?? 0, own.squaredNorm)
            if largest <= 1e4 * Double(m) * dampening { sums = .short }
        }
        try push(own, sums: sums)
        return try product(ofGradient: row, sums: sums)
    }

    private mutating func setProducts(of row: Int, to products: [Double]) {
        let m = window
        gram.withMutableElements(Double.self) { gram in
            for other in 0..<m { (gram[row * m + other], gram[other * m + row]) = (products[other], products[other]) }
        }
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
        guard rows.clear(isRemoved) else { return }
        gram = gradients.gramMatrix()
        factor = try Self.factor(gram, dampening)
    }

    /// F⁻¹ x. O(m d + m²) for each vector; G is read twice, however many vectors there are.
    public func product(_ vectors: Tensor) throws -> Tensor {
        let own = try vectors.asVectors(of: count, rows.vectorType)
        guard own.shape[0] == 1 else {
            let solved = try factor.choleskySolve(own.wideDots(withRows: gradients).transposed())
            return own.wideRemainder(solved.transposed(), ofRows: gradients, scale: 1 / dampening)
        }
        let vector = own[0]
        return rows.remainder(try solved(rows.dots(vector, .wide)), from: vector, scale: 1 / dampening)
            .reshaped(vectors.shape)
    }

    /// F⁻¹gⱼ of a gradient of the window, as it is stored: `[d]`. O(m d + m²); G is read once.
    ///
    /// F⁻¹Gᵀ = m Gᵀ M⁻¹, so this is m Gᵀ M⁻¹eⱼ: nothing cancels, and the result is a combination of the window's
    /// gradients. Where they are rounded to bf16, the step is along F⁻¹ of the rounded gradient for that reason: what
    /// rounding took from it lies outside their span, where F⁻¹ is 1/λ, and would outweigh all else at a small λ.
    ///
    /// - Precondition: a row of the window.
    public func product(ofGradient row: Int) throws -> Tensor { try product(ofGradient: row, sums: .wide) }

    private func product(ofGradient row: Int, sums: GradientRows.Sums) throws -> Tensor {
        precondition((0..<window).contains(row), "gradient \(row) of \(window)")
        var unit = [Double](repeating: 0, count: window)
        unit[row] = Double(window)
        return rows.combination(try solved(unit), sums)
    }

    /// F x = λx + Gᵀ(Gx)/m. O(m d) for each vector; G is read twice, however many vectors there are.
    ///
    /// - Throws: as ``product(_:)``.
    public func forwardProduct(_ vectors: Tensor) throws -> Tensor {
        let own = try vectors.asVectors(of: count, rows.vectorType)
        // λ (x + Gᵀ(Gx) / (mλ)), in the form that the inverse has.
        let scale = -1 / (Double(window) * dampening)
        guard own.shape[0] == 1 else {
            return own.wideRemainder(
                own.wideDots(withRows: gradients) * scale, ofRows: gradients, scale: dampening)
        }
        let vector = own[0]
        return rows.remainder(rows.dots(vector, .wide).map { $0 * scale }, from: vector, scale: dampening)
            .reshaped(vectors.shape)
    }

    /// The diagonal of F⁻¹: f64 `[d]`. O(m² d), as blocked triangular solves in f64.
    public func diagonal() -> Tensor {
        factor.squaredNorms(solving: gradients)
            .inverseDiagonal(gradients: window, dampening: dampening) { rows.column($0) }
    }

    /// [F⁻¹]ₖₗ. O(m²).
    ///
    /// - Precondition: both below d.
    public func element(_ k: Int, _ l: Int) throws -> Double {
        let (left, right) = (rows.column(k), try solved(rows.column(l)))
        return ((k == l ? 1 : 0) - zip(left, right).reduce(0) { $0 + $1.0 * $1.1 }) / dampening
    }

    /// Row k of F⁻¹ (and its column k): `[d]`. O(m d + m²).
    ///
    /// - Precondition: k below d.
    public func row(_ k: Int) throws -> Tensor {
        precondition((0..<count).contains(k), "weight \(k) of \(count)")
        let unit = Tensor.concatenated([.zeros([k]), .ones([1]), .zeros([count - k - 1])])
            .converted(to: rows.vectorType)
        return rows.remainder(try solved(rows.column(k)), from: unit, scale: 1 / dampening)
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

    /// M⁻¹ t.
    private func solved(_ products: [Double]) throws -> [Double] {
        try factor.choleskySolve(Tensor(products)).doubles()
    }
}

extension Tensor {
    /// The diagonal of F⁻¹, (1 − ‖L⁻¹G₍ₖ₎‖²) / λ, from these squared norms, f64 `[d]`: all positive.
    ///
    /// - Parameters:
    ///   - m: number of gradients.
    ///   - column: the gradients by a weight, asked for where nearly all digits cancel.
    func inverseDiagonal(gradients m: Int, dampening: Double, column: (_ weight: Int) -> [Double]) -> Tensor {
        var result = (1 - self) / dampening
        result.withMutableElements(Double.self) { entries in
            // The bound [F⁻¹]ₖₖ ≥ 1 / Fₖₖ holds still.
            for k in entries.indices where entries[k] * dampening < 1e-10 {
                let square = column(k).reduce(0) { $0 + $1 * $1 }
                entries[k] = max(entries[k], 1 / (dampening + square / Double(m)))
            }
        }
        return result
    }
}
