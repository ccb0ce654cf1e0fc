import CKernels
import CoppiceTensors

/// Codes of 1 to 8 bits as bit planes, with a scale for each group of inputs: what formats of any width share.
///
/// Eight consecutive columns take `bits` bytes, one for each bit of their codes, so every width has the same layout and
/// a row takes exactly bits · columns, rounded up to whole bytes of 8 columns.
struct PlaneCodes: Sendable {
    let rows: Int
    let columns: Int
    let bits: Int
    /// Inputs that share a scale; nil: all of a row.
    let groupSize: Int?
    /// u8 `[rows, ceil(columns / 8) · bits]`: bit j of byte i of a group of 8 columns is bit i of column j's code.
    let planes: Tensor
    /// f16 `[rows, groups]`.
    let scales: Tensor

    /// Group sizes that kernels know: blocks of activations, two of them, or whole steps.
    static func supports(groupSize: Int) -> Bool {
        groupSize == 32 || groupSize == 64 || groupSize > 0 && groupSize % 128 == 0
    }

    static func groupLength(_ size: Int?, columns: Int) -> Int { size ?? max(128, (columns + 127) / 128 * 128) }

    static func groupCount(_ size: Int?, columns: Int) -> Int {
        let length = groupLength(size, columns: columns)
        return (columns + length - 1) / length
    }

    var groupCount: Int { Self.groupCount(groupSize, columns: columns) }
    var byteCount: Int { planes.byteCount + scales.byteCount }

    /// Packs codes.
    ///
    /// - Parameters:
    ///   - codes: u8 `[rows, columns]`, contiguous.
    ///   - scales: f16 `[rows, groups]`, contiguous.
    init(packing codes: Tensor, bits: Int, groupSize: Int?, scales: Tensor) {
        (rows, columns) = (codes.shape[0], codes.shape[1])
        self.bits = bits
        self.groupSize = groupSize
        self.scales = scales
        let packed = Tensor(uninitialized: [rows, (columns + 7) / 8 * bits], dataType: .u8)
        withExtendedLifetime((codes.storage, packed.storage)) {
            coppice_pack_planes(
                codes.basePointer.assumingMemoryBound(to: UInt8.self), Int32(bits), codes.shape[0], codes.shape[1],
                packed.basePointer.assumingMemoryBound(to: UInt8.self))
        }
        planes = packed
    }

    /// The parts `planes` and `scales` of a checkpoint.
    init(stored: StoredWeight, bits: Int, groupSize: Int?) throws {
        (rows, columns) = try stored.matrixShape()
        self.bits = bits
        self.groupSize = groupSize
        planes = try stored.part("planes", .u8, [rows, (columns + 7) / 8 * bits])
        scales = try stored.part("scales", .f16, [rows, Self.groupCount(groupSize, columns: columns)]).aligned(to: 2)
    }

    /// The option `group_size`.
    static func groupSize(stored: StoredWeight) throws -> Int? {
        if stored.options["group_size"] == "row" { return nil }
        let size = try stored.integerOption("group_size", in: 1...StoredWeight.largestExtent)
        guard supports(groupSize: size) else {
            throw stored.failure(
                "options.group_size", "expected \"row\", 32, 64 or a multiple of 128, found \(size)")
        }
        return size
    }

    var options: [String: String] { ["bits": "\(bits)", "group_size": groupSize.map(String.init) ?? "row"] }

    /// The codes of all columns, unpacked: u8 `[rows, columns]`.
    func unpacked() -> Tensor {
        var codes = Tensor(uninitialized: [rows, columns], dataType: .u8)
        planes.withElements(UInt8.self) { planes in
            codes.withMutableElements(UInt8.self) { codes in
                let width = (columns + 7) / 8 * bits
                for row in 0..<rows {
                    for column in 0..<columns {
                        let at = row * width + column / 8 * bits
                        var code: UInt8 = 0
                        for bit in 0..<bits { code |= (planes[at + bit] >> UInt8(column % 8) & 1) << UInt8(bit) }
                        codes[row * columns + column] = code
                    }
                }
            }
        }
        return codes
    }

    /// Calls `body` with the kernels' description of the weight.
    ///
    /// - Parameters:
    ///   - zero: the zero point of groups without one of their own.
    ///   - zeros: u8 `[rows, groups]`.
    ///   - tables: i8 `[tables, 2^bits]`, and the strides of rows and groups in it.
    func withKernel<Result>(
        zero: Float, zeros: Tensor? = nil, tables: (values: Tensor, row: Int, group: Int)? = nil,
        _ body: (UnsafePointer<coppice_plane_weight>) -> Result
    ) -> Result {
        var kernel = coppice_plane_weight()
        kernel.rows = rows
        kernel.columns = columns
        kernel.bits = Int32(bits)
        kernel.planes = UnsafePointer(planes.basePointer.assumingMemoryBound(to: UInt8.self))
        if let tables {
            kernel.values = UnsafePointer(tables.values.basePointer.assumingMemoryBound(to: Int8.self))
            kernel.row_tables = tables.row
            kernel.group_tables = tables.group
        }
        kernel.scales = UnsafeRawPointer(scales.basePointer)
        kernel.zeros = zeros.map { UnsafePointer($0.basePointer.assumingMemoryBound(to: UInt8.self)) }
        kernel.zero = zero
        kernel.group = Self.groupLength(groupSize, columns: columns)
        kernel.groups = groupCount
        return withExtendedLifetime((self, zeros, tables?.values)) { withUnsafePointer(to: kernel, body) }
    }
}
