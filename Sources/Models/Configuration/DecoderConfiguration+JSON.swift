import CoppiceTensors
import OrderedCollections

extension DecoderConfiguration.Family {
    /// The class that `transformers` loads such a model with.
    public var architecture: String {
        switch self {
        case .llama: "LlamaForCausalLM"
        case .mistral: "MistralForCausalLM"
        case .qwen2: "Qwen2ForCausalLM"
        case .qwen3: "Qwen3ForCausalLM"
        }
    }
}

extension DecoderConfiguration {
    /// Reads a `config.json` as `transformers` writes it.
    ///
    /// Begin and end tokens beyond the vocabulary are dropped: no text can hold them, and the published
    /// configurations of small test models name such tokens.
    ///
    /// - Parameter source: the file's name for errors.
    /// - Throws: `CoppiceError` (`badData`) that names the field that is missing, of the wrong type, out of range, at
    ///   odds with another, or asks for something that is not supported.
    public init(json: JSON, source: String) throws {
        guard json.objectValue != nil else {
            throw CoppiceError(.badData, source: source, "expected a JSON object with the model's configuration")
        }
        let fields = ConfigurationFields(json: json, source: source)
        let family = try Self.family(fields)
        try Self.refuseUnsupported(fields)
        let hiddenSize = try fields.integer("hidden_size")
        let headCount = try fields.integer("num_attention_heads")
        let maximumPositions = try fields.integer("max_position_embeddings")
        let layerCount = try fields.integer("num_hidden_layers", in: 1...10_000)
        let vocabularySize = try fields.integer("vocab_size")
        let hasBiasField = family == .llama || family == .qwen3
        let bias = try hasBiasField && fields.flag("attention_bias", default: false)
        let windows = try Self.windows(fields, family, layerCount)
        let typeKey = fields.value("dtype") == nil ? "torch_dtype" : "dtype"
        // Qwen3 alone has a head size of its own when the file does not name one.
        let standardHeadSize = family == .qwen3 ? 128 : hiddenSize / headCount
        if fields.value("head_dim") == nil, family != .qwen3, hiddenSize % headCount != 0 {
            throw fields.mismatch("num_attention_heads", "a divisor of hidden_size, \(hiddenSize)")
        }
        try self.init(
            family: family, vocabularySize: vocabularySize, hiddenSize: hiddenSize,
            intermediateSize: fields.integer("intermediate_size"), layerCount: layerCount, headCount: headCount,
            keyValueHeadCount: fields.optionalInteger("num_key_value_heads") ?? headCount,
            headSize: fields.optionalInteger("head_dim") ?? standardHeadSize, maximumPositions: maximumPositions,
            normEpsilon: fields.positive("rms_norm_eps", orZero: true),
            rotary: RotaryConfiguration(fields, maximumPositions: maximumPositions),
            slidingWindow: windows.size, layersWithWindow: windows.layers,
            layersWithAttention: Self.layers(with: .attention, in: fields, layerCount: layerCount),
            layersWithFeedForward: Self.layers(with: .feedForward, in: fields, layerCount: layerCount),
            hasAttentionBias: bias || family == .qwen2, hasOutputBias: bias,
            hasFeedForwardBias: family == .llama ? fields.flag("mlp_bias", default: false) : false,
            tiesEmbeddings: fields.flag("tie_word_embeddings", default: false),
            beginToken: fields.optionalInteger("bos_token_id", in: 0...Int(Int32.max)).flatMap {
                $0 < vocabularySize ? $0 : nil
            },
            endTokens: Set(fields.tokens("eos_token_id").filter { $0 < vocabularySize }),
            dataType: Self.dataType(fields, typeKey))
        try check(fields)
    }

    /// Reads the end tokens of a `generation_config.json`, which count where there are any.
    ///
    /// - Throws: `badData` when `eos_token_id` is neither a token nor a list of tokens.
    mutating func adoptGenerationDefaults(_ json: JSON, source: String) throws {
        let tokens = try ConfigurationFields(json: json, source: source).tokens("eos_token_id")
        let usable = tokens.filter { $0 < vocabularySize }
        if !usable.isEmpty { endTokens = Set(usable) }
    }

    // MARK: - Parts of the file

    private static func family(_ fields: ConfigurationFields) throws -> Family {
        let known = Family.allCases.map(\.rawValue).joined(separator: ", ")
        if let type = try fields.optionalString("model_type") {
            let name = type.hasPrefix(ownTypePrefix) ? String(type.dropFirst(ownTypePrefix.count)) : type
            guard let family = Family(rawValue: name) else { throw fields.mismatch("model_type", "one of \(known)") }
            return family
        }
        guard let architectures = fields.value("architectures") else {
            throw fields.mismatch("model_type", "one of \(known)")
        }
        guard let family = Family.allCases.first(where: { .string($0.architecture) == architectures[0] }) else {
            let classes = Family.allCases.map(\.architecture).joined(separator: ", ")
            throw fields.mismatch("architectures", "one of \(classes)")
        }
        return family
    }

    private static func refuseUnsupported(_ fields: ConfigurationFields) throws {
        if let activation = try fields.optionalString("hidden_act"), activation != "silu", activation != "swish" {
            throw fields.mismatch("hidden_act", "silu")
        }
    }

