import CoppiceInference
import CoppiceModels

/// How log-probabilities are written: each of the two endpoints has its own form.
struct LogProbabilityFormat: Sendable {
    let tokenizer: any Tokenizer

    /// JSON has no infinity; a token that was ruled out gets this log-probability instead.
    private static let lowest = -9999.0

    /// The form of `/v1/completions`: parallel arrays.
    ///
    /// - Parameter offset: where the first token's text begins in the answer, in Unicode scalars; moved past the last.
    func parallelArrays(_ tokens: [ScoredToken], offset: inout Int) -> JSON {
        var texts: [JSON] = []
        var scores: [JSON] = []
        var alternatives: [JSON] = []
        var offsets: [JSON] = []
        for scored in tokens {
            let text = text(of: scored.token)
            texts.append(.string(text))
            scores.append(number(scored.score.logProbability))
            var top: [(String, JSON)] = []
            for candidate in scored.score.top {
                let name = self.text(of: candidate.token)
                if !top.contains(where: { $0.0 == name }) { top.append((name, number(candidate.logProbability))) }
            }
            alternatives.append(.object(.init(uniqueKeysWithValues: top)))
            offsets.append(.integer(offset))
            offset += tokenizer.decode([scored.token], skippingSpecialTokens: false).unicodeScalars.count
        }
        return .object([
            "tokens": .array(texts),
            "token_logprobs": .array(scores),
            "top_logprobs": .array(alternatives),
            "text_offset": .array(offsets),
        ])
    }

    /// The form of `/v1/chat/completions`: an object for each token.
    func objects(_ tokens: [ScoredToken]) -> JSON {
        let content = tokens.map { scored -> JSON in
            let top = scored.score.top.map { JSON.object(fields(of: $0.token, $0.logProbability)) }
            var object = fields(of: scored.token, scored.score.logProbability)
            object["top_logprobs"] = .array(top)
            return .object(object)
        }
        return .object(["content": .array(content)])
    }

    private func fields(of token: Int, _ score: Double) -> JSONObject {
        let bytes = tokenizer.bytes(of: token)
        return [
            "token": .string(text(of: token)),
            "logprob": number(score),
            "bytes": .array(bytes.map { .integer(Int($0)) }),
        ]
    }

    /// The token's text, or `bytes:\xE2\x80` where its bytes are no text by themselves, as OpenAI writes it.
    private func text(of token: Int) -> String {
        let bytes = tokenizer.bytes(of: token)
        if let text = String(validating: bytes, as: UTF8.self) { return text }
        let digits = Array("0123456789abcdef")
        return "bytes:" + bytes.map { "\\x\(digits[Int($0 >> 4)])\(digits[Int($0 & 15)])" }.joined()
    }

    private func number(_ score: Double) -> JSON {
        .number(score.isFinite ? score : Self.lowest)
    }
}
