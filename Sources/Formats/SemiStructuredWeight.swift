import CKernels
import CoppiceTensors

/// An N:M sparse weight: of each M consecutive inputs of a row, N have a value. Values are floats or integers.
///
/// Positions cost one bit an input. Rows have equal lengths, so any of them is found without an index; and in rows of
/// 1:2, 1:4, 2:4 and 2:8 values lie at the same places, so that decoding fetches the activations that meet them.
public struct SemiStructuredWeight: WeightFormat, RowKernelWeight {
    public static let name = "sparse-n:m"

    public let rows: Int
    public let columns: Int
    /// Values kept of each group.
    public let kept: Int
    /// Inputs in a group: 2, 4, 8 or 16.
    public let groupLength: Int
    private let packed: PackedValues
    private let masks: ColumnMasks
    /// The masks as positions of values, for patterns with a kernel that wants them.
    private let positions: Tensor?

    /// Whether a pattern can be stored for rows of so many columns.
    public static func supports(kept: Int, of groupLength: Int, columns: Int) -> Bool {
        [2, 4, 8, 16].contains(groupLength) && (1..<groupLength).contains(kept) && columns % groupLength == 0
    }

    /// Stores a matrix whose groups have at most `kept` entries that are not zero; fewer are filled up with zeros.
    ///
    /// - Precondition: ``supports(kept:of:columns:)``.
    /// - Throws: `badData` when a group has more, or for NaN and infinity.
    public init(packing matrix: Tensor, kept: Int, of groupLength: Int, values: PackedValueType) throws {
        precondition(matrix.rank == 2, "a weight of shape \(matrix.shape)")
        let (rows, columns) = (matrix.shape[0], matrix.shape[1])
        precondition(Self.supports(kept: kept, of: groupLength, columns: columns), "\(kept):\(groupLength)")
        (self.rows, self.columns, self.kept, self.groupLength) = (rows, columns, kept, groupLength)
        var keeps = [[Int]](repeating: [], count: rows)
        try matrix.converted(to: .f32).withElements(Float.self) { all in
            for row in 0..<rows {
                for start in stride(from: 0, to: columns, by: groupLength) {
                    let group = start..<(start + groupLength)
                    let set = group.filter { all[row * columns + $0] != 0 }
                    guard set.count <= kept else {
                        throw CoppiceError(
                            .badData, field: "[\(row), \(start)]",
                            "\(set.count) of \(groupLength) weights are not zero, expected at most \(kept)")
                    }
                    let filling = group.filter { all[row * columns + $0] == 0 }.prefix(kept - set.count)
                    keeps[row] += (set + filling).sorted()
                }
            }
        }
        packed = try PackedValues(matrix, type: values) { keeps[$0] }
        masks = ColumnMasks(rows: rows, columns: columns) { keeps[$0] }
        positions = Self.positions(masks, kept: kept, of: groupLength)
    }

    public init(stored: StoredWeight) throws {
        (rows, columns) = try stored.matrixShape()
        groupLength = try stored.integerOption("group_length", in: 2...16)
        kept = try stored.integerOption("kept", in: 1...15)
        guard Self.supports(kept: kept, of: groupLength, columns: columns) else {
            throw stored.failure("options", "\(kept):\(groupLength) does not fit rows of \(columns) columns")
        }
        masks = try ColumnMasks(stored: stored, rows: rows, columns: columns)
        if let row = masks.firstRow(violating: kept, of: groupLength) {
            throw stored.failure("masks", "row \(row) does not follow the pattern \(kept):\(groupLength)")
        }
        let count = columns / groupLength * kept
        packed = try PackedValues(
            stored: stored, rows: rows, columns: columns,
            elements: rows * (PackedValues.isNibbles(stored) ? (count + 1) / 2 * 2 : count))
        positions = Self.positions(masks, kept: kept, of: groupLength)
    }

    private static func positions(_ masks: ColumnMasks, kept: Int, of groupLength: Int) -> Tensor? {
        let (rows, columns) = (masks.rows, masks.columns)
        guard coppice_pattern_applies(Int32(kept), Int32(groupLength), columns) != 0 else { return nil }
        let stride = coppice_pattern_position_stride(Int32(kept), Int32(groupLength), columns)
        let positions = Tensor(uninitialized: [rows, stride], dataType: .u8)
        withExtendedLifetime((masks.bytes.storage, positions.storage)) {
            coppice_pattern_positions(
                Int32(kept), Int32(groupLength), rows, columns,
                masks.bytes.basePointer.assumingMemoryBound(to: UInt16.self),
                positions.basePointer.assumingMemoryBound(to: UInt8.self))
        }
        return positions
    }

    public var byteCount: Int { packed.byteCount + masks.bytes.byteCount }
    public var label: String { "sparse-\(kept):\(groupLength)-\(packed.type.label)" }

    private func withKernel<Result>(_ body: (UnsafePointer<coppice_packed_weight>) -> Result) -> Result {
        packed.withKernel(
            rows: rows, rowValues: PackedValues.rowValues(columns / groupLength * kept, packed.type),
            masks: masks.bytes, body)
    }

    func withRowKernel<Result>(for x: ActivationRows, _ body: (coppice_row_kernel) -> Result) -> Result {
        withKernel { packed in
            guard let positions else { return body(coppice_packed_kernel(packed, x.rows)) }
            return withExtendedLifetime(positions.storage) {
                let weight = coppice_pattern_weight(
                    packed: packed.pointee, kept: Int32(kept), length: Int32(groupLength),
                    positions: UnsafePointer(positions.basePointer.assumingMemoryBound(to: UInt8.self)),
                    position_stride: rows == 0 ? 0 : positions.count / rows)
                return withUnsafePointer(to: weight) { body(coppice_pattern_kernel($0, x.rows)) }
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
            options: packed.options.merging(["kept": "\(kept)", "group_length": "\(groupLength)"]) { $1 })
    }
}
