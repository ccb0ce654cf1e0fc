import CSystemBLAS
import CSystemDNNL

extension CPUBackend {
    /// [..., m, k] · [..., k, n] → [..., m, n], f32 by oneDNN, f64 by OpenBLAS, bf16 and f16 in f32.
    ///
    /// - Parameter precision: what operands of f32 are rounded to. Sums are in f32.
    func matmul(_ a: Tensor, _ b: Tensor, precision: OperandPrecision) -> Tensor {
        let type: DataType = a.dataType == .f64 ? .f64 : .f32
        func operand(_ x: Tensor) -> Tensor { x.dataType == .f32 ? rounded(x, to: precision) : convert(x, to: type) }
        return convert(product(operand(a), operand(b)), to: a.dataType)
    }

    /// A tensor as products of a precision take it: bf16 where the processor multiplies that, else f32 rounded so. It
    /// lies as before where it has no gaps.
    func rounded(_ x: Tensor, to precision: OperandPrecision) -> Tensor {
        guard precision == .bf16, x.dataType == .f32 else { return x }
        let source = x.isDense ? x : copy(x)
        let flat = Tensor(
            dataType: .f32, shape: [source.count], strides: [1], offset: source.offset, storage: source.storage)
        var halves = convert(flat, to: .bf16)
        if !MatrixPlan.isAvailable { halves = convert(halves, to: .f32) }
        return Tensor(
            dataType: halves.dataType, shape: source.shape, strides: source.strides, offset: 0, storage: halves.storage)
    }

    /// The product of two f64, of two f32 or of two bf16 tensors; the last gives f32.
    ///
    /// The result is cut into tiles by its sizes only; each tile is one call on one thread.
    ///
    /// - Parameters:
    ///   - target: a contiguous tensor of the result's shape and type that nobody else reads: becomes the result.
    ///   - adds: whether the product is added to what the target holds.
    @discardableResult
    func product(_ a: Tensor, _ b: Tensor, into target: Tensor? = nil, adds: Bool = false) -> Tensor {
        precondition(a.dataType == b.dataType, "a product of \(a.dataType) and \(b.dataType)")
        let type: DataType = a.dataType == .f64 ? .f64 : .f32
        let (x, y) = (MatrixOperand(a), MatrixOperand(b))
        let batch = Tensor.broadcastShape(Array(a.shape.dropLast(2)), Array(b.shape.dropLast(2)))
        let (m, k, n) = (a.shape[a.rank - 2], a.shape[a.rank - 1], b.shape[b.rank - 1])
        let result = target ?? Tensor(uninitialized: batch + [m, n], dataType: type)
        guard result.count > 0, k > 0 else {
            if !adds { result.basePointer.initializeMemory(as: UInt8.self, repeating: 0, count: result.byteCount) }
            return result
        }
        let offsets = MatrixOperand.offsets(of: [x, y], in: batch)
        let tiles = MatrixTiles(rows: m, columns: n, inner: k)
        _ = useOneBLASThread
        withExtendedLifetime((x, y, result)) {
            inParallel(offsets.count * tiles.count) { task in
                let (matrix, tile) = (task / tiles.count, tiles[task % tiles.count])
                let (i, j) = (tile.rows.lowerBound, tile.columns.lowerBound)
                let from = offsets[matrix]
                let (p, q) = (from[0] + i * x.step(.row), from[1] + j * y.step(.column))
                let out = matrix * m * n + i * n + j
                if a.dataType == .bf16 {
                    let plan = MatrixPlan.Key(
                        rows: tile.rows.count, inner: k, columns: tile.columns.count, left: x.layout, right: y.layout,
                        leading: n, adds: adds)
                    MatrixPlan.cached(plan)?.run(
                        x.tensor.basePointer + 2 * p, y.tensor.basePointer + 2 * q, result.pointer(Float.self) + out)
                } else if type == .f32 {
                    OpenMP.useOneThread()
                    _ = dnnl_sgemm(
                        x.isTransposed ? 84 : 78, y.isTransposed ? 84 : 78, Int64(tile.rows.count),
                        Int64(tile.columns.count), Int64(k), 1, x.tensor.pointer(Float.self) + p, Int64(x.leading),
                        y.tensor.pointer(Float.self) + q, Int64(y.leading), adds ? 1 : 0,
                        result.pointer(Float.self) + out, Int64(n))
                } else {
                    cblas_dgemm(
                        CblasRowMajor, x.isTransposed ? CblasTrans : CblasNoTrans,
                        y.isTransposed ? CblasTrans : CblasNoTrans, Int32(tile.rows.count),
                        Int32(tile.columns.count), Int32(k), 1, x.tensor.pointer(Double.self) + p,
                        Int32(x.leading), y.tensor.pointer(Double.self) + q, Int32(y.leading), adds ? 1 : 0,
                        result.pointer(Double.self) + out, Int32(n))
                }
            }
        }
        return result
    }
}

