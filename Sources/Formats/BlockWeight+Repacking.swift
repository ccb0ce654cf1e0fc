import CKernels
import CoppiceTensors

extension BlockWeight {
    /// The same matrix in blocks, where there is a block type for it: integers, dense or sparse, bit planes and codebooks
    /// whose groups are whole blocks of 32. Each block has the scale of its group.
    ///
    /// Symmetric codes of up to 4 bits (ternary ones, and bipolar ones of up to 3, too) become `q4_0`, of 5 bits `q5_0`,
    /// of more `q8_0`, and so do codebooks, all exactly. Asymmetric codes become `q4_1` (up to 4 bits) or `q5_1` (5) with
    /// the same codes, and with minima that are rounded to f16. Nil for everything else.
    ///
    /// - Throws: what decoding `stored` throws.
    public init?(repacking stored: StoredWeight) throws {
        guard let found = try Repacking(stored) else { return nil }
        let (rows, columns) = try stored.matrixShape()
        let dense = try WeightFormats.decode(stored).dense()
        let scales = try stored.part("scales", .f16, [rows, found.groups]).converted(to: .f32).contiguous()
        var given = [Float](repeating: 0, count: rows * columns / 32)
        var minima = given
        let zeros = found.hasZeros ? try stored.part("zeros", .u8, [rows, found.groups]) : nil
        let zeroPoints = zeros?.withElements(UInt8.self) { Array($0) }
        scales.withElements(Float.self) { scales in
            for index in given.indices {
                let (row, block) = index.quotientAndRemainder(dividingBy: columns / 32)
                let group = row * found.groups + (found.groups == 1 ? 0 : block * 32 / found.groupLength)
                given[index] = scales[group] * found.scaleFactor
                if let zeroPoints { minima[index] = -Float(zeroPoints[group]) * scales[group] }
            }
        }
        let type = found.type
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
    public static func typeRepacking(_ stored: StoredWeight) throws -> BlockType? { try Repacking(stored)?.type }
}

/// Which blocks say the same as a stored weight, and how its scales become theirs.
private struct Repacking {
    let type: BlockType
    let groupLength: Int
    let groups: Int
    var hasZeros = false
    /// What the block's unit is in units of the weight's scale.
    var scaleFactor: Float = 1

    /// Nil where no blocks do.
    init?(_ stored: StoredWeight) throws {
        let columns = try stored.matrixShape().columns
        guard columns % 32 == 0, columns > 0 else { return nil }
        switch stored.format {
        case BitPlaneWeight.name:
            let planes = try BitPlaneQuantization(options: stored)
            switch (planes.codes, planes.bits) {
            case (.ternary, _), (.symmetric, 2...4): type = .q4_0
            case (.bipolar, 1...3): (type, scaleFactor) = (.q4_0, 0.5)
            case (.bipolar, 4...7): (type, scaleFactor) = (.q8_0, 0.5)
            case (.symmetric, 5): type = .q5_0
            case (.symmetric, _): type = .q8_0
            case (.asymmetric, 2...4): (type, hasZeros) = (.q4_1, true)
            case (.asymmetric, 5): (type, hasZeros) = (.q5_1, true)
            default: return nil
            }
            groupLength = PlaneCodes.groupLength(planes.groupSize, columns: columns)
            groups = PlaneCodes.groupCount(planes.groupSize, columns: columns)
        case CodebookWeight.name:
            let size = try PlaneCodes.groupSize(stored: stored)
            type = .q8_0
            groupLength = PlaneCodes.groupLength(size, columns: columns)
            groups = PlaneCodes.groupCount(size, columns: columns)
        case IntegerGroupWeight.name, SemiStructuredWeight.name, BitmaskSparseWeight.name:
            guard stored.options["values"] == "integer" else { return nil }
            let quantization = try IntegerQuantization(options: stored)
            groupLength = quantization.groupLength(columns: columns)
            groups = quantization.groupCount(columns: columns)
            guard groups == 1 || groupLength % 32 == 0 else { return nil }
            switch (quantization.bits, quantization.isSymmetric) {
            case (4, true): type = .q4_0
            case (4, false): (type, hasZeros) = (.q4_1, true)
            case (8, true): type = .q8_0
            default: return nil
            }
        default: return nil
        }
    }
}
