import CoppiceFormats
import CoppiceTensors

/// What the library compressed-tensors writes (llm-compressor, vLLM): for a layer of `out` rows and `in` columns
///
/// | layout | tensors |
/// |---|---|
/// | pack-quantized | `weight_packed` i32 `[out, ⌈in · bits / 32⌉]`, `weight_scale`, `weight_zero_point` i32 packed along the rows, `weight_shape`, `weight_g_idx` |
/// | int-quantized, naive-quantized | `weight` i8 `[out, in]`, `weight_scale`, `weight_zero_point` i8 |
/// | sparse-24-bitmask | `compressed` `[out, in / 2]`, `bitmask` u8 `[out, ⌈in / 8⌉]`, `shape` |
/// | sparse-bitmask | `compressed` `[values]`, `bitmask`, `row_offsets` i64 `[out]`, `shape` |
/// | dense | `weight` |
///
/// w = (code − zero) · scale with signed codes. Sparse values may be floats, or codes of int-quantized weights. How
/// activations were to be quantized is passed over: products take them as for any weight in the format.
struct CompressedTensorsLayout: ExchangeLayout {
    static let method = "compressed-tensors"

    let configuration: CompressedTensorsConfiguration

    init(_ fields: ConfigurationFields) throws { configuration = try CompressedTensorsConfiguration(fields) }

    func weight(_ tensors: ModuleTensors) throws -> ImportedWeight? {
        if tensors.contains("weight_packed") { return try packed(tensors) }
        if tensors.contains("compressed") { return try sparse(tensors) }
        guard let (type, _) = tensors.description("weight") else { return nil }
        if type == .i8 { return try bytes(tensors) }
        if tensors.contains("weight_scale") {
            throw tensors.failure("weight", "expected i8 codes beside weight_scale, found \(type)")
        }
        return nil
    }

    /// Scales of activations and of the cache.
    func isRedundant(_ name: String, in files: SafetensorsSet) -> Bool {
        let part = name.split(separator: ".").last ?? ""
        let owners = ["input", "output", "k", "v", "q"]
        return owners.contains { part == "\($0)_scale" || part == "\($0)_zero_point" || part == "\($0)_global_scale" }
    }

    // MARK: - Integers

    private func packed(_ tensors: ModuleTensors) throws -> ImportedWeight {
        let (rows, columns) = (tensors.rows, tensors.columns)
        let scheme = try scheme(of: tensors) {
            tensors.description("weight_packed")?.shape == [rows, PackedWords.count(columns, bits: $0.bits)]
        }
        let words = try tensors.tensor(
            "weight_packed", [.i32], [[rows, PackedWords.count(columns, bits: scheme.bits)]])
        let (groupSize, scales, scaleParts) = try scales(tensors, scheme)
        let (zeros, zeroParts) = try zeros(tensors, scheme, groups: scales.shape[1])
        let hasShape = tensors.contains("weight_shape")
        if hasShape {
            let shape = try tensors.tensor("weight_shape", [.i64, .i32], [[2]]).integers()
            guard shape == [rows, columns] else {
                throw tensors.failure("weight_shape", "is \(shape), expected \([rows, columns]) by config.json")
            }
        }
        let hasOrder = tensors.contains("weight_g_idx")
        let groupOfColumn = hasOrder ? try tensors.tensor("weight_g_idx", [.i32, .i64], [[columns]]) : nil
        let others = (hasShape ? ["weight_shape"] : []) + (hasOrder ? ["weight_g_idx"] : [])
        return ImportedWeight(
            tensorNames: (["weight_packed"] + scaleParts + zeroParts + others).map(tensors.name),
            file: tensors.file("weight_packed")
        ) {
            var parts = IntegerParts(
                bits: scheme.bits, rows: rows, columns: columns, groupSize: groupSize,
                codes: PackedWords.rowsAsBytes(words, count: columns, bits: scheme.bits), scales: scales,
                zeros: try zeros())
            if let groupOfColumn {
                try parts.sortColumns(by: groupOfColumn.integers(), failure: { tensors.failure("weight_g_idx", $0) })
            }
            return parts.stored(tensors.weight)
        }
    }

    /// Codes of one byte each.
    private func bytes(_ tensors: ModuleTensors) throws -> ImportedWeight {
        let (rows, columns) = (tensors.rows, tensors.columns)
        let scheme = try scheme(of: tensors) { _ in true }
        let codes = try tensors.tensor("weight", [.i8], [[rows, columns]])
        let (groupSize, scales, scaleParts) = try scales(tensors, scheme)
        let (zeros, zeroParts) = try zeros(tensors, scheme, groups: scales.shape[1])
        return ImportedWeight(
            tensorNames: (["weight"] + scaleParts + zeroParts).map(tensors.name), file: tensors.file("weight")
        ) {
            let unsigned = try Self.unsigned(codes, bits: scheme.bits) { tensors.failure("weight", $0) }
            return IntegerParts(
                bits: scheme.bits, rows: rows, columns: columns, groupSize: groupSize,
                codes: PackedWords.packedRows(unsigned, bits: scheme.bits), scales: scales, zeros: try zeros()
            ).stored(tensors.weight)
        }
    }

