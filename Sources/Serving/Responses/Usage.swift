import CoppiceModels

/// Tokens that a request read and wrote.
struct Usage: Sendable, Hashable {
    /// Tokens of the prompts, each prompt counted once however many answers it gets.
    var promptTokens: Int
    /// Tokens generated, those of answers that `best_of` discards included.
    var completionTokens: Int

    var json: JSON {
        .object([
            "prompt_tokens": .integer(promptTokens),
            "completion_tokens": .integer(completionTokens),
            "total_tokens": .integer(promptTokens + completionTokens),
        ])
    }
}
