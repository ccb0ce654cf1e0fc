import CKernels
import CoppiceTensors

/// A weight with every entry stored: bf16, f16 or f32, row-major. A view of the tensor it is made from (a mapped
/// file, at any byte offset), never a copy of a contiguous one.
public struct DenseWeight: WeightFormat, RowKernelWeight {
    public static let name = "dense"

    /// W `[rows, columns]` as stored.
    public let tensor: Tensor
    private let type: coppice_float_type

    /// - Throws: `badData` unless `tensor` has two dimensions and the type bf16, f16 or f32.
    public init(_ tensor: Tensor) throws {
        try self.init(stored: StoredWeight(format: Self.name, shape: tensor.shape, tensors: ["": tensor]))
    }

    public init(stored: StoredWeight) throws {
        let (rows, columns) = try stored.matrixShape()
        guard let tensor = stored.tensors[""] else { throw stored.failure("", "is missing") }
        switch tensor.dataType {
        case .f32: type = COPPICE_TYPE_F32
        case .bf16: type = COPPICE_TYPE_BF16
        case .f16: type = COPPICE_TYPE_F16
        default: throw stored.failure("", "expected bf16, f16 or f32, found \(tensor.dataType)")
        }
        self.tensor = try stored.part("", tensor.dataType, [rows, columns])
    }

    public var rows: Int { tensor.shape[0] }
    public var columns: Int { tensor.shape[1] }
    public var byteCount: Int { tensor.byteCount }
    public var label: String { tensor.dataType.description }

    func withRowKernel<Result>(for x: ActivationRows, _ body: (coppice_row_kernel) -> Result) -> Result {
        withExtendedLifetime(tensor.storage) {
            let kernel = coppice_dense_weight(
                values: UnsafeRawPointer(tensor.basePointer), type: type, rows: rows, columns: columns)
            return withUnsafePointer(to: kernel) { body(coppice_dense_kernel($0, x.rows, x.mayNarrow ? 1 : 0)) }
        }
    }

    public func copyRow(_ row: Int, into destination: UnsafeMutablePointer<Float>) {
        precondition(row >= 0 && row < rows, "row \(row) of \(rows)")
        withExtendedLifetime(tensor.storage) {
            let source = tensor.basePointer + row * columns * tensor.dataType.byteCount
            coppice_convert_serially(tensor.dataType.kernelType, COPPICE_DATA_F32, columns, source, destination)
        }
    }

    public func stored() -> StoredWeight {
        StoredWeight(format: Self.name, shape: [rows, columns], tensors: ["": tensor])
    }
}
