import CoppiceTensors
import Foundation
import OrderedCollections

/// How a model expects a conversation to be written: a Jinja template, as published with the model.
///
/// ```swift
/// let template = try ChatTemplate("{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}")
/// let text = try template.render(
///     messages: [ChatMessage(role: "user", content: "Tell me a tale.")], addGenerationPrompt: true,
///     beginToken: "<s>", endToken: "</s>")
/// ```
///
/// Templates run in a sandbox: they see nothing but their variables, and steps, output and nesting are limited, so that
/// a hostile template can do no more than fail. The language is the part of Jinja that chat templates use, with the
/// settings of `transformers`: `trim_blocks`, `lstrip_blocks`, `break` and `continue`, `generation` blocks,
/// `raise_exception` and `strftime_now`. `include`, `import`, `extends` and `call` are refused.
public struct ChatTemplate: Sendable {
    /// The template's text.
    public let source: String
    private let body: [JinjaStatement]

    /// Parses a template.
    ///
    /// - Throws: ``CoppiceError`` (`badData`) with the line of the first fault.
    public init(_ jinja: String) throws {
        source = jinja
        var parser = JinjaParser(try JinjaLexer.tokens(of: jinja))
        body = try parser.template()
    }

    /// Writes a conversation.
    ///
    /// - Parameters:
    ///   - addGenerationPrompt: whether the text ends where the model's answer begins.
    ///   - beginToken: the variable `bos_token`.
    ///   - endToken: the variable `eos_token`.
    ///   - variables: further ones, such as `tools`; they take the place of those above.
    ///   - date: what `strftime_now` formats.
    /// - Throws: ``CoppiceError`` (`badData`) with the line when the template refuses the conversation
    ///   (`raise_exception`), does what is not defined, or reaches a limit.
    public func render(
        messages: [ChatMessage], addGenerationPrompt: Bool, beginToken: String, endToken: String,
        variables: [String: JSON] = [:], date: Date = Date()
    ) throws -> String {
        var all: [String: JSON] = [
            "messages": .array(
                messages.map { .object(["role": .string($0.role), "content": .string($0.content)]) }),
            "add_generation_prompt": .bool(addGenerationPrompt), "bos_token": .string(beginToken),
            "eos_token": .string(endToken), "tools": .null, "documents": .null,
        ]
        all.merge(variables) { _, given in given }
        return try JinjaInterpreter(variables: all, date: date).run(body)
    }
}
