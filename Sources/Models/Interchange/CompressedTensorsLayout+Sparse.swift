import CoppiceFormats
import CoppiceTensors

extension CompressedTensorsLayout {
    /// Values with a mask of one bit a column, 2:4 where they are two-dimensional.
    func sparse(_ tensors: ModuleTensors) throws -> ImportedWeight {
        let (rows, columns) = (tensors.rows, tensors.columns)
        let isTwoOfFour = tensors.description("compressed")?.shape.count == 2
        if isTwoOfFour, !SemiStructuredWeight.supports(kept: 2, of: 4, columns: columns) {
            throw tensors.failure("compressed", "\(columns) columns cannot be 2:4 sparse, expected a multiple of 4")
        }
        let count = tensors.description("compressed")?.shape.first ?? 0
        let values = try tensors.tensor(
            "compressed", [.f16, .bf16, .f32, .i8], [isTwoOfFour ? [rows, columns / 2] : [count]])
        let bitmask = try tensors.tensor("bitmask", [.u8], [[rows, (columns + 7) / 8]])
        let shape = try tensors.tensor("shape", [.i64, .i32], [[2], [2, 1]]).integers()
        guard shape == [rows, columns] else {
            throw tensors.failure("shape", "is \(shape), expected \([rows, columns]) by config.json")
        }
        let offsets = isTwoOfFour ? nil : try tensors.tensor("row_offsets", [.i64, .i32], [[rows]])
        let integers = values.dataType == .i8 ? try integerOptions(tensors) : nil
        return ImportedWeight(
            tensorNames: (["compressed", "bitmask", "shape"] + (isTwoOfFour ? [] : ["row_offsets"])).map(tensors.name)
                + (integers?.parts.map(tensors.name) ?? []),
            file: tensors.file("compressed")
        ) {
            let masks = Self.masks(bitmask, columns: columns)
            try Self.check(masks, columns: columns, count: values.count, offsets: offsets, tensors)
            var stored = StoredWeight(
                name: tensors.weight, format: BitmaskSparseWeight.name, shape: [rows, columns],
                tensors: ["masks": masks], options: ["values": values.dataType.description])
            if isTwoOfFour {
                stored.format = SemiStructuredWeight.name
                stored.options["kept"] = "2"
                stored.options["group_length"] = "4"
            }
            stored.tensors["values"] = values.reshaped([-1])
            guard let integers else { return stored }
            stored.tensors["values"] = try Self.unsigned(values.reshaped([-1]), bits: 8) {
                tensors.failure("compressed", $0)
            }
            stored.tensors["scales"] = integers.scales
            stored.options.merge(integers.options) { $1 }
            return stored
        }
    }

    /// What makes sparse values codes of int-quantized weights. Only symmetric codes of 8 bits leave zeros zero.
    private func integerOptions(
        _ tensors: ModuleTensors
    ) throws -> (options: [String: String], scales: Tensor, parts: [String]) {
        let scheme = try scheme(of: tensors) { _ in true }
        guard scheme.bits == 8, scheme.isSymmetric else {
            throw tensors.failure("compressed", "expected symmetric codes of 8 bits, found a group of others")
        }
        let (groupSize, scales, parts) = try scales(tensors, scheme)
        let integer = IntegerParts(
            bits: 8, rows: tensors.rows, columns: tensors.columns, groupSize: groupSize,
            codes: Tensor([UInt8]()), scales: scales)
        guard let half = integer.halfScales() else {
            throw tensors.failure("weight_scale", "holds numbers beyond f16, expected 6.2e-5 to 65504 for sparse codes")
        }
        let hasZeros = tensors.contains("weight_zero_point")
        if hasZeros, let zeros = try? tensors.tensor("weight_zero_point", [.i8], shapesOfScales(tensors, scheme)),
            zeros.zeroCount != zeros.count
        {
            throw tensors.failure("weight_zero_point", "expected zeros for symmetric codes")
        }
        let options = [
            "values": "integer", "bits": "8", "group_size": groupSize.map(String.init) ?? "row", "symmetric": "true",
        ]
        return (options, half, parts + (hasZeros ? ["weight_zero_point"] : []))
    }

    /// Masks of whole 16 columns, from masks of whole bytes.
    private static func masks(_ bitmask: Tensor, columns: Int) -> Tensor {
        let (found, expected) = (bitmask.shape[1], (columns + 15) / 16 * 2)
        return found == expected ? bitmask : bitmask.padded([(0, 0), (0, expected - found)]).contiguous()
    }

    /// Refuses masks with other numbers of bits than there are values.
    private static func check(
        _ masks: Tensor, columns: Int, count: Int, offsets: Tensor?, _ tensors: ModuleTensors
    ) throws {
        let width = masks.shape[1]
        let counts = masks.withElements(UInt8.self) { bytes in
            (0..<masks.shape[0]).map { row in
                bytes[(row * width)..<((row + 1) * width)].reduce(0) { $0 + $1.nonzeroBitCount }
            }
        }
        let total = counts.reduce(0, +)
        guard total == count else {
            throw tensors.failure("bitmask", "has \(total) bits for \(count) values in \(tensors.name("compressed"))")
        }
        guard let offsets = offsets?.integers() else { return }
        var expected = 0
        for (row, offset) in offsets.enumerated() {
            guard offset == expected else {
                throw tensors.failure("row_offsets", "is \(offset) for row \(row), expected \(expected) by the bitmask")
            }
            expected += counts[row]
        }
    }
}
