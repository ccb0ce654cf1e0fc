/// Square matrices A and right-hand sides B, brought to one precision and one batch: what the solvers start from.
struct LinearSystem {
    let matrices: MatrixBatch
    /// Number of systems.
    let count: Int
    /// Right-hand sides of each system.
    let columns: Int
    /// A copy of B as [..., n, k], which the solvers overwrite with X.
    private let work: Tensor
    private let resultShape: [Int]

    init(_ left: Tensor, _ right: Tensor) throws {
        let type = DataType.promoted(left.dataType, right.dataType)
        matrices = try MatrixBatch(left.converted(to: type))
        matrices.requireSquare("a linear system")
        let isVector = right.rank == 1
        let shaped = isVector ? right.contiguous().asColumn() : right
        let sides = try MatrixBatch(shaped.converted(to: type), named: "right-hand side")
        precondition(
            sides.rows == matrices.rows,
            "right-hand side of shape \(right.shape) for matrices of shape \(left.shape): \(matrices.rows) rows expected"
        )
        precondition(
            sides.leading == matrices.leading || sides.leading.isEmpty || matrices.leading.isEmpty,
            "right-hand side of shape \(right.shape) for matrices of shape \(left.shape): other leading dimensions")
        let leading = sides.leading.isEmpty ? matrices.leading : sides.leading
        count = leading.reduce(1, *)
        columns = sides.columns
        resultShape = leading + [matrices.rows] + (isVector ? [] : [columns])
        work = Tensor(uninitialized: leading + [matrices.rows, columns], dataType: matrices.dataType)
        // One B for many A is copied for each.
        let bytes = sides.tensor.byteCount
        if bytes > 0 {
            for offset in stride(from: 0, to: work.byteCount, by: bytes) {
                (work.basePointer + offset).copyMemory(from: sides.tensor.basePointer, byteCount: bytes)
            }
            withExtendedLifetime(sides.tensor) {}
        }
    }

    var dataType: DataType { matrices.dataType }

    /// Whether there is nothing to compute: no system, no unknown or no right-hand side.
    var isSolvedByNothing: Bool { work.count == 0 }

    /// A of system `index`.
    func matrix<Scalar: LAPACKScalar>(_ type: Scalar.Type, _ index: Int) -> UnsafeMutablePointer<Scalar> {
        matrices.tensor.pointer(type, at: matrices.leading.isEmpty ? 0 : index * matrices.stride)
    }

    /// B of system `index`, to be overwritten with X.
    func solution<Scalar: LAPACKScalar>(_ type: Scalar.Type, _ index: Int) -> UnsafeMutablePointer<Scalar> {
        work.pointer(type, at: index * matrices.rows * columns)
    }

    /// X in the shape of B.
    var result: Tensor { Tensor(dataType: dataType, shape: resultShape, storage: work.storage) }
}

extension Tensor {
    /// A contiguous vector [n] as a matrix [n, 1].
    fileprivate func asColumn() -> Tensor {
        Tensor(
            dataType: dataType, shape: [shape[0], 1], storage: storage, byteOffset: offset * dataType.byteCount)
    }
}
