import CSystemBLAS

/// A precision that BLAS and LAPACK compute in: each function is the routine of that name. Matrices are row-major
/// where `layout` says so.
protocol LAPACKScalar: TensorElement, BinaryFloatingPoint {
    typealias Elements = UnsafeMutablePointer<Self>
    typealias Integers = UnsafeMutablePointer<Int32>

    static func gesdd(
        _ job: CChar, _ m: Int32, _ n: Int32, _ a: Elements, _ values: Elements, _ u: Elements, _ ldu: Int32,
        _ vt: Elements, _ ldvt: Int32
    ) -> Int32
    static func gesvd(
        _ job: CChar, _ m: Int32, _ n: Int32, _ a: Elements, _ values: Elements, _ u: Elements, _ ldu: Int32,
        _ vt: Elements, _ ldvt: Int32, _ superdiagonal: Elements
    ) -> Int32
    static func syevd(_ job: CChar, _ triangle: CChar, _ n: Int32, _ a: Elements, _ values: Elements) -> Int32
    static func geqrf(_ m: Int32, _ n: Int32, _ a: Elements, _ lda: Int32, _ tau: Elements) -> Int32
    static func orgqr(
        _ m: Int32, _ n: Int32, _ k: Int32, _ a: Elements, _ lda: Int32, _ tau: Elements
    ) -> Int32
    static func potrf(_ triangle: CChar, _ n: Int32, _ a: Elements) -> Int32
    static func trtri(_ triangle: CChar, _ n: Int32, _ a: Elements) -> Int32
    static func getrf(_ n: Int32, _ a: Elements, _ pivots: Integers) -> Int32
    static func getrs(
        _ transposed: CChar, _ n: Int32, _ k: Int32, _ factors: Elements, _ pivots: Integers, _ b: Elements
    ) -> Int32
    static func gelsd(
        _ m: Int32, _ n: Int32, _ k: Int32, _ a: Elements, _ b: Elements, _ values: Elements, _ tolerance: Self,
        _ rank: Integers
    ) -> Int32
    static func trsm(
        _ triangle: CBLAS_UPLO, _ transposed: CBLAS_TRANSPOSE, _ diagonal: CBLAS_DIAG, _ n: Int32, _ k: Int32,
        _ a: Elements, _ b: Elements)
    /// c = a b for row-major a [m, k] and b [k, n], either transposed in memory.
    static func gemm(
        _ transposedA: Bool, _ transposedB: Bool, _ m: Int, _ n: Int, _ k: Int, _ a: UnsafePointer<Self>,
        _ lda: Int, _ b: UnsafePointer<Self>, _ ldb: Int, _ beta: Self, _ c: Elements, _ ldc: Int)
}

/// OpenBLAS computes on the thread that calls it: matrices of a batch run in parallel on the program's own pool, and
/// results do not depend on the number of threads.
let useOneBLASThread: Void = openblas_set_num_threads(1)

extension Float: LAPACKScalar {
    static func gesdd(
        _ job: CChar, _ m: Int32, _ n: Int32, _ a: Elements, _ values: Elements, _ u: Elements, _ ldu: Int32,
        _ vt: Elements, _ ldvt: Int32
    ) -> Int32 {
        LAPACKE_sgesdd(LAPACK_COL_MAJOR, job, m, n, a, m, values, u, ldu, vt, ldvt)
    }

    static func gesvd(
        _ job: CChar, _ m: Int32, _ n: Int32, _ a: Elements, _ values: Elements, _ u: Elements, _ ldu: Int32,
        _ vt: Elements, _ ldvt: Int32, _ superdiagonal: Elements
    ) -> Int32 {
        LAPACKE_sgesvd(LAPACK_COL_MAJOR, job, job, m, n, a, m, values, u, ldu, vt, ldvt, superdiagonal)
    }

    static func syevd(_ job: CChar, _ triangle: CChar, _ n: Int32, _ a: Elements, _ values: Elements) -> Int32 {
        LAPACKE_ssyevd(LAPACK_COL_MAJOR, job, triangle, n, a, n, values)
    }

    static func geqrf(_ m: Int32, _ n: Int32, _ a: Elements, _ lda: Int32, _ tau: Elements) -> Int32 {
        LAPACKE_sgeqrf(LAPACK_ROW_MAJOR, m, n, a, lda, tau)
    }

    static func orgqr(
        _ m: Int32, _ n: Int32, _ k: Int32, _ a: Elements, _ lda: Int32, _ tau: Elements
    ) -> Int32 {
        LAPACKE_sorgqr(LAPACK_ROW_MAJOR, m, n, k, a, lda, tau)
    }

    static func potrf(_ triangle: CChar, _ n: Int32, _ a: Elements) -> Int32 {
        LAPACKE_spotrf(LAPACK_COL_MAJOR, triangle, n, a, n)
    }

    static func trtri(_ triangle: CChar, _ n: Int32, _ a: Elements) -> Int32 {
        LAPACKE_strtri(LAPACK_COL_MAJOR, triangle, CChar(UInt8(ascii: "N")), n, a, n)
    }

    static func getrf(_ n: Int32, _ a: Elements, _ pivots: Integers) -> Int32 {
        LAPACKE_sgetrf(LAPACK_ROW_MAJOR, n, n, a, n, pivots)
    }

    static func getrs(
        _ transposed: CChar, _ n: Int32, _ k: Int32, _ factors: Elements, _ pivots: Integers, _ b: Elements
    ) -> Int32 {
        LAPACKE_sgetrs(LAPACK_ROW_MAJOR, transposed, n, k, factors, n, pivots, b, k)
    }

