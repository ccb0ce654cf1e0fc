import CoppiceFormats
import CoppiceTensors

/// What AutoAWQ writes in its GEMM version: for a layer of `in` inputs and `out` outputs
///
/// | tensor | shape | |
/// |---|---|---|
/// | `qweight` | i32 `[in, out / 8]` | codes of 8 outputs, in the order 0, 2, 4, 6, 1, 3, 5, 7 |
/// | `qzeros` | i32 `[groups, out / 8]` | zero points in the same order |
/// | `scales` | f16 `[groups, out]` | |
///
/// w[o, i] = (code[i, o] − zero[g, o]) · scale[g, o], g = i / group size.
struct AWQLayout: ExchangeLayout {
    static let method = "awq"

    private static let bits = 4
    /// Which of a word's codes each of its 8 outputs is.
    private static let places = [0, 4, 1, 5, 2, 6, 3, 7]
    private let groupSize: Int?

    init(_ fields: ConfigurationFields) throws {
        // AutoAWQ's own names, and those of the original implementation.
        let bitsKey = fields.value("bits") == nil && fields.value("w_bit") != nil ? "w_bit" : "bits"
        if fields.value(bitsKey) != nil, try fields.integer(bitsKey) != Self.bits {
            throw fields.mismatch(bitsKey, "4")
        }
        groupSize = try fields.groupSize(
            fields.value("group_size") == nil && fields.value("q_group_size") != nil ? "q_group_size" : "group_size")
        let versionKey = fields.value("version") == nil ? "format" : "version"
        if let version = try fields.optionalString(versionKey), version.lowercased() != "gemm" {
            throw fields.mismatch(versionKey, "gemm")
        }
    }

    func weight(_ tensors: ModuleTensors) throws -> ImportedWeight? {
        guard tensors.contains("qweight") else { return nil }
        let (rows, columns) = (tensors.rows, tensors.columns)
        guard rows % 8 == 0 else { throw tensors.failure("qweight", "\(rows) outputs do not fill words of 8 codes") }
        let groups = IntegerParts.groupCount(columns, groupSize: groupSize)
        let qweight = try tensors.tensor("qweight", [.i32], [[columns, rows / 8]])
        let scales = try tensors.tensor("scales", [.f16, .bf16, .f32], [[groups, rows]])
        // Without zero points codes are symmetric.
        let hasZeros = tensors.contains("qzeros")
        let qzeros = hasZeros ? try tensors.tensor("qzeros", [.i32], [[groups, rows / 8]]) : nil
        let size = groupSize.flatMap { $0 < columns ? $0 : nil }
        return ImportedWeight(
            tensorNames: (["qweight", "scales"] + (hasZeros ? ["qzeros"] : [])).map(tensors.name),
            file: tensors.file("qweight")
        ) {
            IntegerParts(
                bits: Self.bits, rows: rows, columns: columns, groupSize: size,
                codes: Self.codes(qweight), scales: scales.transposed().contiguous(),
                zeros: qzeros.map {
                    PackedWords.unpackedColumns($0.transposed(), count: rows, bits: Self.bits, places: Self.places)
                }
            ).stored(tensors.weight)
        }
    }

    /// Rows of codes, two in a byte, from words `[in, out / 8]`.
    private static func codes(_ qweight: Tensor) -> Tensor {
        let (columns, blocks) = (qweight.shape[0], qweight.shape[1])
        let width = PackedWords.rowBytes(columns, bits: bits)
        var result = Tensor(uninitialized: [blocks * 8 * width], dataType: .u8)
        // Transposed, the words of 8 rows follow each other, and are read once for each of the rows.
        qweight.transposed().contiguous().withElements(Int32.self) { words in
            result.withMutableElements(UInt8.self) { target in
                for row in 0..<blocks * 8 {
                    let shift = UInt32(places[row % 8] * bits)
                    let start = row / 8 * columns
                    func code(_ column: Int) -> UInt8 {
                        UInt8(truncatingIfNeeded: UInt32(bitPattern: words[start + column]) >> shift & 15)
                    }
                    for byte in 0..<columns / 2 {
                        target[row * width + byte] = code(2 * byte) | code(2 * byte + 1) << 4
                    }
                    if columns % 2 == 1 { target[(row + 1) * width - 1] = code(columns - 1) }
                }
            }
        }
        return result
    }

    func isRedundant(_ name: String, in files: SafetensorsSet) -> Bool { false }
}
