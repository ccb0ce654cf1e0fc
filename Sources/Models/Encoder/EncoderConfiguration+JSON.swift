import CoppiceTensors

extension EncoderConfiguration {
    /// Reads a `config.json` as `transformers` writes it. `attention_head_size` says that heads are of another size than
    /// they are there.
    ///
    /// - Parameter source: the file's name for errors.
    /// - Throws: `CoppiceError` (`badData`) that names the field that is missing, of the wrong type, out of range, at
    ///   odds with another, or asks for something that is not supported.
    public init(json: JSON, source: String) throws {
        guard json.objectValue != nil else {
            throw CoppiceError(.badData, source: source, "expected a JSON object with the model's configuration")
        }
        let fields = ConfigurationFields(json: json, source: source)
        let known = Family.allCases.map(\.rawValue).joined(separator: ", ")
        guard let family = try Family(rawValue: fields.optionalString("model_type") ?? "") else {
            throw fields.mismatch("model_type", "one of \(known)")
        }
        try Self.refuseUnsupported(fields)
        let hiddenSize = try fields.integer("hidden_size")
        let headCount = try fields.integer("num_attention_heads")
        let headSize = try fields.optionalInteger("attention_head_size")
        guard headSize != nil || hiddenSize % headCount == 0 else {
            throw fields.mismatch("num_attention_heads", "a divisor of hidden_size, \(hiddenSize)")
        }
        let vocabularySize = try fields.integer("vocab_size")
        try self.init(
            family: family, vocabularySize: vocabularySize, hiddenSize: hiddenSize,
            intermediateSize: fields.integer("intermediate_size"),
            layerCount: fields.integer("num_hidden_layers", in: 1...10_000), headCount: headCount,
            headSize: headSize, positionCount: fields.integer("max_position_embeddings"),
            tokenTypeCount: fields.optionalInteger("type_vocab_size") ?? 2,
            normEpsilon: fields.optionalPositive("layer_norm_eps", orZero: true) ?? 1e-12,
            padToken: fields.optionalInteger("pad_token_id", in: 0...(vocabularySize - 1)))
        guard longestText > 0 else {
            throw fields.mismatch(
                "max_position_embeddings", "more than \(firstPosition), the position of the first token")
        }
    }

    private static func refuseUnsupported(_ fields: ConfigurationFields) throws {
        if let activation = try fields.optionalString("hidden_act"), activation != "gelu" {
            throw fields.mismatch("hidden_act", "gelu")
        }
        if let kind = try fields.optionalString("position_embedding_type"), kind != "absolute" {
            throw fields.mismatch("position_embedding_type", "absolute")
        }
        if try fields.flag("is_decoder", default: false) { throw fields.mismatch("is_decoder", "false") }
    }

    /// A `config.json` of an encoder of other heads, another feed-forward size or fewer layers, with all else that it says.
    func json(changing json: JSON) -> JSON {
        var members = json.objectValue ?? [:]
        members["num_hidden_layers"] = .integer(layerCount)
        members["num_attention_heads"] = .integer(headCount)
        members["attention_head_size"] = attentionSize == hiddenSize ? nil : .integer(headSize)
        members["intermediate_size"] = .integer(intermediateSize)
        return .object(members)
    }
}
