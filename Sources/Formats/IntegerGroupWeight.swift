import CKernels
import CoppiceTensors

/// A weight of 4- or 8-bit integers with a scale for each group of inputs (or each row), symmetric or asymmetric.
///
/// Products run in integer arithmetic on activations that are rounded to 8 bits where the processor has AVX-512 VNNI
/// (or AVX2, for up to 8 rows) and groups are 32, 64, a multiple of 128 columns or whole rows; else codes are brought
/// back to f32 in registers.
public struct IntegerGroupWeight: WeightFormat, RowKernelWeight {
    public static let name = "integer"

    public let rows: Int
    public let columns: Int
    public let quantization: IntegerQuantization
    private let packed: PackedValues

    /// Rounds a matrix to the nearest codes; zeros stay exactly zero.
    ///
    /// - Throws: `badData` for NaN or infinity, naming the element.
    public init(quantizing matrix: Tensor, _ quantization: IntegerQuantization) throws {
        precondition(matrix.rank == 2, "a weight of shape \(matrix.shape)")
        (rows, columns) = (matrix.shape[0], matrix.shape[1])
        self.quantization = quantization
        packed = try PackedValues(matrix, type: .integer(quantization), keeps: nil)
    }

    public init(stored: StoredWeight) throws {
        (rows, columns) = try stored.matrixShape()
        quantization = try IntegerQuantization(options: stored)
        packed = try PackedValues(
            stored: stored, rows: rows, columns: columns,
            elements: rows * PackedValues.rowValues(columns, .integer(quantization)))
    }

    public var byteCount: Int { packed.byteCount }
    public var label: String { quantization.label }

    private func withKernel<Result>(_ body: (UnsafePointer<coppice_packed_weight>) -> Result) -> Result {
        packed.withKernel(rows: rows, rowValues: PackedValues.rowValues(columns, packed.type), body)
    }

    func withRowKernel<Result>(for x: ActivationRows, _ body: (coppice_row_kernel) -> Result) -> Result {
        withKernel { body(coppice_packed_kernel($0, x.rows)) }
    }

    public func copyRow(_ row: Int, into destination: UnsafeMutablePointer<Float>) {
        precondition(row >= 0 && row < rows, "row \(row) of \(rows)")
        withKernel { coppice_packed_columns($0, row, 0, columns, destination) }
    }

    public func stored() -> StoredWeight {
        StoredWeight(format: Self.name, shape: [rows, columns], tensors: packed.parts, options: packed.options)
    }
}