/// A batch of matrices as BLAS takes them: rows or columns without gaps, copied only where neither is so.
private struct MatrixOperand {
    enum Direction { case row, column }

    var tensor: Tensor
    var isTransposed: Bool
    /// Elements between the starts of neighbouring rows (columns where transposed).
    var leading: Int

    init(_ x: Tensor) {
        let (rows, columns) = (x.shape[x.rank - 2], x.shape[x.rank - 1])
        let (row, column) = (x.strides[x.rank - 2], x.strides[x.rank - 1])
        if (column == 1 || columns == 1) && (row >= max(1, columns) || rows == 1) {
            (tensor, isTransposed, leading) = (x, false, max(row, columns, 1))
        } else if (row == 1 || rows == 1) && (column >= max(1, rows) || columns == 1) {
            (tensor, isTransposed, leading) = (x, true, max(column, rows, 1))
        } else {
            (tensor, isTransposed, leading) = (CPUBackend.shared.copy(x), false, max(1, columns))
        }
    }

    var layout: MatrixPlan.Layout { MatrixPlan.Layout(isTransposed: isTransposed, leading: leading) }

    /// Elements between neighbours in a direction.
    func step(_ direction: Direction) -> Int { (direction == .row) == isTransposed ? 1 : leading }

    /// The start of each matrix of a broadcast batch, for each operand.
    static func offsets(of operands: [MatrixOperand], in batch: [Int]) -> [[Int]] {
        var offsets = [operands.map { _ in 0 }]
        let strides = operands.map { operand in
            let own = operand.tensor
            let leading = Array(own.shape.dropLast(2))
            return batch.indices.map { axis -> Int in
                let position = axis - (batch.count - leading.count)
                return position < 0 || leading[position] == 1 ? 0 : own.strides[position]
            }
        }
        for axis in batch.indices {
            offsets = offsets.flatMap { start in
                (0..<batch[axis]).map { index in zip(start, strides).map { $0 + index * $1[axis] } }
            }
        }
        return offsets
    }
}

/// How a matrix product is cut for threads: by its sizes only, so that results are the same for any number of them.
private struct MatrixTiles {
    private let rowTile: Int
    private let columnTile: Int
    private let rowCount: Int
    private let columnCount: Int
    private let rows: Int
    private let columns: Int

    init(rows: Int, columns: Int, inner: Int) {
        // A tile is worth a fork above about four million multiplications, and packs its operands well above 192.
        var (rowParts, columnParts) = (1, 1)
        while rows * columns * inner / (rowParts * columnParts) > 1 << 22, rowParts * columnParts < 64 {
            let (height, width) = (rows / (2 * rowParts), columns / (2 * columnParts))
            if max(height, width) < 96 { break }
            if height >= width { rowParts *= 2 } else { columnParts *= 2 }
        }
        (self.rows, self.columns) = (rows, columns)
        rowTile = ((rows + rowParts - 1) / rowParts + 15) / 16 * 16
        columnTile = ((columns + columnParts - 1) / columnParts + 15) / 16 * 16
        rowCount = (rows + rowTile - 1) / rowTile
        columnCount = (columns + columnTile - 1) / columnTile
    }

    var count: Int { rowCount * columnCount }

    subscript(index: Int) -> (rows: Range<Int>, columns: Range<Int>) {
        let (i, j) = (index / columnCount * rowTile, index % columnCount * columnTile)
        return (i..<min(rows, i + rowTile), j..<min(columns, j + columnTile))
    }
}
