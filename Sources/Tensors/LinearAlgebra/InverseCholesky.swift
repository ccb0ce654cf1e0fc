import CSystemBLAS

extension Tensor {
    /// The Cholesky factor of the inverse of the symmetric positive definite matrices [..., n, n]: the upper triangular U
    /// with A⁻¹ = Uᵀ U.
    ///
    /// A⁻¹ is never formed: with rows and columns in reverse order A is L Lᵀ (LAPACK's `potrf`), and L⁻¹ (`trtri`) in
    /// reverse order is U.
    ///
    /// Only the upper triangle is read. Not recorded for differentiation. f16 and bf16 are computed, and returned, in f32.
    /// O(n³) for each matrix, half of what an inverse and its factor take; the matrices of a batch run in parallel.
    ///
    /// - Throws: `badData` if an element is not finite, or if a matrix is not positive definite.
    /// - Precondition: square matrices, floating point.
    public func inverseCholeskyFactor() throws -> Tensor {
        let batch = try MatrixBatch(self)
        batch.requireSquare("Cholesky factorization of the inverse")
        let (work, n) = (batch.copy(), batch.rows)
        func run<Scalar: LAPACKScalar>(_ type: Scalar.Type) throws {
            try firstFailure(batch.count) { index in
                let a = work.pointer(type, at: index * n * n)
                var elements = UnsafeMutableBufferPointer(start: a, count: n * n)
                elements.reverse()
                // The lower triangle of a row-major matrix is the upper one of the same memory in column order.
                let lower = CChar(UInt8(ascii: "U"))
                guard Scalar.potrf(lower, Int32(n), a) == 0, Scalar.trtri(lower, Int32(n), a) == 0 else {
                    return CoppiceError(
                        .badData, field: batch.name(index), "the matrix is not positive definite")
                }
                for row in 0..<n {
                    for column in row + 1..<max(row + 1, n) { a[row * n + column] = 0 }
                }
                elements.reverse()
                return nil
            }
        }
        if n > 0 { try withLAPACKScalar(batch.dataType) { try run($0) } }
        return work
    }
}
