import CoppiceModels

/// The body of `POST /v1/chat/completions`.
struct ChatCompletionRequest: Sendable {
    var generation: GenerationFields
    var messages: [ChatMessage]
    /// `nil` to go on until the model stops or its context is full.
    var maximumTokens: Int?
    /// Alternatives to report at each token; `nil` for no log-probabilities at all.
    var logProbabilities: Int?

    /// - Throws: ``APIError`` (400) that names the first field that is wrong.
    init(_ fields: RequestFields, configuration: ServerConfiguration) throws {
        generation = try GenerationFields(fields, configuration: configuration)
        let elements = try fields.required("messages", fields.array("messages"))
        guard !elements.isEmpty else { throw APIError.invalid("messages", "must not be empty") }
        messages = try elements.enumerated().map { index, element in
            try ChatMessage(RequestFields(element, path: "messages[\(index)]"))
        }
        // The newer name wins, as clients that send both mean it.
        maximumTokens =
            try fields.integer("max_completion_tokens", in: 1...Int.max)
            ?? fields.integer("max_tokens", in: 1...Int.max)
        let alternatives = try fields.integer("top_logprobs", in: 0...configuration.maximumLogProbabilities)
        if try fields.boolean("logprobs") ?? false {
            logProbabilities = alternatives ?? 0
        } else if let alternatives, alternatives > 0 {
            throw APIError.invalid("top_logprobs", "only allowed with logprobs: true")
        }
        try Self.refuseTools(fields)
        try Self.requireTextFormat(fields)
    }

    /// Tool calls would come back as plain text, which a client that offered tools would misread.
    private static func refuseTools(_ fields: RequestFields) throws {
        if fields["tool_choice"]?.stringValue == "none" { return }
        for name in ["tools", "functions"] {
            guard let tools = try fields.array(name), !tools.isEmpty else { continue }
            throw APIError.invalid(name, "not supported: this server has no tool calls")
        }
    }

    private static func requireTextFormat(_ fields: RequestFields) throws {
        guard let format = fields["response_format"] else { return }
        let formatFields = try RequestFields(format, path: "response_format")
        let type = try formatFields.required("type", formatFields.string("type"))
        guard type == "text" else {
            throw APIError.invalid("response_format.type", "expected text, found \(type.prefix(100))")
        }
    }
}

extension ChatMessage {
    /// The roles that clients may use; `developer` is OpenAI's newer name of `system`.
    private static let roles = ["system", "developer", "user", "assistant", "tool"]

    /// One message of a chat request. Content is a string or an array of text parts, which are joined.
    ///
    /// - Throws: ``APIError`` (400) that names the field that is wrong.
    init(_ fields: RequestFields) throws {
        let role = try fields.required("role", fields.string("role"))
        guard Self.roles.contains(role) else {
            throw APIError.invalid(
                fields.path(of: "role"),
                "expected one of \(Self.roles.joined(separator: ", ")), found '\(role.prefix(100))'")
        }
        if let calls = try fields.array("tool_calls"), !calls.isEmpty {
            throw APIError.invalid(fields.path(of: "tool_calls"), "not supported: this server has no tool calls")
        }
        let content = try fields.required("content", fields["content"])
        self.init(role: role == "developer" ? "system" : role, content: try Self.text(content, fields))
    }

    private static func text(_ content: JSON, _ fields: RequestFields) throws -> String {
        if let text = content.stringValue { return text }
        guard let parts = content.arrayValue else {
            throw fields.mismatch("content", expected: "a string or an array of text parts", found: content)
        }
        return try parts.enumerated().map { index, part in
            let partFields = try RequestFields(part, path: "\(fields.path(of: "content"))[\(index)]")
            let type = try partFields.required("type", partFields.string("type"))
            guard type == "text" else {
                throw APIError.invalid(partFields.path(of: "type"), "expected text, found '\(type.prefix(100))'")
            }
            return try partFields.required("text", partFields.string("text"))
        }.joined()
    }
}
