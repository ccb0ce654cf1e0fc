/// Why a generation ended.
public enum FinishReason: String, Sendable, Hashable {
    /// An end token or a stop string.
    case stop
    /// The request's maximum of tokens or the model's context.
    case length
    /// The request was dropped, or the engine was shut down before it could finish.
    case cancelled
}

/// The log-probability of a chosen token, with the likeliest alternatives.
///
/// Natural logarithms of the model's own distribution: before penalties, temperature and filters.
public struct TokenLogProbability: Sendable, Hashable {
    /// A token that could have been chosen.
    public struct Candidate: Sendable, Hashable {
        public var token: Int
        public var logProbability: Double

        public init(token: Int, logProbability: Double) {
            self.token = token
            self.logProbability = logProbability
        }
    }

    /// The chosen token's.
    public var logProbability: Double
    /// The likeliest tokens, best first, as many as were asked for.
    public var top: [Candidate]

    public init(logProbability: Double, top: [Candidate]) {
        self.logProbability = logProbability
        self.top = top
    }
}

/// One generated token.
public struct GenerationEvent: Sendable, Hashable {
    public var token: Int
    /// Text that is now certain: whole characters that cannot be part of a stop string. Often empty, sometimes the
    /// text of several tokens. The texts of all events, joined, are the generated text.
    public var text: String
    /// Where the request asked for it.
    public var logProbability: TokenLogProbability?
    /// Set in the last event of a generation, and only there.
    public var finishReason: FinishReason?

    public init(
        token: Int, text: String, logProbability: TokenLogProbability? = nil, finishReason: FinishReason? = nil
    ) {
        self.token = token
        self.text = text
        self.logProbability = logProbability
        self.finishReason = finishReason
    }
}
