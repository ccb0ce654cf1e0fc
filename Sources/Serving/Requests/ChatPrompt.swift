import CoppiceInference
import CoppiceModels
import CoppiceTensors

/// A conversation written out as the text that the model continues with its answer.
struct ChatPrompt: Sendable {
    var tokens: [Int]
    /// Strings that end the answer besides those of the request.
    var stopStrings: [String]

    /// Writes `messages` by the model's own chat template.
    ///
    /// A model without one gets a plain transcript, which any model that has read dialogue continues: the system
    /// message as a paragraph, then `User:` and `Assistant:` turns a paragraph each, ending in `Assistant:`; the answer
    /// then also ends where the model would begin the user's next turn.
    ///
    /// - Throws: ``APIError`` (400) when the template refuses the conversation, as templates do whose roles must
    ///   alternate.
    init(_ messages: [ChatMessage], for engine: any TextEngine) throws {
        let tokenizer = engine.tokenizer
        guard let template = engine.chatTemplate else {
            tokens = tokenizer.encode(Self.transcript(messages), addingSpecialTokens: true)
            stopStrings = ["\nUser:"]
            return
        }
        do {
            // The text has the special tokens written out, so none are added and those in it are parsed.
            let text = try template.render(
                messages: messages, addGenerationPrompt: true,
                beginToken: tokenizer.beginToken.map(tokenizer.piece) ?? "",
                endToken: tokenizer.endTokens.min().map(tokenizer.piece) ?? "")
            tokens = tokenizer.encode(text, parsingSpecialTokens: true)
            stopStrings = []
        } catch let error as CoppiceError {
            throw APIError.invalid("messages", error.description)
        }
    }

    static func transcript(_ messages: [ChatMessage]) -> String {
        messages.map { message in
            switch message.role {
            case "system": "\(message.content)\n\n"
            case "user": "User: \(message.content)\n\n"
            case "tool": "Tool: \(message.content)\n\n"
            default: "Assistant: \(message.content)\n\n"
            }
        }.joined() + "Assistant:"
    }
}