    private static func windows(
        _ fields: ConfigurationFields, _ family: Family, _ layerCount: Int
    ) throws -> (size: Int?, layers: [Bool]?) {
        switch family {
        case .llama: return (nil, nil)
        case .mistral:
            // transformers takes 4096 for a file that does not mention the window, and none for null.
            if fields.json["sliding_window"] == nil { return (4096, nil) }
            return (try fields.optionalInteger("sliding_window"), nil)
        case .qwen2, .qwen3:
            guard try fields.flag("use_sliding_window", default: false) else { return (nil, nil) }
            if let size = fields.json["sliding_window"], size.isNull { return (nil, nil) }
            let size = try fields.optionalInteger("sliding_window") ?? 4096
            guard let types = fields.value("layer_types") else {
                let first = try fields.optionalInteger("max_window_layers", in: 0...1_000_000) ?? 28
                let layers = (0..<layerCount).map { $0 >= first }
                return layers.contains(true) ? (size, layers) : (nil, nil)
            }
            let expected = "a list of \(layerCount) names, full_attention or sliding_attention"
            guard let names = types.arrayValue?.compactMap(\.stringValue), names.count == layerCount,
                names.allSatisfy({ $0 == "full_attention" || $0 == "sliding_attention" })
            else { throw fields.mismatch("layer_types", expected) }
            let layers = names.map { $0 == "sliding_attention" }
            return layers.contains(true) ? (size, layers) : (nil, nil)
        }
    }

    private static func dataType(_ fields: ConfigurationFields, _ key: String) throws -> DataType {
        switch try fields.optionalString(key) {
        case nil, "float32", "float", "auto": return .f32
        case "bfloat16": return .bf16
        case "float16", "half": return .f16
        default: throw fields.mismatch(key, "one of float32, bfloat16, float16")
        }
    }

    private func check(_ fields: ConfigurationFields) throws {
        guard headCount % keyValueHeadCount == 0 else {
            throw fields.mismatch("num_key_value_heads", "a divisor of num_attention_heads, \(headCount)")
        }
        guard headSize % 2 == 0 else {
            let key = fields.value("head_dim") == nil ? "num_attention_heads" : "head_dim"
            throw fields.error(key, "expected heads of an even size, found \(headSize)")
        }
        guard headCount * headSize <= ConfigurationFields.largestExtent else {
            throw fields.error("num_attention_heads", "\(headCount) heads of size \(headSize) are too large")
        }
    }
}

extension DecoderConfiguration {
    /// The `config.json` of this model. `transformers` loads it, in version 4 as well as 5.
    ///
    /// What the family's file cannot say (a window in a Llama, interleaved rotation) is left out. A model without some
    /// sub-layers is of a type of its own, which `transformers` refuses.
    public var json: JSON {
        var fields: OrderedDictionary<String, JSON> = [
            "architectures": .array([.string(family.architecture)]),
            "model_type": .string((hasAllSubLayers ? "" : Self.ownTypePrefix) + family.rawValue),
            "vocab_size": .integer(vocabularySize),
            "hidden_size": .integer(hiddenSize),
            "intermediate_size": .integer(intermediateSize),
            "num_hidden_layers": .integer(layerCount),
            "num_attention_heads": .integer(headCount),
            "num_key_value_heads": .integer(keyValueHeadCount),
            "head_dim": .integer(headSize),
            "hidden_act": .string("silu"),
            "max_position_embeddings": .integer(maximumPositions),
            "rms_norm_eps": .number(normEpsilon),
        ]
        fields.merge(rotary.jsonFields) { $1 }
        switch family {
        case .llama:
            fields["attention_bias"] = .bool(hasAttentionBias)
            fields["mlp_bias"] = .bool(hasFeedForwardBias)
        case .mistral:
            fields["sliding_window"] = slidingWindow.map { .integer($0) } ?? .null
        case .qwen2, .qwen3:
            if family == .qwen3 { fields["attention_bias"] = .bool(hasAttentionBias) }
            let windowed = (0..<layerCount).map { slidingWindow(forLayer: $0) != nil }
            fields["use_sliding_window"] = .bool(slidingWindow != nil)
            fields["sliding_window"] = slidingWindow.map { .integer($0) } ?? .null
            fields["max_window_layers"] = .integer(windowed.firstIndex(of: true) ?? layerCount)
            fields["layer_types"] = .array(windowed.map { .string($0 ? "sliding_attention" : "full_attention") })
        }
        if !hasAllSubLayers { fields["block_configs"] = blockConfigurations }
        fields["tie_word_embeddings"] = .bool(tiesEmbeddings)
        fields["bos_token_id"] = beginToken.map { .integer($0) } ?? .null
        fields["eos_token_id"] =
            endTokens.count > 1
            ? .array(endTokens.sorted().map { .integer($0) }) : endTokens.first.map { .integer($0) } ?? .null
        fields["torch_dtype"] = .string(
            dataType == .bf16 ? "bfloat16" : dataType == .f16 ? "float16" : "float32")
        return .object(fields)
    }
}
