import CoppiceInference
import CoppiceModels

/// The fields that `/v1/completions` and `/v1/chat/completions` share: how to sample, when to stop, how to answer.
struct GenerationFields: Sendable {
    var model: String?
    var sampling: SamplingOptions
    var stopStrings: [String]
    var ignoresEndToken: Bool
    /// Answers per prompt.
    var choiceCount: Int
    var streams: Bool
    var includesUsage: Bool

    /// - Throws: ``APIError`` (400) that names the first field that is wrong.
    init(_ fields: RequestFields, configuration: ServerConfiguration) throws {
        model = try fields.string("model")
        sampling = try SamplingOptions(fields)
        stopStrings = try Self.stopStrings(fields, limit: configuration.maximumStopStrings)
        ignoresEndToken = try fields.boolean("ignore_eos") ?? false
        choiceCount = try fields.integer("n", in: 1...configuration.maximumChoices) ?? 1
        streams = try fields.boolean("stream") ?? false
        includesUsage = false
        if let options = fields["stream_options"] {
            guard streams else { throw APIError.invalid("stream_options", "only allowed with stream: true") }
            includesUsage = try RequestFields(options, path: "stream_options").boolean("include_usage") ?? false
        }
        if let bias = fields["logit_bias"] {
            guard let biases = bias.objectValue else {
                throw fields.mismatch("logit_bias", expected: "an object", found: bias)
            }
            guard biases.isEmpty else { throw APIError.invalid("logit_bias", "not supported") }
        }
    }

    private static func stopStrings(_ fields: RequestFields, limit: Int) throws -> [String] {
        guard let field = fields["stop"] else { return [] }
        if let text = field.stringValue {
            guard !text.isEmpty else { throw APIError.invalid("stop", "must not be empty") }
            return [text]
        }
        guard let elements = field.arrayValue else {
            throw fields.mismatch("stop", expected: "a string or an array of strings", found: field)
        }
        guard elements.count <= limit else {
            throw APIError.invalid("stop", "expected at most \(limit) strings, found \(elements.count)")
        }
        return try elements.enumerated().map { index, element in
            guard let text = element.stringValue, !text.isEmpty else {
                let found = element.stringValue == nil ? element.kindName : "an empty one"
                throw APIError.invalid("stop[\(index)]", "expected a string that is not empty, found \(found)")
            }
            return text
        }
    }

    /// The engine's request for one sequence of a prompt.
    ///
    /// Each of a prompt's sequences gets its own seed, so that `n` answers with a seed differ yet can be had again.
    func engineRequest(
        promptTokens: [Int], maximumTokens: Int, sequence: Int, topLogProbabilities: Int?
    ) -> GenerationRequest {
        var sampling = sampling
        sampling.seed = sampling.seed.map { $0 &+ UInt64(sequence) }
        return GenerationRequest(
            promptTokens: promptTokens, maximumTokens: maximumTokens, sampling: sampling, stopStrings: stopStrings,
            ignoresEndToken: ignoresEndToken, topLogProbabilities: topLogProbabilities)
    }
}

extension SamplingOptions {
    /// The sampling fields of a request. Absent ones have OpenAI's defaults: temperature 1, nothing cut off.
    ///
    /// - Throws: ``APIError`` (400) that names the first field that is wrong.
    init(_ fields: RequestFields) throws {
        self.init()
        temperature = try fields.number("temperature", in: 0...2) ?? 1
        // 0 keeps only the likeliest token, as OpenAI's does; -1 and 0 leave top-k off, as clients send both.
        topP = max(try fields.number("top_p", in: 0...1) ?? 1, 1e-9)
        topK = max(try fields.integer("top_k", in: -1...Int.max) ?? 0, 0)
        minP = try fields.number("min_p", in: 0...1) ?? 0
        repetitionPenalty = try fields.number("repetition_penalty", in: 0.01...100) ?? 1
        presencePenalty = try fields.number("presence_penalty", in: -2...2) ?? 0
        frequencyPenalty = try fields.number("frequency_penalty", in: -2...2) ?? 0
        seed = try fields.integer("seed", in: Int.min...Int.max).map { UInt64(bitPattern: Int64($0)) }
    }
}
