import CoppiceInference
import CoppiceModels
import Foundation
import OrderedCollections

typealias JSONObject = OrderedDictionary<String, JSON>

/// How an endpoint writes its answers, whole and as a stream of chunks.
protocol AnswerFormat: Sendable {
    var header: AnswerHeader { get }
    /// The `object` of a whole answer and of a chunk.
    static var objectNames: (whole: String, chunk: String) { get }
    /// One choice of a whole answer.
    func choice(_ index: Int, _ choice: Choice) -> JSON
    /// The chunk that opens a choice, if the format has one.
    func opening(_ index: Int) -> JSON?
    /// What a chunk says of a choice: new text, its tokens' log-probabilities where asked for.
    func delta(_ index: Int, text: String, scored: [ScoredToken], offset: inout Int) -> JSON
    /// What the chunk that closes a choice says.
    func closing(_ index: Int, _ reason: FinishReason) -> JSON
}

/// What every chunk of an answer repeats.
struct AnswerHeader: Sendable {
    let identifier: String
    let created: Int
    let model: String

    /// - Parameter prefix: of the identifier, such as `cmpl-`.
    init(prefix: String, model: String) {
        identifier = prefix + UUID().uuidString.filter { $0 != "-" }.lowercased()
        created = Int(Date().timeIntervalSince1970)
        self.model = model
    }
}

extension AnswerFormat {
    private func object(_ name: String, choices: [JSON]) -> JSONObject {
        [
            "id": .string(header.identifier),
            "object": .string(name),
            "created": .integer(header.created),
            "model": .string(header.model),
            "choices": .array(choices),
        ]
    }

    func whole(_ choices: [Choice], usage: Usage) -> JSON {
        let written = choices.enumerated().map { choice($0.offset, $0.element) }
        var object = object(Self.objectNames.whole, choices: written)
        object["usage"] = usage.json
        return .object(object)
    }

    /// A chunk; with usage asked for, all but the last have a `null` one.
    func chunk(_ choice: JSON, includesUsage: Bool) -> JSON {
        var object = object(Self.objectNames.chunk, choices: [choice])
        if includesUsage { object["usage"] = .null }
        return .object(object)
    }

    /// The last chunk, which has the usage and no choice.
    func usageChunk(_ usage: Usage) -> JSON {
        var object = object(Self.objectNames.chunk, choices: [])
        object["usage"] = usage.json
        return .object(object)
    }
}

/// The form of `/v1/completions`.
struct CompletionFormat: AnswerFormat {
    static let objectNames = (whole: "text_completion", chunk: "text_completion")

    let header: AnswerHeader
    /// `nil` when no log-probabilities were asked for.
    let logProbabilities: LogProbabilityFormat?

    private func object(_ index: Int, text: String, logProbabilities: JSON, reason: JSON) -> JSON {
        .object([
            "index": .integer(index), "text": .string(text), "logprobs": logProbabilities, "finish_reason": reason,
        ])
    }

    func choice(_ index: Int, _ choice: Choice) -> JSON {
        var offset = 0
        return object(
            index, text: choice.text,
            logProbabilities: logProbabilities?.parallelArrays(choice.scored, offset: &offset) ?? .null,
            reason: .string(choice.finishReason.rawValue))
    }

    func opening(_ index: Int) -> JSON? { nil }

    func delta(_ index: Int, text: String, scored: [ScoredToken], offset: inout Int) -> JSON {
        object(
            index, text: text, logProbabilities: logProbabilities?.parallelArrays(scored, offset: &offset) ?? .null,
            reason: .null)
    }

    func closing(_ index: Int, _ reason: FinishReason) -> JSON {
        object(index, text: "", logProbabilities: .null, reason: .string(reason.rawValue))
    }
}

/// The form of `/v1/chat/completions`.
struct ChatCompletionFormat: AnswerFormat {
    static let objectNames = (whole: "chat.completion", chunk: "chat.completion.chunk")

    let header: AnswerHeader
    /// `nil` when no log-probabilities were asked for.
    let logProbabilities: LogProbabilityFormat?

    func choice(_ index: Int, _ choice: Choice) -> JSON {
        .object([
            "index": .integer(index),
            "message": .object(["role": .string("assistant"), "content": .string(choice.text), "refusal": .null]),
            "logprobs": logProbabilities?.objects(choice.scored) ?? .null,
            "finish_reason": .string(choice.finishReason.rawValue),
        ])
    }

    private func object(_ index: Int, delta: JSONObject, logProbabilities: JSON, reason: JSON) -> JSON {
        .object([
            "index": .integer(index), "delta": .object(delta), "logprobs": logProbabilities, "finish_reason": reason,
        ])
    }

    func opening(_ index: Int) -> JSON? {
        object(
            index, delta: ["role": .string("assistant"), "content": .string("")], logProbabilities: .null, reason: .null
        )
    }

    func delta(_ index: Int, text: String, scored: [ScoredToken], offset: inout Int) -> JSON {
        object(
            index, delta: ["content": .string(text)], logProbabilities: logProbabilities?.objects(scored) ?? .null,
            reason: .null)
    }

    func closing(_ index: Int, _ reason: FinishReason) -> JSON {
        object(index, delta: [:], logProbabilities: .null, reason: .string(reason.rawValue))
    }
}