    /// The first scheme that a layer's tensors fit. The lists of targets need not be matched for it.
    func scheme(
        of tensors: ModuleTensors, where fits: (CompressedTensorsConfiguration.Scheme) -> Bool
    ) throws -> CompressedTensorsConfiguration.Scheme {
        let scales = tensors.description("weight_scale")?.shape ?? []
        let isSymmetric = !tensors.contains("weight_zero_point")
        let fitting = configuration.schemes.filter(fits)
        let close = fitting.filter { shapesOfScales(tensors, $0).contains(scales) }
        guard
            let scheme = close.first(where: { $0.isSymmetric == isSymmetric }) ?? close.first ?? fitting.first
                ?? configuration.schemes.first
        else {
            throw tensors.failure(
                "weight_scale", "quantization_config.config_groups describes no quantized weights, expected a group")
        }
        return scheme
    }

    func shapesOfScales(
        _ tensors: ModuleTensors, _ scheme: CompressedTensorsConfiguration.Scheme
    ) -> [[Int]] {
        switch scheme.strategy {
        case .tensor: return [[1], [], [1, 1]]
        case .channel: return [[tensors.rows, 1], [tensors.rows]]
        case .group(let size):
            let groups = IntegerParts.groupCount(tensors.columns, groupSize: size)
            return [[tensors.rows, groups]] + (groups == 1 ? [[tensors.rows]] : [])
        }
    }

    /// Scales `[rows, groups]` in their own type.
    func scales(
        _ tensors: ModuleTensors, _ scheme: CompressedTensorsConfiguration.Scheme
    ) throws -> (groupSize: Int?, scales: Tensor, parts: [String]) {
        let found = try tensors.tensor("weight_scale", [.f16, .bf16, .f32], shapesOfScales(tensors, scheme))
        var groupSize: Int?
        if case .group(let size) = scheme.strategy, size < tensors.columns { groupSize = size }
        return (groupSize, Self.spread(found, rows: tensors.rows), ["weight_scale"])
    }

    /// One value for the matrix or one a row, as `[rows, groups]`.
    private static func spread(_ values: Tensor, rows: Int) -> Tensor {
        if values.count == 1, rows != 1 { return values.reshaped([1, 1]).broadcast(to: [rows, 1]).contiguous() }
        return values.rank == 2 ? values : values.reshaped([rows, 1])
    }

    /// Makes unsigned zero points u8 `[rows, groups]`. Some files keep zeros for symmetric codes.
    private func zeros(
        _ tensors: ModuleTensors, _ scheme: CompressedTensorsConfiguration.Scheme, groups: Int
    ) throws -> (make: @Sendable () throws -> Tensor?, parts: [String]) {
        guard let (type, _) = tensors.description("weight_zero_point") else {
            guard scheme.isSymmetric else {
                throw tensors.failure("weight_zero_point", "is missing, expected it beside asymmetric codes")
            }
            return ({ nil }, [])
        }
        let bits = scheme.bits, rows = tensors.rows
        if type == .i32 {
            let words = try tensors.tensor(
                "weight_zero_point", [.i32], [[PackedWords.count(rows, bits: bits), groups]])
            return (
                { PackedWords.unpackedColumns(words, count: rows, bits: bits) }, ["weight_zero_point"]
            )
        }
        let zeros = try tensors.tensor("weight_zero_point", [.i8], shapesOfScales(tensors, scheme))
        return (
            {
                let unsigned = try Self.unsigned(zeros, bits: bits) { tensors.failure("weight_zero_point", $0) }
                return Self.spread(unsigned, rows: rows)
            }, ["weight_zero_point"]
        )
    }

    /// Codes i8 with 2^(bits−1) added, u8 of the same shape.
    static func unsigned(_ codes: Tensor, bits: Int, failure: (String) -> CoppiceError) throws -> Tensor {
        let offset = 1 << (bits - 1)
        var result = Tensor(uninitialized: codes.shape, dataType: .u8)
        let outside = codes.withElements(Int8.self) { source in
            result.withMutableElements(UInt8.self) { target in
                var outside: UInt8 = 0
                for index in source.indices {
                    let code = UInt8(truncatingIfNeeded: Int(source[index]) + offset)
                    target[index] = code
                    outside |= bits == 8 ? 0 : code >> UInt8(bits)
                }
                return outside
            }
        }
        guard outside == 0 else {
            throw failure("holds values outside \(-offset) to \(offset - 1), expected codes of \(bits) bits")
        }
        return result
    }
}
