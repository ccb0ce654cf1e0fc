/// A = U diag(σ) Vᵀ, for each matrix of a batch.
public struct SingularValueDecomposition: Sendable {
    /// U: [..., m, k], with orthonormal columns; [..., m, m] when full.
    public var left: Tensor
    /// σ: [..., k], k = min(m, n), not negative, descending.
    public var values: Tensor
    /// Vᵀ: [..., k, n], with orthonormal rows; [..., n, n] when full.
    public var rightTransposed: Tensor
}

extension Tensor {
    /// The singular value decomposition of the matrices [..., m, n] (LAPACK's divide and conquer, `gesdd`; where it
    /// does not converge, `gesvd`).
    ///
    /// The signs of singular vectors are as LAPACK leaves them. Not recorded for differentiation. f16 and bf16 are
    /// computed, and returned, in f32. O(m n min(m, n)) for each matrix; the matrices of a batch run in parallel.
    ///
    /// - Parameter full: also complete U and V to square orthogonal matrices.
    /// - Throws: `badData` if an element is not finite, or if no method converges.
    /// - Precondition: at least two dimensions, floating point.
    public func singularValueDecomposition(full: Bool = false) throws -> SingularValueDecomposition {
        let batch = try MatrixBatch(self)
        let (m, n, k) = (batch.rows, batch.columns, min(batch.rows, batch.columns))
        let left = batch.result(m, full ? m : k)
        let right = batch.result(full ? n : k, n)
        let values = batch.result(k)
        try withLAPACKScalar(batch.dataType) {
            try batch.decompose($0, job: full ? "A" : "S", left: left, values: values, right: right)
        }
        return SingularValueDecomposition(left: left, values: values, rightTransposed: right)
    }

    /// The singular values [..., min(m, n)] of the matrices [..., m, n], descending.
    ///
    /// - Throws: `badData` if an element is not finite.
    /// - Precondition: at least two dimensions, floating point.
    public func singularValues() throws -> Tensor {
        let batch = try MatrixBatch(self)
        let values = batch.result(min(batch.rows, batch.columns))
        try withLAPACKScalar(batch.dataType) {
            try batch.decompose($0, job: "N", left: nil, values: values, right: nil)
        }
        return values
    }

    /// The number [...] (i64) of singular values above `tolerance` times the largest.
    ///
    /// - Parameter tolerance: max(m, n) times the precision's epsilon where nil.
    /// - Throws: `badData` if an element is not finite.
    public func matrixRank(tolerance: Double? = nil) throws -> Tensor {
        let values = try singularValues()
        let count = values.shape[values.rank - 1]
        let relative = tolerance ?? defaultTolerance(shape, values.dataType)
        let numbers = values.doubles()
        let ranks = (0..<values.shape.dropLast().reduce(1, *)).map { index in
            let own = numbers[index * count..<(index + 1) * count]
            return own.count { $0 > relative * (own.first ?? 0) }
        }
        return Tensor(ranks, shape: Array(values.shape.dropLast()))
    }

    /// The pseudoinverse [..., n, m] of Moore and Penrose of the matrices [..., m, n].
    ///
    /// - Parameter tolerance: singular values up to this fraction of the largest count as zero; max(m, n) times the
    ///   precision's epsilon where nil.
    /// - Throws: `badData` if an element is not finite.
    public func pseudoinverse(tolerance: Double? = nil) throws -> Tensor {
        let decomposition = try singularValueDecomposition()
        let (m, n) = (shape[rank - 2], shape[rank - 1])
        let k = min(m, n)
        let type = decomposition.values.dataType
        let result = Tensor(uninitialized: shape.dropLast(2) + [n, m], dataType: type)
        let relative = tolerance ?? defaultTolerance(shape, type)
        func invert<Scalar: LAPACKScalar>(_ type: Scalar.Type) {
            inParallel(shape.dropLast(2).reduce(1, *)) { index in
                let values = decomposition.values.pointer(type, at: index * k)
                let right = decomposition.rightTransposed.pointer(type, at: index * k * n)
                let out = result.pointer(type, at: index * n * m)
                guard m > 0, n > 0 else { return }
                for row in 0..<k {
                    let inverse = values[row] > Scalar(relative) * values[0] ? 1 / values[row] : 0
                    for column in 0..<n { right[row * n + column] *= inverse }
                }
                Scalar.gemm(
                    true, true, n, m, k, right, n, decomposition.left.pointer(type, at: index * m * k), k, 0, out, m)
            }
        }
        withLAPACKScalar(type) { invert($0) }
        return result
    }
}

/// The relative size below which a singular value is rounding error.
func defaultTolerance(_ shape: [Int], _ dataType: DataType) -> Double {
    Double(shape.suffix(2).max() ?? 1) * (dataType == .f64 ? Double.ulpOfOne : Double(Float.ulpOfOne))
}

extension MatrixBatch {
    fileprivate func decompose<Scalar: LAPACKScalar>(
        _ type: Scalar.Type, job: Character, left: Tensor?, values: Tensor, right: Tensor?
    ) throws {
        let (m, n, k) = (rows, columns, min(rows, columns))
        let (leftColumns, rightRows) = (left?.shape.last ?? 0, right.map { $0.shape[$0.rank - 2] } ?? 0)
        guard k > 0 else {
            // Without singular values the vectors are any orthonormal basis.
            for square in [left, right].compactMap({ $0 }) where square.count > 0 { square.fillWithIdentities() }
            return
        }
        let work = copy()
        let code = CChar(job.asciiValue ?? 0)
        // Row-major A is column-major Aᵀ = V diag(σ) Uᵀ: LAPACK's left vectors are our right ones, and no matrix
        // has to be transposed.
        var unused = Scalar.zero
        try withUnsafeMutablePointer(to: &unused) { unused in
            nonisolated(unsafe) let unused = unused
            try firstFailure(count) { index in
                let a = work.pointer(type, at: index * m * n)
                let sigma = values.pointer(type, at: index * k)
                let u = left?.pointer(type, at: index * m * leftColumns) ?? unused
                let vt = right?.pointer(type, at: index * rightRows * n) ?? unused
                var status = Scalar.gesdd(
                    code, Int32(n), Int32(m), a, sigma, vt, Int32(n), u, Int32(max(1, leftColumns)))
                if status > 0 {
                    a.update(from: tensor.pointer(type, at: index * m * n), count: m * n)
                    let superdiagonal = Elements<Scalar>.allocate(capacity: k)
                    defer { superdiagonal.deallocate() }
                    status = Scalar.gesvd(
                        code, Int32(n), Int32(m), a, sigma, vt, Int32(n), u, Int32(max(1, leftColumns)),
                        superdiagonal)
                }
                if status == 0 { return nil }
                return CoppiceError(
                    .badData, field: name(index), "the singular value decomposition does not converge")
            }
        }
    }

    private typealias Elements<Scalar> = UnsafeMutablePointer<Scalar>
}

extension Tensor {
    /// Overwrites each square matrix of a freshly computed contiguous tensor with the identity.
    func fillWithIdentities() {
        let n = shape[rank - 1]
        func fill<Scalar: LAPACKScalar>(_ type: Scalar.Type) {
            let elements = pointer(type)
            elements.update(repeating: 0, count: count)
            for matrix in 0..<count / max(1, n * n) {
                for i in 0..<n { elements[(matrix * n + i) * n + i] = 1 }
            }
        }
        withLAPACKScalar(dataType) { fill($0) }
    }
}
