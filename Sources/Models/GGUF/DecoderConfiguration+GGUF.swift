import CoppiceTensors

extension DecoderConfiguration.Family {
    /// Architectures of GGUF files that are read. Mistral models are written as `llama`.
    static let architectures: [String: DecoderConfiguration.Family] = [
        "llama": .llama, "qwen2": .qwen2, "qwen3": .qwen3,
    ]

    /// What `general.architecture` says for models of this family.
    var ggufArchitecture: String {
        switch self {
        case .llama, .mistral: "llama"
        case .qwen2: "qwen2"
        case .qwen3: "qwen3"
        }
    }
}

extension DecoderConfiguration {
    /// Reads the metadata of a GGUF file. Biases, norms of heads and tied embeddings follow from which tensors there
    /// are.
    ///
    /// - Throws: `badData` that names the key that is missing, of the wrong type, out of range, at odds with another,
    ///   or asks for something that is not supported.
    init(gguf file: GGUFFile) throws {
        let general = GGUFFields(file: file)
        let known = Family.architectures.keys.sorted().joined(separator: ", ")
        guard let name = try general.string("general.architecture"), let found = Family.architectures[name] else {
            throw general.mismatch("general.architecture", "one of \(known)")
        }
        if let count = general.value("split.count")?.intValue, count > 1 {
            throw general.error("split.count", "is \(count), expected a model in one file: merge its parts first")
        }
        let fields = GGUFFields(file: file, prefix: name + ".")
        try Self.refuseUnsupported(fields)
        let hiddenSize = try fields.integer("embedding_length")
        guard let headCount = try fields.uniform("attention.head_count") else {
            throw fields.mismatch("attention.head_count", "a whole number")
        }
        guard let intermediateSize = try fields.uniform("feed_forward_length") else {
            throw fields.mismatch("feed_forward_length", "a whole number")
        }
        let keyValueHeadCount = try fields.uniform("attention.head_count_kv") ?? headCount
        guard headCount % keyValueHeadCount == 0 else {
            throw fields.mismatch("attention.head_count_kv", "a divisor of head_count, \(headCount)")
        }
        let headSize = try Self.headSize(fields, hiddenSize, headCount)
        guard let epsilon = try fields.positive("attention.layer_norm_rms_epsilon", orZero: true) else {
            throw fields.mismatch("attention.layer_norm_rms_epsilon", "a number")
        }
        let layerCount = try fields.integer("block_count", in: 1...10_000)
        let maximumPositions = try fields.integer("context_length")
        guard let embeddings = file.tensors["token_embd.weight"], embeddings.shape.count == 2 else {
            throw CoppiceError(.badData, source: file.path, field: "token_embd.weight", "is missing, expected a matrix")
        }
        let vocabularySize = embeddings.shape[0]
        guard vocabularySize <= ConfigurationFields.largestExtent else {
            throw CoppiceError(.badData, source: file.path, field: "token_embd.weight", "has too many rows")
        }
        let windows = try Self.windows(fields, layerCount)
        let has = { (suffix: String) in file.tensors["blk.0.\(suffix)"] != nil }
        let tokens = GGUFSpecialTokens(file, vocabularySize: vocabularySize)
        self.init(
            family: found == .llama && windows.size != nil ? .mistral : found, vocabularySize: vocabularySize,
            hiddenSize: hiddenSize, intermediateSize: intermediateSize, layerCount: layerCount, headCount: headCount,
            keyValueHeadCount: keyValueHeadCount, headSize: headSize, maximumPositions: maximumPositions,
            normEpsilon: epsilon,
            rotary: try RotaryConfiguration(
                gguf: file, fields, headSize: headSize, maximumPositions: maximumPositions),
            slidingWindow: windows.size, layersWithWindow: windows.layers, hasAttentionBias: has("attn_q.bias"),
            hasOutputBias: has("attn_output.bias"), hasFeedForwardBias: has("ffn_down.bias"),
            hasQueryKeyNorm: has("attn_q_norm.weight"), tiesEmbeddings: file.tensors["output.weight"] == nil,
            beginToken: tokens.begin, endTokens: tokens.ends, dataType: Self.dataType(file))
    }

    private static func refuseUnsupported(_ fields: GGUFFields) throws {
        if let experts = fields.value("expert_count")?.intValue, experts > 0 {
            throw fields.error("expert_count", "mixtures of experts are not supported, found \(experts)")
        }
        if try fields.flag("attention.causal") == false {
            throw fields.error("attention.causal", "expected a model with causal attention, found false")
        }
    }

    private static func headSize(_ fields: GGUFFields, _ hiddenSize: Int, _ headCount: Int) throws -> Int {
        let given = try fields.optionalInteger("attention.key_length")
        guard given != nil || hiddenSize % headCount == 0 else {
            throw fields.mismatch("attention.head_count", "a divisor of embedding_length, \(hiddenSize)")
        }
        let size = given ?? hiddenSize / headCount
        guard size % 2 == 0 else {
            throw fields.error(
                given == nil ? "attention.head_count" : "attention.key_length",
                "expected heads of an even size, found \(size)")
        }
        guard headCount * size <= ConfigurationFields.largestExtent else {
            throw fields.error("attention.head_count", "\(headCount) heads of size \(size) are too large")
        }
        if let values = try fields.optionalInteger("attention.value_length"), values != size {
            throw fields.mismatch("attention.value_length", "\(size) as for keys")
        }
        if let rotated = try fields.optionalInteger("rope.dimension_count"), rotated != size {
            throw fields.mismatch("rope.dimension_count", "\(size) (heads rotated in part are not supported)")
        }
        return size
    }

    private static func windows(_ fields: GGUFFields, _ layerCount: Int) throws -> (size: Int?, layers: [Bool]?) {
        let key = "attention.sliding_window"
        guard let size = try fields.optionalInteger(key, in: 0...ConfigurationFields.largestExtent), size > 0 else {
            return (nil, nil)
        }
        let patternKey = "attention.sliding_window_pattern"
        guard fields.value(patternKey) != nil else { return (size, nil) }
        guard let layers = fields.value(patternKey)?.arrayValue?.flags, layers.count == layerCount else {
            throw fields.mismatch(patternKey, "a list of \(layerCount) truth values")
        }
        return layers.contains(true) ? (size, layers) : (nil, nil)
    }

    /// The type that compressed weights are expanded to: that of the dense matrices, else f16.
    private static func dataType(_ file: GGUFFile) -> DataType {
        let types = Set(file.tensors.values.filter { $0.shape.count == 2 }.map(\.type))
        if types == [.dense(.f32)] { return .f32 }
        return types.contains(.dense(.bf16)) ? .bf16 : .f16
    }
}
