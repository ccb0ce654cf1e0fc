#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// P A = L U, for each square matrix of a batch: Gaussian elimination with row exchanges (LAPACK's `getrf`).
///
/// ```swift
/// let factors = try matrix.luFactorization()
/// let x = try factors.solve(b)
/// let volume = factors.determinant()
/// ```
public struct LUFactorization: Sendable {
    /// U on and above the diagonal, L below it (its diagonal is ones): [..., n, n].
    public let factors: Tensor
    /// Row i was exchanged with row `pivots[i]`, in ascending order of i: [..., n], i32, counted from 0.
    public let pivots: Tensor

    private var order: Int { factors.shape[factors.rank - 1] }
    private var leading: [Int] { Array(factors.shape.dropLast(2)) }

    init(_ matrix: Tensor) throws {
        let batch = try MatrixBatch(matrix)
        batch.requireSquare("LU factorization")
        let (work, n) = (batch.copy(), batch.rows)
        let pivots = Tensor(uninitialized: batch.leading + [n], dataType: .i32)
        func run<Scalar: LAPACKScalar>(_ type: Scalar.Type) throws {
            try firstFailure(batch.count) { index in
                let own = pivots.pointer(Int32.self, at: index * n)
                let status = Scalar.getrf(Int32(n), work.pointer(type, at: index * n * n), own)
                for i in 0..<n { own[i] -= 1 }
                // A positive status is an exactly singular matrix, whose factors are still right.
                return status >= 0
                    ? nil : CoppiceError(.internal, field: batch.name(index), "LU factorization: status \(status)")
            }
        }
        if n > 0 { try withLAPACKScalar(batch.dataType) { try run($0) } }
        factors = work
        self.pivots = pivots
    }

    /// The X with A X = B, or Aᵀ X = B.
    ///
    /// - Parameter right: B: [..., n, k], or [n] for one vector. Its leading dimensions equal those of A, or one of
    ///   the two has none.
    /// - Throws: `badData` if an element is not finite, or if A is singular (U has a zero on its diagonal).
    /// - Precondition: shapes as above, floating point.
    public func solve(_ right: Tensor, transposed: Bool = false) throws -> Tensor {
        let system = try LinearSystem(factors, right)
        let (n, pivots) = (order, self.pivots)
        func run<Scalar: LAPACKScalar>(_ type: Scalar.Type) throws {
            try firstFailure(system.count) { index in
                let a = system.matrix(type, index)
                if let zero = (0..<n).first(where: { a[$0 * n + $0] == 0 }) {
                    return CoppiceError(
                        .badData, field: system.matrices.name(index),
                        "the matrix is singular: pivot \(zero) is zero")
                }
                var exchanges = (0..<n).map {
                    pivots.pointer(Int32.self, at: (leading.isEmpty ? 0 : index * n) + $0).pointee + 1
                }
                let status = Scalar.getrs(
                    CChar(UInt8(ascii: transposed ? "T" : "N")), Int32(n), Int32(system.columns), a, &exchanges,
                    system.solution(type, index))
                return status == 0
                    ? nil : CoppiceError(.internal, field: system.matrices.name(index), "solve: status \(status)")
            }
        }
        if system.isSolvedByNothing { return system.result }
        try withLAPACKScalar(system.dataType) { try run($0) }
        return system.result
    }

    /// A⁻¹: [..., n, n].
    ///
    /// - Throws: `badData` if A is singular.
    public func inverse() throws -> Tensor {
        let identities = Tensor(uninitialized: factors.shape, dataType: factors.dataType)
        identities.fillWithIdentities()
        return try solve(identities)
    }

    /// det A: [...]. Zero for singular matrices, one for those of order 0.
    public func determinant() -> Tensor {
        perMatrix { pivots, exchanges in pivots.reduce(exchanges % 2 == 0 ? 1.0 : -1.0, *) }
    }

    /// The sign (-1, 0 or 1) and log |det A|, which does not overflow: both [...]. Zero and -∞ for singular matrices.
    public func signAndLogDeterminant() -> (sign: Tensor, logarithm: Tensor) {
        let sign = perMatrix { pivots, exchanges -> Double in
            if pivots.contains(0) { return 0 }
            return (exchanges + pivots.count { $0 < 0 }) % 2 == 0 ? 1 : -1
        }
        return (sign, perMatrix { pivots, _ in pivots.reduce(0.0) { $0 + log($1.magnitude) } })
    }

    /// A number computed in f64 from the diagonal of U and the number of row exchanges, for each matrix.
    private func perMatrix(_ value: (_ pivots: [Double], _ exchanges: Int) -> Double) -> Tensor {
        let (elements, rows, n) = (factors.doubles(), pivots.integers(), order)
        var values: [Double] = []
        for matrix in 0..<leading.reduce(1, *) {
            let diagonal = (0..<n).map { i in elements[(matrix * n + i) * n + i] }
            let exchanges = (0..<n).count { i in rows[matrix * n + i] != i }
            values.append(value(diagonal, exchanges))
        }
        return Tensor(values, shape: leading).converted(to: factors.dataType)
    }
}

extension Tensor {
    /// The LU factorization of the square matrices [..., n, n].
    ///
    /// Singular matrices have one too; solving with it throws. Not recorded for differentiation. f16 and bf16 are
    /// computed, and returned, in f32. O(n³) for each matrix; the matrices of a batch run in parallel.
    ///
    /// - Throws: `badData` if an element is not finite.
    /// - Precondition: square matrices, floating point.
    public func luFactorization() throws -> LUFactorization { try LUFactorization(self) }

    /// The X with A X = B, where this tensor is A: [..., n, n].
    ///
    /// - Parameter right: B: [..., n, k], or [n] for one vector. Its leading dimensions equal those of A, or one of
    ///   the two has none.
    /// - Throws: `badData` if an element is not finite, or if A is singular.
    /// - Precondition: shapes as above, floating point.
    public func solve(_ right: Tensor) throws -> Tensor {
        try converted(to: DataType.promoted(dataType, right.dataType)).luFactorization().solve(right)
    }

    /// The inverse [..., n, n] of the square matrices.
    ///
    /// - Throws: `badData` if an element is not finite, or if a matrix is singular.
    /// - Precondition: square matrices, floating point.
    public func inverse() throws -> Tensor { try luFactorization().inverse() }

    /// The determinants [...] of the square matrices.
    ///
    /// - Throws: `badData` if an element is not finite.
    /// - Precondition: square matrices, floating point.
    public func determinant() throws -> Tensor { try luFactorization().determinant() }
}
