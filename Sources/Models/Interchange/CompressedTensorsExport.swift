import CoppiceFormats
import CoppiceTensors

/// How a matrix is written for compressed-tensors.
enum CompressedTensorsExport: Sendable, Hashable {
    /// As it is, or expanded.
    case dense
    /// Codes in 32-bit words: pack-quantized. Sparse codes too, with the code of zero where nothing is kept: the
    /// layout has no sparse ones.
    case packed(CompressedTensorsConfiguration.Scheme)
    /// Codes of 8 bits in signed bytes, for products with activations of 8 bits: int-quantized.
    case bytes
    /// Floats with a mask: sparse-24-bitmask or sparse-bitmask.
    case sparse(isTwoOfFour: Bool)

    /// - Parameter quantizesActivations: whether readers are to round activations to 8 bits, which takes integers of 8
    ///   bits without zero points and one scale for each row.
    /// - Throws: `badData` that names the weight and its format, when compressed-tensors has no layout for it.
    init(_ stored: StoredWeight, quantizesActivations: Bool = false) throws {
        try self.init(stored)
        guard quantizesActivations, case .packed(let scheme) = self else { return }
        guard scheme == .init(bits: 8, strategy: .channel, isSymmetric: true) else {
            throw CoppiceError(
                .badData, field: stored.name,
                "has \(scheme.description), but products with activations of 8 bits take 8 bits with a scale for each row, "
                    + "symmetric; compress it with { bits: 8 }")
        }
        self = .bytes
    }

    private init(_ stored: StoredWeight) throws {
        switch stored.format {
        case DenseWeight.name: self = .dense
        case IntegerGroupWeight.name: self = .packed(try Self.scheme(stored))
        case SemiStructuredWeight.name, BitmaskSparseWeight.name:
            if stored.options["values"] == "integer" {
                self = .packed(try Self.scheme(stored))
            } else {
                self = .sparse(isTwoOfFour: stored.options["kept"] == "2" && stored.options["group_length"] == "4")
            }
        default:
            throw CoppiceError(
                .badData, field: stored.name,
                "compressed-tensors has no layout for the format \(stored.format), expected \(Self.known); "
                    + "convert it to safetensors first, which expands it")
        }
    }

    private static func scheme(_ stored: StoredWeight) throws -> CompressedTensorsConfiguration.Scheme {
        let columns = stored.shape[1]
        var strategy = CompressedTensorsConfiguration.Scheme.Strategy.channel
        if let size = stored.options["group_size"].flatMap(Int.init), size < columns {
            guard columns % size == 0 else {
                let sizes = [128, 64, 32, 16].filter { columns % $0 == 0 }.map { "groups of \($0)" }
                throw CoppiceError(
                    .badData, field: stored.name,
                    "groups of \(size) do not divide its \(columns) columns, as compressed-tensors demands; "
                        + "compress it with \((sizes + ["a scale for each row"]).joined(separator: " or "))")
            }
            strategy = .group(size)
        }
        return CompressedTensorsConfiguration.Scheme(
            bits: stored.options["bits"] == "4" ? 4 : 8, strategy: strategy,
            isSymmetric: stored.options["symmetric"] != "false")
    }

    private static var known: String {
        [DenseWeight.name, IntegerGroupWeight.name, SemiStructuredWeight.name, BitmaskSparseWeight.name]
            .joined(separator: ", ")
    }
}

extension CompressedTensorsExport {
    /// The tensors of a pack-quantized layer, by what follows its name.
    ///
    /// - Parameter scaleType: f16, as Coppice keeps scales, or f32.
    static func packedParts(
        _ stored: StoredWeight, _ scheme: CompressedTensorsConfiguration.Scheme, scaleType: DataType
    ) -> [(part: String, tensor: Tensor)] {
        let (rows, columns, bits) = (stored.shape[0], stored.shape[1], scheme.bits)
        var parts: [(String, Tensor)] = []
        guard let values = stored.tensors["values"], let scales = stored.tensors["scales"] else { return parts }
        let zeros = stored.tensors["zeros"]
        let codes = stored.tensors["masks"].map { masks in
            PackedWords.packedRows(
                spreadCodes(values, masks, zeros, scheme, columns: columns), bits: bits)
        }
        parts.append(
            ("weight_packed", PackedWords.rowsAsWords(codes ?? values, rows: rows, count: columns, bits: bits)))
        parts.append(("weight_scale", scales.converted(to: scaleType)))
        if let zeros { parts.append(("weight_zero_point", PackedWords.packedColumns(zeros, bits: bits))) }
        parts.append(("weight_shape", Tensor([rows, columns])))
        return parts
    }

