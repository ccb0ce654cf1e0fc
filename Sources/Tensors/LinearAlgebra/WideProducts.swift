import CKernels
import CSystemBLAS

/// Products with a matrix of few long rows, summed in f64: its columns go through in panels, so no f64 copy of an f32 or
/// bf16 matrix exists, and each number of it is read once for all vectors.
extension Tensor {
    /// X Gᵀ, with X this tensor: the dot product of each row with each row of another matrix.
    ///
    /// Not recorded for differentiation. O(n m d) by BLAS's `gemm` in f64, in parallel; the result does not depend on the
    /// number of threads.
    ///
    /// - Parameter rows: G, `[m, d]`, floating point.
    /// - Returns: f64 `[n, m]`.
    /// - Precondition: `[n, d]`, floating point.
    public func wideDots(withRows rows: Tensor) -> Tensor {
        precondition(
            rank == 2 && rows.rank == 2 && shape[1] == rows.shape[1], "rows of \(shape) and of \(rows.shape)")
        let (n, m) = (shape[0], rows.shape[0])
        let result = Tensor.zeros([n, m], dataType: .f64)
        guard result.count > 0, shape[1] > 0 else { return result }
        let (own, other) = (WidePanels(self, beside: m), WidePanels(rows, beside: n))
        // Each part adds up its own panels; parts are as many as the sizes say, and are added in order.
        let parts = Swift.max(1, Swift.min(own.count, 16, (1 << 22) / (n * m)))
        let sums = Tensor.zeros([parts, n, m], dataType: .f64)
        inParallel(parts) { part in
            let sum = sums.pointer(Double.self, at: part * n * m)
            for index in (part * own.count / parts)..<((part + 1) * own.count / parts) {
                own.forEach(in: index..<(index + 1)) { x, _, width in
                    other.forEach(in: index..<(index + 1)) { g, _, _ in
                        cblas_dgemm(
                            CblasRowMajor, CblasNoTrans, CblasTrans, Int32(n), Int32(m), Int32(width), 1, x,
                            Int32(width),
                            g, Int32(width), 1, sum, Int32(m))
                    }
                }
            }
        }
        let total = result.pointer(Double.self)
        for part in 0..<parts {
            let sum = sums.pointer(Double.self, at: part * n * m)
            for index in 0..<(n * m) { total[index] += sum[index] }
        }
        withExtendedLifetime(sums) {}
        return result
    }

    /// (X − Z G) · scale, with X this tensor: what is left of each row after a combination of another matrix's rows.
    ///
    /// Not recorded for differentiation. O(n m d) by BLAS's `gemm` in f64, in parallel panels of columns.
    ///
    /// - Parameters:
    ///   - coefficients: Z, f64 `[n, m]`.
    ///   - rows: G, `[m, d]`, floating point.
    /// - Returns: `[n, d]`, f64 of f64, else f32.
    /// - Precondition: `[n, d]`, floating point.
    public func wideRemainder(_ coefficients: Tensor, ofRows rows: Tensor, scale: Double) -> Tensor {
        let (n, m) = (shape[0], rows.shape[0])
        precondition(
            rank == 2 && rows.rank == 2 && shape[1] == rows.shape[1] && coefficients.dataType == .f64
                && coefficients.shape == [n, m], "\(coefficients.shape) coefficients of \(rows.shape) for \(shape)")
        let isWide = dataType == .f64
        var result = Tensor(uninitialized: shape, dataType: isWide ? .f64 : .f32)
        guard result.count > 0 else { return result }
        let d = shape[1]
        let (own, other) = (WidePanels(self, beside: m), WidePanels(rows, beside: n))
        let z = coefficients.contiguous()
        func fill<Scalar: BinaryFloatingPoint & TensorElement>(_ type: Scalar.Type) {
            result.withMutableElements(type) { out in
                guard let out = out.baseAddress else { return }
                inParallel(own.count) { index in
                    own.forEach(in: index..<(index + 1)) { x, start, width in
                        other.forEach(in: index..<(index + 1)) { g, _, _ in
                            cblas_dgemm(
                                CblasRowMajor, CblasNoTrans, CblasNoTrans, Int32(n), Int32(width), Int32(m), -1,
                                z.pointer(Double.self), Int32(m), g, Int32(width), 1, x, Int32(width))
                        }
                        for row in 0..<n {
                            let (from, to) = (x + row * width, out + row * d + start)
                            for k in 0..<width { to[k] = Scalar(from[k] * scale) }
                        }
                    }
                }
            }
        }
        if isWide { fill(Double.self) } else { fill(Float.self) }
        withExtendedLifetime(z) {}
        return result
    }
}
