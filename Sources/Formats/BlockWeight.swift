import CKernels
import CoppiceTensors

/// A weight in a block type of GGUF files, over the blocks as the file holds them.
///
/// ```swift
/// let weight = try BlockWeight(encoding: matrix, as: .q4_k)
/// ```
public struct BlockWeight: WeightFormat, RowKernelWeight {
    public static let name = "gguf-block"

    public let rows: Int
    public let columns: Int
    public let type: BlockType
    /// u8 `[rows, bytes of a row]`, at any address.
    public let blocks: Tensor

    /// A weight over blocks that exist.
    ///
    /// - Parameter blocks: u8 `[rows, bytes of a row]`, contiguous.
    /// - Precondition: `columns` is a multiple of the type's length and fits the shape of `blocks`.
    public init(blocks: Tensor, type: BlockType, columns: Int) {
        precondition(
            blocks.dataType == .u8 && blocks.rank == 2 && blocks.shape[1] == type.rowByteCount(columns: columns),
            "blocks of \(type) are \(blocks.dataType) \(blocks.shape)")
        rows = blocks.shape[0]
        self.columns = columns
        self.type = type
        self.blocks = blocks.contiguous()
    }

    /// Encodes a matrix. Scales (and minima) are searched for the least squared error, weighed in the types with blocks
    /// of 256 by |w| plus the root mean square.
    ///
    /// - Parameter matrix: `[rows, columns]` with columns a multiple of the type's length.
    /// - Throws: `badData` for NaN or infinity, naming the element, and for values too large for a scale in f16.
    /// - Precondition: the type is one of ``BlockType/encodable``, and `matrix` has two dimensions that fit it.
    /// - Complexity: O(rows · columns), some 20 to 60 evaluations of every element.
    public init(encoding matrix: Tensor, as type: BlockType) throws {
        precondition(BlockType.encodable.contains(type), "\(type) is not encoded")
        precondition(matrix.rank == 2, "a weight of shape \(matrix.shape)")
        let x = matrix.converted(to: .f32).contiguous()
        try IntegerQuantization.requireFinite(x)
        let (rows, columns) = (x.shape[0], x.shape[1])
        let blocks = Tensor(uninitialized: [rows, type.rowByteCount(columns: columns)], dataType: .u8)
        let failed = withExtendedLifetime((x.storage, blocks.storage)) {
            coppice_block_encode(
                type.kernel, x.basePointer.assumingMemoryBound(to: Float.self), rows, columns, blocks.basePointer)
        }
        guard failed < 0 else {
            throw CoppiceError(.badData, field: "row \(failed)", "has values too large for an f16 scale")
        }
        self.init(blocks: blocks, type: type, columns: columns)
    }

    public init(stored: StoredWeight) throws {
        (rows, columns) = try stored.matrixShape()
        let name = try stored.option("type", oneOf: BlockType.allCases.map(\.rawValue))
        guard let type = BlockType(rawValue: name) else { throw stored.failure("options.type", "is not known") }
        guard columns % type.length == 0 else {
            throw stored.failure(
                "shape", "expected columns in multiples of \(type.length) for \(name), found \(columns)")
        }
        self.type = type
        blocks = try stored.part("blocks", .u8, [rows, type.rowByteCount(columns: columns)])
    }

    public var byteCount: Int { blocks.byteCount }
    public var label: String { type.rawValue }

    private func withKernel<Result>(_ body: (UnsafePointer<coppice_block_weight>) -> Result) -> Result {
        withExtendedLifetime(blocks.storage) {
            let kernel = coppice_block_weight(
                type: type.kernel, rows: rows, columns: columns, blocks: UnsafeRawPointer(blocks.basePointer))
            return withUnsafePointer(to: kernel, body)
        }
    }

    func withRowKernel<Result>(for x: ActivationRows, _ body: (coppice_row_kernel) -> Result) -> Result {
        withKernel { body(coppice_block_kernel($0, x.rows)) }
    }

    public func copyRow(_ row: Int, into destination: UnsafeMutablePointer<Float>) {
        precondition(row >= 0 && row < rows, "row \(row) of \(rows)")
        withKernel { coppice_block_columns($0, row, 0, columns, destination) }
    }

    public func stored() -> StoredWeight {
        StoredWeight(
            format: Self.name, shape: [rows, columns], tensors: ["blocks": blocks], options: ["type": type.rawValue])
    }
}
