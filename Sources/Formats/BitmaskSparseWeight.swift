import CKernels
import CoppiceTensors

/// An unstructured sparse weight: one bit an input says whether there is a value; values follow each other, floats or
/// integers. Smaller than dense above 1/16 sparsity in bf16, 1/8 at 8 bits, 1/4 at 4 bits.
///
/// Where at most a fifth of bf16 or f16 values is kept, decoding fetches the activations that meet them instead of
/// spreading the values over columns.
public struct BitmaskSparseWeight: WeightFormat, RowKernelWeight {
    public static let name = "sparse-bitmask"

    public let rows: Int
    public let columns: Int
    private let packed: PackedValues
    private let masks: ColumnMasks
    /// The element at which each row's values start, and the end: i64 `[rows + 1]`. Follows from the masks.
    private let starts: Tensor
    /// What the masks say, as a kernel for few kept values wants it: values of each window of 64 columns, u8
    /// `[rows, windows]`, and the column in its window of each value, u8. Follows from the masks.
    private let windows: (counts: Tensor, places: Tensor)?

    /// The largest share of kept values for which windows pay.
    private static let largestWindowedShare = 0.2

    /// Stores the entries of a matrix that are not zero.
    ///
    /// - Throws: `badData` for NaN or infinity, naming the element.
    public init(packing matrix: Tensor, values: PackedValueType) throws {
        precondition(matrix.rank == 2, "a weight of shape \(matrix.shape)")
        let (rows, columns) = (matrix.shape[0], matrix.shape[1])
        (self.rows, self.columns) = (rows, columns)
        masks = ColumnMasks(nonZerosOf: matrix.converted(to: .f32))
        var nibbles = false
        if case .integer(let quantization) = values { nibbles = quantization.bits == 4 }
        starts = Self.starts(masks, nibbles: nibbles)
        packed = try PackedValues(matrix, type: values, masks: masks, starts: starts)
        windows = Self.windows(packed, masks, starts)
    }

    public init(stored: StoredWeight) throws {
        (rows, columns) = try stored.matrixShape()
        masks = try ColumnMasks(stored: stored, rows: rows, columns: columns)
        starts = Self.starts(masks, nibbles: PackedValues.isNibbles(stored))
        packed = try PackedValues(
            stored: stored, rows: rows, columns: columns, elements: starts.withElements(Int.self) { $0[$0.count - 1] })
        windows = Self.windows(packed, masks, starts)
    }

    private static func windows(
        _ packed: PackedValues, _ masks: ColumnMasks, _ starts: Tensor
    ) -> (counts: Tensor, places: Tensor)? {
        guard case .float(let type) = packed.type, type != .f32, masks.rows > 0, masks.columns > 0,
            Double(packed.values.count) <= largestWindowedShare * Double(masks.rows * masks.columns)
        else { return nil }
        let width = Int(COPPICE_WINDOW_COLUMNS)
        let counts = Tensor(uninitialized: [masks.rows, (masks.columns + width - 1) / width], dataType: .u8)
        let places = Tensor.zeros([packed.values.count + 16], dataType: .u8)  // a register more may be read
        packed.withKernel(rows: masks.rows, rowValues: 0, masks: masks.bytes, starts: starts) { kernel in
            withExtendedLifetime((counts.storage, places.storage)) {
                coppice_window_index_fill(
                    kernel, counts.basePointer.assumingMemoryBound(to: UInt8.self),
                    places.basePointer.assumingMemoryBound(to: UInt8.self))
            }
        }
        return (counts, places)
    }

    private static func starts(_ masks: ColumnMasks, nibbles: Bool) -> Tensor {
        var position = 0
        var starts = [0]
        for row in 0..<masks.rows {
            let count = masks.count(row: row)
            position += nibbles ? (count + 1) / 2 * 2 : count
            starts.append(position)
        }
        return Tensor(starts)
    }

    public var byteCount: Int { packed.byteCount + masks.bytes.byteCount + starts.byteCount }
    public var label: String { "sparse-bitmask-\(packed.type.label)" }

    private func withKernel<Result>(_ body: (UnsafePointer<coppice_packed_weight>) -> Result) -> Result {
        packed.withKernel(rows: rows, rowValues: 0, masks: masks.bytes, starts: starts, body)
    }

    func withRowKernel<Result>(for x: ActivationRows, _ body: (coppice_row_kernel) -> Result) -> Result {
        withKernel { kernel in
            guard let windows else { return body(coppice_packed_kernel(kernel, x.rows)) }
            return withExtendedLifetime((windows.counts.storage, windows.places.storage)) {
                let weight = coppice_window_weight(
                    packed: kernel.pointee,
                    counts: UnsafePointer(windows.counts.basePointer.assumingMemoryBound(to: UInt8.self)),
                    places: UnsafePointer(windows.places.basePointer.assumingMemoryBound(to: UInt8.self)))
                return withUnsafePointer(to: weight) { body(coppice_window_kernel($0, x.rows)) }
            }
        }
    }

    public func copyRow(_ row: Int, into destination: UnsafeMutablePointer<Float>) {
        precondition(row >= 0 && row < rows, "row \(row) of \(rows)")
        withKernel { coppice_packed_columns($0, row, 0, columns, destination) }
    }

    public func stored() -> StoredWeight {
        StoredWeight(
            format: Self.name, shape: [rows, columns], tensors: packed.parts.merging(["masks": masks.bytes]) { $1 },
            options: packed.options)
    }
}
