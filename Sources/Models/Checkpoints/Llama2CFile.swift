import CoppiceTensors

/// A model file of llama2.c, version 0: seven 32-bit integers and then all weights in f32.
///
/// The rotation turns neighbouring elements there; queries and keys are read in the order of half heads instead, so
/// that the model is a Llama like any other.
struct Llama2CFile {
    let configuration: DecoderConfiguration
    let entries: [String: Checkpoint.Entry]

    private static let headerBytes = 28

    /// - Throws: `.noInput`; `.badData` when the file is of another kind or its size does not fit its header.
    init(path: String) throws {
        let file = try MappedFile(path: path)
        let configuration = try Self.configuration(file)
        self.configuration = configuration
        let sections = Self.sections(configuration)
        let expected = sections.reduce(Self.headerBytes) { $0 + $1.count * 4 }
        guard file.byteCount == expected else {
            throw CoppiceError(
                .badData, source: path,
                "has \(file.byteCount) bytes, expected \(expected) for a llama2.c model with this header")
        }
        var entries: [String: Checkpoint.Entry] = [:]
        var position = Self.headerBytes
        for section in sections {
            let perLayer = section.shape.reduce(4, *)
            for layer in 0..<section.layers {
                defer { position += perLayer }
                guard let name = section.name(layer) else { continue }
                let storage = TensorStorage(borrowing: file.pointer + position, byteCount: perLayer, owner: file)
                let tensor = Tensor(dataType: .f32, shape: section.shape, storage: storage)
                entries[name] =
                    section.isRotated
                    ? .interleaved(tensor, headSize: configuration.headSize, file: path) : .dense(tensor, file: path)
            }
        }
        self.entries = entries
    }

    private static func configuration(_ file: MappedFile) throws -> DecoderConfiguration {
        func failure(_ field: String?, _ message: String) -> CoppiceError {
            CoppiceError(.badData, source: file.path, field: field, message)
        }
        guard file.byteCount >= headerBytes else {
            throw failure(nil, "has \(file.byteCount) bytes, expected a llama2.c model")
        }
        let header = file.withBytes { Array($0.prefix(headerBytes)) }
        let fields = header.withUnsafeBytes { bytes in
            (0..<7).map { Int(Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: $0 * 4, as: Int32.self))) }
        }
        if header.starts(with: [0x50, 0x4b]) || header.starts(with: [0x80, 0x02]) {
            throw failure(nil, "is a PyTorch file, expected safetensors or a llama2.c model")
        }
        let magicOfLaterVersions = 0x616b_3432
        guard fields[0] != magicOfLaterVersions else {
            throw failure("version", "expected a llama2.c model of version 0, found \(fields[1])")
        }
        let names = ["dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len"]
        let limits = [1 << 20, 1 << 22, 10_000, 1 << 16, 1 << 16, 1 << 24, 1 << 24]
        for (index, name) in names.enumerated() {
            let value = name == "vocab_size" ? abs(fields[index]) : fields[index]
            guard (1...limits[index]).contains(value) else {
                throw failure(name, "expected 1 to \(limits[index]), found \(fields[index]): not a llama2.c model?")
            }
        }
        guard fields[0] % fields[3] == 0, fields[0] / fields[3] % 2 == 0 else {
            throw failure(
                "n_heads", "expected a divisor of dim, \(fields[0]), that leaves heads of even size, found \(fields[3])"
            )
        }
        guard fields[3] % fields[4] == 0 else {
            throw failure("n_kv_heads", "expected a divisor of n_heads, \(fields[3]), found \(fields[4])")
        }
        return DecoderConfiguration(
            vocabularySize: abs(fields[5]), hiddenSize: fields[0], intermediateSize: fields[1], layerCount: fields[2],
            headCount: fields[3], keyValueHeadCount: fields[4], maximumPositions: fields[6], normEpsilon: 1e-5,
            tiesEmbeddings: fields[5] > 0, beginToken: 1, endTokens: [2], dataType: .f32)
    }

    /// One kind of weight, for all layers one after the other.
    private struct Section {
        /// Hugging Face name within a layer, or of the whole; nil for what the configuration says already.
        var suffix: String?
        var shape: [Int]
        var layers: Int
        var isInLayer = true
        var isRotated = false

        var count: Int { shape.reduce(layers, *) }
        func name(_ layer: Int) -> String? { suffix.map { isInLayer ? "model.layers.\(layer).\($0)" : $0 } }
    }

    private static func sections(_ model: DecoderConfiguration) -> [Section] {
        let (width, layers, keys) = (model.hiddenSize, model.layerCount, model.keyValueHeadCount * model.headSize)
        let inner = model.intermediateSize
        func whole(_ name: String?, _ shape: [Int]) -> Section {
            Section(suffix: name, shape: shape, layers: 1, isInLayer: false)
        }
        let tables = whole(nil, [model.maximumPositions, model.headSize])
        var sections = [
            whole("model.embed_tokens.weight", [model.vocabularySize, width]),
            Section(suffix: "input_layernorm.weight", shape: [width], layers: layers),
            Section(suffix: "self_attn.q_proj.weight", shape: [width, width], layers: layers, isRotated: true),
            Section(suffix: "self_attn.k_proj.weight", shape: [keys, width], layers: layers, isRotated: true),
            Section(suffix: "self_attn.v_proj.weight", shape: [keys, width], layers: layers),
            Section(suffix: "self_attn.o_proj.weight", shape: [width, width], layers: layers),
            Section(suffix: "post_attention_layernorm.weight", shape: [width], layers: layers),
            Section(suffix: "mlp.gate_proj.weight", shape: [inner, width], layers: layers),
            Section(suffix: "mlp.down_proj.weight", shape: [width, inner], layers: layers),
            Section(suffix: "mlp.up_proj.weight", shape: [inner, width], layers: layers),
            whole("model.norm.weight", [width]), tables,
        ]
        if !model.tiesEmbeddings { sections.append(whole("lm_head.weight", [model.vocabularySize, width])) }
        return sections
    }
}
