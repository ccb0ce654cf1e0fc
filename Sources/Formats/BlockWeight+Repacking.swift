import CKernels
import CoppiceTensors

extension BlockWeight {
    /// The same matrix in blocks, where there is a block type for it: integers, dense or sparse, whose groups are whole
    /// blocks of 32. Each block has the scale of its group.
    ///
    /// Symmetric 4 bits become `q4_0` and symmetric 8 bits `q8_0`, both exactly. Asymmetric 4 bits become `q4_1` with
    /// the same codes, and with minima that are rounded to f16. Nil for everything else.
    ///
    /// - Throws: what decoding `stored` throws.
    public init?(repacking stored: StoredWeight) throws {
        guard let type = try Self.typeRepacking(stored) else { return nil }
        let (rows, columns) = try stored.matrixShape()
        let quantization = try IntegerQuantization(options: stored)
        let length = quantization.groupLength(columns: columns), groups = quantization.groupCount(columns: columns)
        let dense = try WeightFormats.decode(stored).dense()
        let scales = try stored.part("scales", .f16, [rows, groups]).converted(to: .f32).contiguous()
        var given = [Float](repeating: 0, count: rows * columns / 32)
        var minima = given
        let zeros = type == .q4_1 ? try stored.part("zeros", .u8, [rows, groups]) : nil
        let zeroPoints = zeros?.withElements(UInt8.self) { Array($0) }
        scales.withElements(Float.self) { scales in
            for index in given.indices {
                let (row, block) = index.quotientAndRemainder(dividingBy: columns / 32)
                let group = row * groups + (groups == 1 ? 0 : block * 32 / length)
                given[index] = scales[group]
                if let zeroPoints { minima[index] = -Float(zeroPoints[group]) * scales[group] }
            }
        }
        let blocks = Tensor(uninitialized: [rows, type.rowByteCount(columns: columns)], dataType: .u8)
        let halves = Tensor(given).converted(to: .f16), lows = Tensor(minima).converted(to: .f16)
        withExtendedLifetime((dense.storage, halves.storage, lows.storage, blocks.storage)) {
            coppice_block_encode_scaled(
                type.kernel, dense.basePointer.assumingMemoryBound(to: Float.self), halves.basePointer,
                lows.basePointer, rows, columns, blocks.basePointer)
        }
        self.init(blocks: blocks, type: type, columns: columns)
    }
    /// The type that ``init(repacking:)`` gives a weight; nil where it gives none. O(1).
    ///
    /// - Throws: `badData` for options that are not those of the format.
    public static func typeRepacking(_ stored: StoredWeight) throws -> BlockType? {
        let columns = try stored.matrixShape().columns
        guard [IntegerGroupWeight.name, SemiStructuredWeight.name, BitmaskSparseWeight.name].contains(stored.format),
            stored.options["values"] == "integer", columns % 32 == 0, columns > 0
        else { return nil }
        let quantization = try IntegerQuantization(options: stored)
        let length = quantization.groupLength(columns: columns), groups = quantization.groupCount(columns: columns)
        guard groups == 1 || length % 32 == 0 else { return nil }
        switch (quantization.bits, quantization.isSymmetric) {
        case (4, true): return .q4_0
        case (4, false): return .q4_1
        case (8, true): return .q8_0
        default: return nil
        }
    }
}
