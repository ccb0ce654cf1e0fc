import CoppiceFormats
import CoppiceTensors

/// What GPTQ tools (AutoGPTQ, GPTQModel) write: for a layer of `in` inputs and `out` outputs
///
/// | tensor | shape | |
/// |---|---|---|
/// | `qweight` | i32 `[in · bits / 32, out]` | codes, packed along the inputs |
/// | `qzeros` | i32 `[groups, out · bits / 32]` | zero points, packed along the outputs |
/// | `scales` | f16 `[groups, out]` | |
/// | `g_idx` | i32 `[in]` | the group of each input |
///
/// w[o, i] = (code[i, o] − zero[g, o]) · scale[g, o], g = g_idx[i]. The first version of the format stores zero points
/// less one; a whole word had ones subtracted, so whole words get them back.
struct GPTQLayout: ExchangeLayout {
    static let method = "gptq"

    /// 4 or 8; with per-layer exceptions, that of a layer is seen from its shapes.
    private let bits: Int
    /// Nil: all inputs are one group.
    private let groupSize: Int?
    private let storesZerosLessOne: Bool
    /// Whether some layers differ from the others.
    private let hasExceptions: Bool

    init(_ fields: ConfigurationFields) throws {
        bits = try fields.codeBits("bits")
        groupSize = try fields.groupSize("group_size")
        let key = fields.value("checkpoint_format") == nil ? "format" : "checkpoint_format"
        switch try fields.optionalString(key) ?? "gptq" {
        case "gptq": storesZerosLessOne = true
        case "gptq_v2": storesZerosLessOne = false
        default: throw fields.mismatch(key, "gptq or gptq_v2")
        }
        if let word = try fields.optionalString("pack_dtype"), word != "int32" {
            throw fields.mismatch("pack_dtype", "int32")
        }
        hasExceptions = try fields.object("dynamic")?.json.objectValue?.isEmpty == false
    }

    func weight(_ tensors: ModuleTensors) throws -> ImportedWeight? {
        guard let (_, packedShape) = tensors.description("qweight") else { return nil }
        let (rows, columns) = (tensors.rows, tensors.columns)
        let candidates = hasExceptions ? [bits, bits == 4 ? 8 : 4] : [bits]
        let bits = candidates.first { [columns * $0 / 32, rows] == packedShape } ?? bits
        guard columns % PackedWords.perWord(bits) == 0, rows % PackedWords.perWord(bits) == 0 else {
            throw tensors.failure(
                "qweight", "\(rows) outputs of \(columns) inputs do not fill words of \(32 / bits) codes")
        }
        let qweight = try tensors.tensor("qweight", [.i32], [[columns * bits / 32, rows]])
        let (groups, size) = try grouping(tensors)
        let scales = try tensors.tensor("scales", [.f16, .bf16, .f32], [[groups, rows]])
        let qzeros = try tensors.tensor("qzeros", [.i32], [[groups, rows * bits / 32]])
        let hasOrder = tensors.contains("g_idx")
        let groupOfColumn = hasOrder ? try tensors.tensor("g_idx", [.i32, .i64], [[columns]]) : nil
        let offset = storesZerosLessOne ? bits == 4 ? 0x1111_1111 : 0x0101_0101 : UInt32(0)
        return ImportedWeight(
            tensorNames: ["qweight", "qzeros", "scales"].map(tensors.name) + (hasOrder ? [tensors.name("g_idx")] : []),
            file: tensors.file("qweight")
        ) {
            let zeros = qzeros.withElements(Int32.self) {
                $0.map { Int32(bitPattern: UInt32(bitPattern: $0) &+ offset) }
            }
            var parts = IntegerParts(
                bits: bits, rows: rows, columns: columns, groupSize: size,
                codes: PackedWords.rowsAsBytes(qweight.transposed(), count: columns, bits: bits),
                scales: scales.transposed().contiguous(),
                zeros: PackedWords.unpackedColumns(
                    Tensor(zeros, shape: qzeros.shape).transposed(), count: rows, bits: bits))
            if let groupOfColumn {
                try parts.sortColumns(by: groupOfColumn.integers(), failure: { tensors.failure("g_idx", $0) })
            }
            return parts.stored(tensors.weight)
        }
    }

    /// Groups of a row, and their size unless it is the row's.
    private func grouping(_ tensors: ModuleTensors) throws -> (count: Int, size: Int?) {
        let columns = tensors.columns
        func size(_ size: Int?) -> Int? { size.flatMap { $0 < columns ? $0 : nil } }
        let expected = IntegerParts.groupCount(columns, groupSize: groupSize)
        guard hasExceptions, let found = tensors.description("scales")?.shape.first, found > 0, found != expected else {
            return (expected, size(groupSize))
        }
        guard columns % found == 0, found == 1 || columns / found % 16 == 0 else {
            throw tensors.failure("scales", "\(found) groups of \(columns) inputs are not multiples of 16 inputs")
        }
        return (found, size(columns / found))
    }

    /// Early tools gave every layer a bias, of zeros.
    func isRedundant(_ name: String, in files: SafetensorsSet) throws -> Bool {
        guard name.hasSuffix(".bias"), let tensor = try files.file(of: name)?.tensor(name) else { return false }
        return tensor.zeroCount == tensor.count
    }
}