    /// The tensors of an int-quantized layer, by what follows its name.
    ///
    /// - Parameter scaleType: f16, as Coppice keeps scales, or f32.
    static func byteParts(_ stored: StoredWeight, scaleType: DataType) -> [(part: String, tensor: Tensor)] {
        let (rows, columns) = (stored.shape[0], stored.shape[1])
        guard let values = stored.tensors["values"], let scales = stored.tensors["scales"] else { return [] }
        let scheme = CompressedTensorsConfiguration.Scheme(bits: 8, strategy: .channel, isSymmetric: true)
        let codes = stored.tensors["masks"].map { spreadCodes(values, $0, nil, scheme, columns: columns) } ?? values
        var signed = Tensor(uninitialized: [rows, columns], dataType: .i8)
        codes.withElements(UInt8.self) { codes in
            signed.withMutableElements(Int8.self) { signed in
                for index in signed.indices { signed[index] = Int8(truncatingIfNeeded: Int(codes[index]) - 128) }
            }
        }
        return [("weight", signed), ("weight_scale", scales.converted(to: scaleType))]
    }

    /// Sparse codes at their columns, u8 `[rows, columns]`, with what stands for zero elsewhere.
    private static func spreadCodes(
        _ values: Tensor, _ masks: Tensor, _ zeros: Tensor?, _ scheme: CompressedTensorsConfiguration.Scheme,
        columns: Int
    ) -> Tensor {
        let rows = masks.shape[0], width = masks.shape[1]
        var length = max(1, columns)
        if case .group(let size) = scheme.strategy { length = size }
        let groups = zeros?.shape[1] ?? 1
        var result = Tensor(uninitialized: [rows, columns], dataType: .u8)
        let zeroPoints = zeros.map { $0.withElements(UInt8.self) { Array($0) } }
        values.withElements(UInt8.self) { values in
            masks.withElements(UInt8.self) { masks in
                result.withMutableElements(UInt8.self) { target in
                    var next = 0
                    for row in 0..<rows {
                        for column in 0..<columns {
                            var code = zeroPoints?[row * groups + column / length] ?? UInt8(1 << (scheme.bits - 1))
                            if masks[row * width + column / 8] >> UInt8(column % 8) & 1 == 1 {
                                code =
                                    scheme.bits == 8
                                    ? values[next] : values[next / 2] >> UInt8(next % 2 * 4) & 15
                                next += 1
                            }
                            target[row * columns + column] = code
                        }
                        // Rows of 4-bit codes begin on whole bytes.
                        if scheme.bits == 4 { next += next % 2 }
                    }
                }
            }
        }
        return result
    }

    /// The tensors of a sparse layer, by what follows its name.
    ///
    /// - Parameter isTwoOfFour: whether the whole model is written as sparse-24-bitmask.
    static func sparseParts(
        _ stored: StoredWeight, isTwoOfFour: Bool, dataType: DataType?
    ) throws -> [(part: String, tensor: Tensor)] {
        let (rows, columns) = (stored.shape[0], stored.shape[1])
        guard let values = stored.tensors["values"], let masks = stored.tensors["masks"] else { return [] }
        let converted = try values.narrowed(to: dataType ?? values.dataType, field: stored.name)
        let width = masks.shape[1], bytes = (columns + 7) / 8
        let bitmask = masks.slice(axis: 1, 0..<bytes).contiguous()
        if isTwoOfFour {
            return [
                ("compressed", converted.reshaped([rows, columns / 2])), ("bitmask", bitmask),
                ("shape", Tensor([rows, columns], shape: [2, 1])),
            ]
        }
        var offsets: [Int] = []
        var position = 0
        masks.withElements(UInt8.self) { masks in
            for row in 0..<rows {
                offsets.append(position)
                position += masks[(row * width)..<((row + 1) * width)].reduce(0) { $0 + $1.nonzeroBitCount }
            }
        }
        return [
            ("compressed", converted), ("bitmask", bitmask), ("row_offsets", Tensor(offsets)),
            ("shape", Tensor([rows, columns])),
        ]
    }
}