    static func gelsd(
        _ m: Int32, _ n: Int32, _ k: Int32, _ a: Elements, _ b: Elements, _ values: Elements, _ tolerance: Float,
        _ rank: Integers
    ) -> Int32 {
        LAPACKE_sgelsd(LAPACK_ROW_MAJOR, m, n, k, a, n, b, k, values, tolerance, rank)
    }

    static func trsm(
        _ triangle: CBLAS_UPLO, _ transposed: CBLAS_TRANSPOSE, _ diagonal: CBLAS_DIAG, _ n: Int32, _ k: Int32,
        _ a: Elements, _ b: Elements
    ) {
        cblas_strsm(CblasRowMajor, CblasLeft, triangle, transposed, diagonal, n, k, 1, a, n, b, k)
    }

    static func gemm(
        _ transposedA: Bool, _ transposedB: Bool, _ m: Int, _ n: Int, _ k: Int, _ a: UnsafePointer<Float>,
        _ lda: Int, _ b: UnsafePointer<Float>, _ ldb: Int, _ beta: Float, _ c: Elements, _ ldc: Int
    ) {
        cblas_sgemm(
            CblasRowMajor, transposedA ? CblasTrans : CblasNoTrans, transposedB ? CblasTrans : CblasNoTrans,
            Int32(m), Int32(n), Int32(k), 1, a, Int32(lda), b, Int32(ldb), beta, c, Int32(ldc))
    }
}

extension Double: LAPACKScalar {
    static func gesdd(
        _ job: CChar, _ m: Int32, _ n: Int32, _ a: Elements, _ values: Elements, _ u: Elements, _ ldu: Int32,
        _ vt: Elements, _ ldvt: Int32
    ) -> Int32 {
        LAPACKE_dgesdd(LAPACK_COL_MAJOR, job, m, n, a, m, values, u, ldu, vt, ldvt)
    }

    static func gesvd(
        _ job: CChar, _ m: Int32, _ n: Int32, _ a: Elements, _ values: Elements, _ u: Elements, _ ldu: Int32,
        _ vt: Elements, _ ldvt: Int32, _ superdiagonal: Elements
    ) -> Int32 {
        LAPACKE_dgesvd(LAPACK_COL_MAJOR, job, job, m, n, a, m, values, u, ldu, vt, ldvt, superdiagonal)
    }

    static func syevd(_ job: CChar, _ triangle: CChar, _ n: Int32, _ a: Elements, _ values: Elements) -> Int32 {
        LAPACKE_dsyevd(LAPACK_COL_MAJOR, job, triangle, n, a, n, values)
    }

    static func geqrf(_ m: Int32, _ n: Int32, _ a: Elements, _ lda: Int32, _ tau: Elements) -> Int32 {
        LAPACKE_dgeqrf(LAPACK_ROW_MAJOR, m, n, a, lda, tau)
    }

    static func orgqr(
        _ m: Int32, _ n: Int32, _ k: Int32, _ a: Elements, _ lda: Int32, _ tau: Elements
    ) -> Int32 {
        LAPACKE_dorgqr(LAPACK_ROW_MAJOR, m, n, k, a, lda, tau)
    }

    static func potrf(_ triangle: CChar, _ n: Int32, _ a: Elements) -> Int32 {
        LAPACKE_dpotrf(LAPACK_COL_MAJOR, triangle, n, a, n)
    }

    static func trtri(_ triangle: CChar, _ n: Int32, _ a: Elements) -> Int32 {
        LAPACKE_dtrtri(LAPACK_COL_MAJOR, triangle, CChar(UInt8(ascii: "N")), n, a, n)
    }

    static func getrf(_ n: Int32, _ a: Elements, _ pivots: Integers) -> Int32 {
        LAPACKE_dgetrf(LAPACK_ROW_MAJOR, n, n, a, n, pivots)
    }

    static func getrs(
        _ transposed: CChar, _ n: Int32, _ k: Int32, _ factors: Elements, _ pivots: Integers, _ b: Elements
    ) -> Int32 {
        LAPACKE_dgetrs(LAPACK_ROW_MAJOR, transposed, n, k, factors, n, pivots, b, k)
    }

    static func gelsd(
        _ m: Int32, _ n: Int32, _ k: Int32, _ a: Elements, _ b: Elements, _ values: Elements, _ tolerance: Double,
        _ rank: Integers
    ) -> Int32 {
        LAPACKE_dgelsd(LAPACK_ROW_MAJOR, m, n, k, a, n, b, k, values, tolerance, rank)
    }

    static func trsm(
        _ triangle: CBLAS_UPLO, _ transposed: CBLAS_TRANSPOSE, _ diagonal: CBLAS_DIAG, _ n: Int32, _ k: Int32,
        _ a: Elements, _ b: Elements
    ) {
        cblas_dtrsm(CblasRowMajor, CblasLeft, triangle, transposed, diagonal, n, k, 1, a, n, b, k)
    }

    static func gemm(
        _ transposedA: Bool, _ transposedB: Bool, _ m: Int, _ n: Int, _ k: Int, _ a: UnsafePointer<Double>,
        _ lda: Int, _ b: UnsafePointer<Double>, _ ldb: Int, _ beta: Double, _ c: Elements, _ ldc: Int
    ) {
        cblas_dgemm(
            CblasRowMajor, transposedA ? CblasTrans : CblasNoTrans, transposedB ? CblasTrans : CblasNoTrans,
            Int32(m), Int32(n), Int32(k), 1, a, Int32(lda), b, Int32(ldb), beta, c, Int32(ldc))
    }
}
