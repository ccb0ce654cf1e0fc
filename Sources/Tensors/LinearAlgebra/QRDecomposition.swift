/// A = Q R, for each matrix of a batch.
public struct QRDecomposition: Sendable {
    /// Q: [..., m, k] with orthonormal columns, k = min(m, n); [..., m, m] when complete.
    public var orthogonal: Tensor
    /// R: [..., k, n] and upper triangular; [..., m, n] when complete.
    public var triangular: Tensor
}

extension Tensor {
    /// The QR decomposition of the matrices [..., m, n] by Householder reflections (LAPACK's `geqrf`).
    ///
    /// The diagonal of R may be negative. Not recorded for differentiation. f16 and bf16 are computed, and returned,
    /// in f32. O(m n min(m, n)) for each matrix; the matrices of a batch run in parallel.
    ///
    /// - Parameter complete: also complete Q to a square orthogonal matrix.
    /// - Throws: `badData` if an element is not finite.
    /// - Precondition: at least two dimensions, floating point.
    public func qrDecomposition(complete: Bool = false) throws -> QRDecomposition {
        let batch = try MatrixBatch(self)
        let (m, n) = (batch.rows, batch.columns)
        let size = complete ? m : min(m, n)
        let orthogonal = batch.result(m, size)
        let triangular = batch.result(size, n)
        func run<Scalar: LAPACKScalar>(_ type: Scalar.Type) throws {
            let work = batch.copy()
            try firstFailure(batch.count) { index in
                batch.factor(
                    index, work.pointer(type, at: index * m * n), q: orthogonal.pointer(type, at: index * m * size),
                    size: size, r: triangular.pointer(type, at: index * size * n))
            }
        }
        if min(m, n) > 0 {
            try withLAPACKScalar(batch.dataType) { try run($0) }
        } else if orthogonal.count > 0 {
            orthogonal.fillWithIdentities()
        }
        return QRDecomposition(orthogonal: orthogonal, triangular: triangular)
    }
}

extension MatrixBatch {
    fileprivate func factor<Scalar: LAPACKScalar>(
        _ index: Int, _ a: UnsafeMutablePointer<Scalar>, q: UnsafeMutablePointer<Scalar>, size: Int,
        r: UnsafeMutablePointer<Scalar>
    ) -> CoppiceError? {
        let (m, n, k) = (rows, columns, min(rows, columns))
        let tau = UnsafeMutablePointer<Scalar>.allocate(capacity: k)
        defer { tau.deallocate() }
        var status = Scalar.geqrf(Int32(m), Int32(n), a, Int32(n), tau)
        // R above the diagonal, the reflections that make Q below it.
        r.update(repeating: 0, count: size * n)
        for row in 0..<k {
            for column in row..<n { r[row * n + column] = a[row * n + column] }
        }
        q.update(repeating: 0, count: m * size)
        for row in 0..<m {
            for column in 0..<min(k, size) { q[row * size + column] = a[row * n + column] }
        }
        if status == 0 { status = Scalar.orgqr(Int32(m), Int32(size), Int32(k), q, Int32(size), tau) }
        return status == 0 ? nil : CoppiceError(.internal, field: name(index), "QR decomposition: status \(status)")
    }
}
