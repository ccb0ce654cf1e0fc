import CoppiceInference
import CoppiceModels

/// One token of an answer with its log-probability.
struct ScoredToken: Sendable {
    var token: Int
    var score: TokenLogProbability
}

/// One answer, as it is put together from the events of its sequence.
struct Choice: Sendable {
    var text = ""
    /// The tokens with their log-probabilities, where those were asked for.
    var scored: [ScoredToken] = []
    var tokenCount = 0
    /// `stop` or `length`.
    var finishReason = FinishReason.length

    /// Takes in the next event.
    ///
    /// - Returns: the event's token with its log-probability, unless it only marks the end.
    @discardableResult
    mutating func append(_ event: GenerationEvent, endTokens: Set<Int>) -> ScoredToken? {
        text += event.text
        tokenCount += 1
        if let reason = event.finishReason { finishReason = reason }
        let marksEnd = event.finishReason == .stop && event.text.isEmpty && endTokens.contains(event.token)
        guard !marksEnd, let score = event.logProbability else { return nil }
        let token = ScoredToken(token: event.token, score: score)
        scored.append(token)
        return token
    }

    /// The mean log-probability of the tokens, by which `best_of` ranks; the worst possible without tokens.
    var meanLogProbability: Double {
        guard !scored.isEmpty else { return -.infinity }
        return scored.reduce(0) { $0 + $1.score.logProbability } / Double(scored.count)
    }
}
