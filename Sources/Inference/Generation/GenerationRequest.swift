import CoppiceTensors

/// One text to generate: the prompt as tokens, how to choose the following ones and when to stop.
public struct GenerationRequest: Sendable, Hashable {
    /// The prompt, special tokens included. Not empty.
    public var promptTokens: [Int]
    /// Tokens generated at most, at least one. Generation also ends where the model's context ends.
    public var maximumTokens: Int
    public var sampling: SamplingOptions
    /// Generation ends where the text would come to hold one of these; the stop string is not part of the text.
    public var stopStrings: [String]
    /// Goes on past the model's end tokens.
    public var ignoresEndToken: Bool
    /// Asks for the log-probability of each chosen token and of this many of the likeliest ones (0 for the chosen
    /// one alone).
    public var topLogProbabilities: Int?

    public init(
        promptTokens: [Int], maximumTokens: Int, sampling: SamplingOptions = .init(), stopStrings: [String] = [],
        ignoresEndToken: Bool = false, topLogProbabilities: Int? = nil
    ) {
        self.promptTokens = promptTokens
        self.maximumTokens = maximumTokens
        self.sampling = sampling
        self.stopStrings = stopStrings
        self.ignoresEndToken = ignoresEndToken
        self.topLogProbabilities = topLogProbabilities
    }

    /// Checks the request against a model's limits.
    ///
    /// - Throws: `CoppiceError` of kind `usage` where an option is out of range or the prompt leaves no room in the
    ///   context for one token, and of kind `badData` for a token id outside the vocabulary.
    public func validate(maximumContext: Int, vocabularySize: Int) throws {
        guard !promptTokens.isEmpty else {
            throw CoppiceError(.usage, field: "prompt", "expected at least one token, found an empty prompt")
        }
        guard promptTokens.count < maximumContext else {
            throw CoppiceError(
                .usage, field: "prompt",
                "\(promptTokens.count) tokens do not fit the model's context of \(maximumContext) "
                    + "with room for an answer"
            )
        }
        guard maximumTokens >= 1 else {
            throw CoppiceError(.usage, field: "max_tokens", "expected at least 1, found \(maximumTokens)")
        }
        if let wrong = promptTokens.first(where: { $0 < 0 || $0 >= vocabularySize }) {
            throw CoppiceError(
                .badData, field: "prompt", "token id \(wrong) is outside the vocabulary of \(vocabularySize)")
        }
        if stopStrings.contains("") {
            throw CoppiceError(.usage, field: "stop", "expected non-empty strings")
        }
        if let top = topLogProbabilities, top < 0 {
            throw CoppiceError(.usage, field: "logprobs", "expected at least 0, found \(top)")
        }
        try sampling.validate()
    }
}
