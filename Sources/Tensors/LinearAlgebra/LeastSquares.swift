/// The shortest X that makes ‖A X - B‖ smallest, for each matrix of a batch.
public struct LeastSquaresSolution: Sendable {
    /// X: [..., n, k], or [..., n] for one vector.
    public var solution: Tensor
    /// The rank of A that the tolerance leaves: [...], i64.
    public var rank: Tensor
    /// The singular values of A, descending: [..., min(m, n)].
    public var singularValues: Tensor
}

extension Tensor {
    /// Least squares with the matrices A = [..., m, n], of any shape and rank (LAPACK's `gelsd`).
    ///
    /// Not recorded for differentiation. f16 and bf16 are computed, and returned, in f32. O(m n min(m, n)) for each
    /// matrix; the matrices of a batch run in parallel.
    ///
    /// - Parameters:
    ///   - right: B: [..., m, k], or [m] for one vector (then A has no leading dimensions).
    ///   - tolerance: singular values up to this fraction of the largest count as zero; max(m, n) times the
    ///     precision's epsilon where nil.
    /// - Throws: `badData` if an element is not finite, or if the method does not converge.
    /// - Precondition: shapes as above, floating point.
    public func leastSquares(_ right: Tensor, tolerance: Double? = nil) throws -> LeastSquaresSolution {
        let type = DataType.promoted(dataType, right.dataType)
        let matrices = try MatrixBatch(converted(to: type))
        let isVector = right.rank == 1
        precondition(
            right.shape.dropLast(isVector ? 1 : 2) == matrices.leading[...],
            "right-hand side of shape \(right.shape) for matrices of shape \(shape): other leading dimensions")
        let side = right.converted(to: type).contiguous()
        let shaped =
            isVector
            ? Tensor(
                dataType: type, shape: [right.count, 1], storage: side.storage,
                byteOffset: side.offset * type.byteCount) : side
        let sides = try MatrixBatch(shaped, named: "right-hand side")
        precondition(
            sides.rows == matrices.rows,
            "right-hand side of shape \(right.shape) for matrices of shape \(shape): \(matrices.rows) rows expected")
        let problem = LeastSquaresProblem(
            matrices: matrices, sides: sides, tolerance: tolerance ?? defaultTolerance(shape, matrices.dataType))
        var answer = try problem.solve()
        if isVector {
            answer.solution = Tensor(
                dataType: answer.solution.dataType, shape: [matrices.columns], storage: answer.solution.storage)
        }
        return answer
    }
}

private struct LeastSquaresProblem {
    let matrices: MatrixBatch
    let sides: MatrixBatch
    let tolerance: Double

    func solve() throws -> LeastSquaresSolution {
        let solution = matrices.result(matrices.columns, sides.columns)
        let values = matrices.result(min(matrices.rows, matrices.columns))
        var ranks = [Int32](repeating: 0, count: matrices.count)
        try ranks.withUnsafeMutableBufferPointer { ranks in
            nonisolated(unsafe) let slots = ranks
            try withLAPACKScalar(matrices.dataType) { try run($0, solution, values, slots) }
        }
        return LeastSquaresSolution(
            solution: solution, rank: Tensor(ranks.map(Int.init), shape: matrices.leading), singularValues: values)
    }

    private func run<Scalar: LAPACKScalar>(
        _ type: Scalar.Type, _ solution: Tensor, _ values: Tensor, _ ranks: UnsafeMutableBufferPointer<Int32>
    ) throws {
        let (m, n, k) = (matrices.rows, matrices.columns, sides.columns)
        solution.pointer(type).update(repeating: 0, count: solution.count)
        guard min(m, n) > 0 else { return }
        let work = matrices.copy()
        try firstFailure(matrices.count) { index in
            // B enters and X leaves in the same memory, which has room for the taller of them; LAPACK wants a
            // column even where there is none.
            let width = max(1, k)
            let b = UnsafeMutablePointer<Scalar>.allocate(capacity: max(m, n) * width)
            defer { b.deallocate() }
            b.initialize(repeating: 0, count: max(m, n) * width)
            if k > 0 { b.update(from: sides.tensor.pointer(type, at: index * m * k), count: m * k) }
            var rank: Int32 = 0
            let status = Scalar.gelsd(
                Int32(m), Int32(n), Int32(width), work.pointer(type, at: index * m * n), b,
                values.pointer(type, at: index * min(m, n)), Scalar(tolerance), &rank)
            ranks[index] = rank
            guard status == 0 else {
                return CoppiceError(.badData, field: matrices.name(index), "least squares does not converge")
            }
            if k > 0 { solution.pointer(type, at: index * n * k).update(from: b, count: n * k) }
            return nil
        }
    }
}
