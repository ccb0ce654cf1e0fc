/// A = V diag(λ) Vᵀ, for each symmetric matrix of a batch.
public struct SymmetricEigendecomposition: Sendable {
    /// λ: [..., n], ascending.
    public var values: Tensor
    /// V: [..., n, n]; column i is the eigenvector of value i, of length one.
    public var vectors: Tensor
}

extension Tensor {
    /// Eigenvalues and eigenvectors of the symmetric matrices [..., n, n] (LAPACK's divide and conquer, `syevd`).
    ///
    /// Only the lower triangle is read. The signs of eigenvectors are as LAPACK leaves them. Not recorded for
    /// differentiation. f16 and bf16 are computed, and returned, in f32. O(n³) for each matrix; the matrices of a
    /// batch run in parallel.
    ///
    /// - Throws: `badData` if an element is not finite, or if the method does not converge.
    /// - Precondition: square matrices, floating point.
    public func symmetricEigendecomposition() throws -> SymmetricEigendecomposition {
        let batch = try MatrixBatch(self)
        let (values, vectors) = try batch.diagonalize(job: "V")
        return SymmetricEigendecomposition(values: values, vectors: vectors.withLastDimensionsSwapped())
    }

    /// The eigenvalues [..., n] of the symmetric matrices [..., n, n], ascending.
    ///
    /// - Throws: `badData` if an element is not finite, or if the method does not converge.
    /// - Precondition: square matrices, floating point.
    public func symmetricEigenvalues() throws -> Tensor {
        try MatrixBatch(self).diagonalize(job: "N").values
    }
}

extension MatrixBatch {
    /// The second result holds eigenvectors as rows.
    fileprivate func diagonalize(job: Character) throws -> (values: Tensor, rowVectors: Tensor) {
        requireSquare("eigendecomposition")
        let (work, values, n) = (copy(), result(rows), rows)
        func run<Scalar: LAPACKScalar>(_ type: Scalar.Type) throws {
            try firstFailure(count) { index in
                // The lower triangle of a row-major matrix is the upper one of the same memory in column order.
                let status = Scalar.syevd(
                    CChar(job.asciiValue ?? 0), CChar(UInt8(ascii: "U")), Int32(n),
                    work.pointer(type, at: index * n * n), values.pointer(type, at: index * n))
                if status == 0 { return nil }
                return CoppiceError(.badData, field: name(index), "the eigendecomposition does not converge")
            }
        }
        if n > 0 { try withLAPACKScalar(dataType) { try run($0) } }
        return (values, work)
    }
}
