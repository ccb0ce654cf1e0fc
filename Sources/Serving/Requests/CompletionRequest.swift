import CoppiceModels

/// The body of `POST /v1/completions`.
struct CompletionRequest: Sendable {
    /// What is to be continued.
    enum Prompt: Sendable, Hashable {
        case text(String)
        case tokens([Int])
    }

    var generation: GenerationFields
    var prompts: [Prompt]
    /// Sequences generated per prompt, of which the `n` likeliest are returned.
    var bestOf: Int
    var maximumTokens: Int
    /// Whether the answer repeats the prompt before the continuation.
    var echoes: Bool
    /// Alternatives to report at each token; `nil` for no log-probabilities at all.
    var logProbabilities: Int?

    /// - Throws: ``APIError`` (400) that names the first field that is wrong.
    init(_ fields: RequestFields, configuration: ServerConfiguration) throws {
        generation = try GenerationFields(fields, configuration: configuration)
        let choiceCount = generation.choiceCount
        bestOf = try fields.integer("best_of", in: 1...configuration.maximumChoices) ?? choiceCount
        guard bestOf >= choiceCount else {
            throw APIError.invalid("best_of", "expected at least n = \(choiceCount), found \(bestOf)")
        }
        guard bestOf == choiceCount || !generation.streams else {
            throw APIError.invalid("best_of", "cannot be streamed, as the best is only known at the end")
        }
        prompts = try Self.prompts(fields)
        guard prompts.count <= configuration.maximumChoices / bestOf else {
            throw APIError.invalid(
                "prompt",
                "\(prompts.count) prompts × \(bestOf) sequences are more than the limit of "
                    + "\(configuration.maximumChoices)")
        }
        maximumTokens = try fields.integer("max_tokens", in: 0...Int.max) ?? configuration.defaultMaximumTokens
        echoes = try fields.boolean("echo") ?? false
        logProbabilities = try fields.integer("logprobs", in: 0...configuration.maximumLogProbabilities)
        if echoes && logProbabilities != nil {
            throw APIError.invalid("logprobs", "not supported together with echo")
        }
        if let suffix = try fields.string("suffix"), !suffix.isEmpty {
            throw APIError.invalid(
                "suffix", "not supported: the models served here continue text, they do not fill it in")
        }
    }

    /// A prompt is a string or an array of token ids; several are an array of either.
    private static func prompts(_ fields: RequestFields) throws -> [Prompt] {
        let field = try fields.required("prompt", fields["prompt"])
        if let text = field.stringValue { return [.text(text)] }
        guard let elements = field.arrayValue else {
            throw fields.mismatch(
                "prompt", expected: "a string, an array of strings, or an array of token ids", found: field)
        }
        guard let first = elements.first else { throw APIError.invalid("prompt", "must not be empty") }
        switch first {
        case .integer, .number:
            return [.tokens(try tokens(elements, path: "prompt"))]
        case .string:
            return try elements.enumerated().map { index, element in
                guard let text = element.stringValue else {
                    throw APIError.invalid("prompt[\(index)]", "expected a string, found \(element.kindName)")
                }
                return .text(text)
            }
        default:
            return try elements.enumerated().map { index, element in
                guard let ids = element.arrayValue else {
                    throw APIError.invalid(
                        "prompt[\(index)]", "expected a string or an array of token ids, found \(element.kindName)")
                }
                return .tokens(try tokens(ids, path: "prompt[\(index)]"))
            }
        }
    }

    /// Token ids; whether the model has them is checked when the model is known.
    static func tokens(_ elements: [JSON], path: String) throws -> [Int] {
        try elements.enumerated().map { index, element in
            guard let id = element.exactInteger, id >= 0 else {
                throw APIError.invalid("\(path)[\(index)]", "expected a token id, found \(element.kindName)")
            }
            return id
        }
    }
}
