import CKernels
import CSystemBLAS

extension Tensor {
    /// The Gram matrix X Xᵀ of the rows of a matrix, in f64: products of f32 and bf16 are exact, their sums are not
    /// rounded to f32.
    ///
    /// The columns go through in panels, so no f64 copy of an f32 or bf16 matrix exists. Not recorded for differentiation.
    /// O(m² d), of which symmetry saves half, in parallel; the result does not depend on the number of threads.
    ///
    /// - Returns: f64 `[m, m]`, both triangles.
    /// - Precondition: `[m, d]`, floating point.
    public func gramMatrix() -> Tensor {
        precondition(rank == 2 && dataType.isFloatingPoint, "a matrix of shape \(shape) and type \(dataType)")
        let (m, d) = (shape[0], shape[1])
        let result = Tensor.zeros([m, m], dataType: .f64)
        guard m > 0, d > 0 else { return result }
        let total = result.pointer(Double.self)
        if dataType == .f64 {
            addProducts(to: total)
        } else {
            let own = asWideOperand
            withExtendedLifetime(own) {
                coppice_wide_gram(own.dataType.kernelType, m, d, own.basePointer, total)
            }
        }
        for row in 0..<m {
            for column in 0..<row { total[column * m + row] = total[row * m + column] }
        }
        return result
    }

    /// Adds Xᵀ X of blocks X of consecutive columns of a matrix to this tensor's matrices: lower triangles alone.
    ///
    /// Not recorded for differentiation. O(m d b) by BLAS's `syrk` in f64; blocks run in parallel.
    ///
    /// - Parameter rows: `[m, blocks · b]`, floating point.
    /// - Precondition: this tensor is f64 `[blocks, b, b]`.
    public mutating func addGramMatrices(ofColumnBlocks rows: Tensor) {
        precondition(
            dataType == .f64 && rank == 3 && shape[1] == shape[2] && rows.rank == 2
                && rows.shape[1] == shape[0] * shape[1], "sums of shape \(shape) for rows of \(rows.shape)")
        let (blocks, size, m) = (shape[0], shape[1], rows.shape[0])
        guard count > 0, m > 0 else { return }
        _ = useOneBLASThread
        let own = rows.converted(to: .f64).contiguous()
        withMutableElements(Double.self) { sums in
            guard let sums = sums.baseAddress else { return }
            inParallel(blocks) { block in
                cblas_dsyrk(
                    CblasRowMajor, CblasLower, CblasTrans, Int32(size), Int32(m), 1,
                    own.pointer(Double.self, at: block * size), Int32(blocks * size), 1, sums + block * size * size,
                    Int32(size))
            }
        }
        withExtendedLifetime(own) {}
    }

    /// Adds the lower triangle of X Xᵀ of an f64 matrix by BLAS's `syrk`.
    private func addProducts(to total: UnsafeMutablePointer<Double>) {
        let panels = WidePanels(self)
        let m = panels.rows
        // Each part adds up its own panels; parts are as many as the sizes say, and are added in order.
        let parts = Swift.max(1, Swift.min(panels.count, 16, (1 << 22) / (m * m)))
        let sums = Tensor.zeros([parts, m, m], dataType: .f64)
        inParallel(parts) { part in
            let sum = sums.pointer(Double.self, at: part * m * m)
            let own = (part * panels.count / parts)..<((part + 1) * panels.count / parts)
            panels.forEach(in: own) { panel, _, width in
                cblas_dsyrk(
                    CblasRowMajor, CblasLower, CblasNoTrans, Int32(m), Int32(width), 1, panel, Int32(width), 1, sum,
                    Int32(m))
            }
        }
        for part in 0..<parts {
            let sum = sums.pointer(Double.self, at: part * m * m)
            for row in 0..<m {
                for column in 0...row { total[row * m + column] += sum[row * m + column] }
            }
        }
        withExtendedLifetime(sums) {}
    }

    /// The squared norm of each column of L⁻¹ X, where this tensor is a Cholesky factor L: the diagonal of
    /// Xᵀ (L Lᵀ)⁻¹ X.
    ///
    /// Not recorded for differentiation. O(m² d) by BLAS's `trsm` in f64, in parallel panels of columns.
    ///
    /// - Parameter columns: X, `[m, d]`, floating point.
    /// - Returns: f64 `[d]`.
    /// - Precondition: f64 `[m, m]`, lower triangular with a diagonal without zeros.
    public func squaredNorms(solving columns: Tensor) -> Tensor {
        let panels = WidePanels(columns)
        let m = panels.rows
        precondition(dataType == .f64 && shape == [m, m], "a factor of shape \(shape) for \(columns.shape)")
        let factor = contiguous()
        let result = Tensor.zeros([panels.columns], dataType: .f64)
        guard m > 0 else { return result }
        let sums = result.pointer(Double.self)
        withExtendedLifetime(factor) {
            inParallel(panels.count) { index in
                panels.forEach(in: index..<(index + 1)) { panel, start, width in
                    cblas_dtrsm(
                        CblasRowMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, Int32(m), Int32(width), 1,
                        factor.pointer(Double.self), Int32(m), panel, Int32(width))
                    for row in 0..<m {
                        let entries = panel + row * width
                        for k in 0..<width { sums[start + k] += entries[k] * entries[k] }
                    }
                }
            }
        }
        return result
    }
}
