import CSystemBLAS

extension Tensor {
    /// The Cholesky factor of the symmetric positive definite matrices [..., n, n]: the lower triangular L with
    /// A = L Lᵀ (LAPACK's `potrf`).
    ///
    /// Only the lower triangle is read. Not recorded for differentiation. f16 and bf16 are computed, and returned,
    /// in f32. O(n³) for each matrix; the matrices of a batch run in parallel.
    ///
    /// - Throws: `badData` if an element is not finite, or if a matrix is not positive definite.
    /// - Precondition: square matrices, floating point.
    public func choleskyFactor() throws -> Tensor {
        let batch = try MatrixBatch(self)
        batch.requireSquare("Cholesky factorization")
        let (work, n) = (batch.copy(), batch.rows)
        func run<Scalar: LAPACKScalar>(_ type: Scalar.Type) throws {
            try firstFailure(batch.count) { index in
                let a = work.pointer(type, at: index * n * n)
                // The lower triangle of a row-major matrix is the upper one of the same memory in column order.
                let status = Scalar.potrf(CChar(UInt8(ascii: "U")), Int32(n), a)
                guard status == 0 else {
                    return CoppiceError(
                        .badData, field: batch.name(index),
                        "the matrix is not positive definite: its leading minor of order \(status) is not positive")
                }
                for row in 0..<n {
                    for column in row + 1..<max(row + 1, n) { a[row * n + column] = 0 }
                }
                return nil
            }
        }
        if n > 0 { try withLAPACKScalar(batch.dataType) { try run($0) } }
        return work
    }

    /// The X with A X = B, where this tensor is the Cholesky factor L of A = L Lᵀ (see ``choleskyFactor()``).
    ///
    /// - Parameter right: B: [..., n, k], or [n] for one vector. Its leading dimensions equal those of the factor,
    ///   or one of the two has none.
    /// - Throws: `badData` if an element is not finite, or if the diagonal has a zero.
    /// - Precondition: shapes as above, floating point.
    public func choleskySolve(_ right: Tensor) throws -> Tensor {
        let half = try solveTriangular(right)
        return try solveTriangular(half, transposed: true)
    }

    /// The X with T X = B, or Tᵀ X = B, where this tensor holds triangular matrices [..., n, n] (`trsm`).
    ///
    /// The other triangle is not read.
    ///
    /// - Parameters:
    ///   - right: B: [..., n, k], or [n] for one vector. Its leading dimensions equal those of this tensor, or one
    ///     of the two has none.
    ///   - upper: whether T is the upper triangle.
    ///   - transposed: solve with Tᵀ.
    ///   - unitDiagonal: take the diagonal as ones without reading it.
    /// - Throws: `badData` if an element is not finite, or if the diagonal has a zero.
    /// - Precondition: shapes as above, floating point.
    public func solveTriangular(
        _ right: Tensor, upper: Bool = false, transposed: Bool = false, unitDiagonal: Bool = false
    ) throws -> Tensor {
        let system = try LinearSystem(self, right)
        let n = system.matrices.rows
        func run<Scalar: LAPACKScalar>(_ type: Scalar.Type) throws {
            try firstFailure(system.count) { index in
                let a = system.matrix(type, index)
                if !unitDiagonal, let zero = (0..<n).first(where: { a[$0 * n + $0] == 0 }) {
                    return CoppiceError(
                        .badData, field: system.matrices.name(index),
                        "the triangular matrix is singular: element [\(zero), \(zero)] is zero")
                }
                Scalar.trsm(
                    upper ? CblasUpper : CblasLower, transposed ? CblasTrans : CblasNoTrans,
                    unitDiagonal ? CblasUnit : CblasNonUnit, Int32(n), Int32(system.columns), a,
                    system.solution(type, index))
                return nil
            }
        }
        if system.isSolvedByNothing { return system.result }
        try withLAPACKScalar(system.dataType) { try run($0) }
        return system.result
    }
}
