import CKernels
import CSystemBLAS

/// A matrix in panels of columns, each spread to f64 when it is its turn.
struct WidePanels {
    let matrix: Tensor
    let rows: Int
    let columns: Int
    private let width: Int

    /// - Parameter others: rows of matrices of which panels of the same columns are in use beside it.
    init(_ matrix: Tensor, beside others: Int = 0) {
        precondition(
            matrix.rank == 2 && matrix.dataType.isFloatingPoint,
            "a matrix of shape \(matrix.shape) and type \(matrix.dataType)")
        self.matrix = matrix.asWideOperand
        (rows, columns) = (matrix.shape[0], matrix.shape[1])
        // About 512 kB, what a second-level cache holds.
        width = Swift.max(256, (1 << 16) / Swift.max(1, rows + others))
        _ = useOneBLASThread
    }

    var count: Int { (columns + width - 1) / width }

    /// Calls `body` with the panels of a range, row-major `[rows, width]`, to be overwritten at will.
    func forEach(
        in range: Range<Int>, _ body: (_ panel: UnsafeMutablePointer<Double>, _ start: Int, _ width: Int) -> Void
    ) {
        let buffer = Tensor(uninitialized: [rows, width], dataType: .f64)
        let panel = buffer.pointer(Double.self)
        withExtendedLifetime((buffer, matrix)) {
            for index in range {
                let start = index * width
                let own = Swift.min(width, columns - start)
                for row in 0..<rows { spread(row * columns + start, own, to: panel + row * own) }
                body(panel, start, own)
            }
        }
    }

    private func spread(_ start: Int, _ count: Int, to out: UnsafeMutablePointer<Double>) {
        let type = matrix.dataType
        coppice_convert_serially(
            type.kernelType, COPPICE_DATA_F64, count, matrix.basePointer + start * type.byteCount, out)
    }
}

extension Tensor {
    /// Contiguous rows as kernels with sums in f64 take them: f64 and bf16 as they are, others in f32.
    var asWideOperand: Tensor {
        (dataType == .f64 || dataType == .bf16 ? self : converted(to: .f32)).contiguous()
    }
}
