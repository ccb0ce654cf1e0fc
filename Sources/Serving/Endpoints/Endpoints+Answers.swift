import CoppiceInference
import CoppiceModels
import Hummingbird

extension Endpoints {
    /// Waits for the whole generation.
    ///
    /// - Returns: what each of `sequenceCount` sequences wrote.
    func collect(_ generation: Generation, sequenceCount: Int, _ engine: any TextEngine) async throws -> [Choice] {
        var choices = Array(repeating: Choice(), count: sequenceCount)
        let endTokens = engine.tokenizer.endTokens
        for try await event in generation.events {
            choices[event.sequence].append(event.event, endTokens: endTokens)
        }
        return choices
    }

    /// What a stream needs to know besides the generation.
    struct StreamPlan: Sendable {
        /// What each choice's text begins with: the prompt where it is echoed.
        var prefixes: [String]
        var promptTokens: Int
        var includesUsage: Bool
        var endTokens: Set<Int>
    }

    /// Answers with server-sent events: each choice's opening, its text as it comes, its finish reason; then the usage
    /// if asked for, and `[DONE]`. What fails on the way is sent as an event with an error object.
    func stream(_ generation: Generation, _ format: some AnswerFormat, _ plan: StreamPlan) -> Response {
        let body = ResponseBody { writer in
            var events = EventStream(writer)
            do {
                try await Self.send(generation, format, plan, to: &events)
            } catch let error as APIError where error.code != APIError.clientGone.code {
                try await events.send(error.json)
            }
            try await events.finish()
        }
        return Response(
            status: .ok, headers: [.contentType: EventStream.contentType, .cacheControl: "no-cache"], body: body)
    }

    private static func send(
        _ generation: Generation, _ format: some AnswerFormat, _ plan: StreamPlan, to events: inout EventStream
    ) async throws {
        var choices = Array(repeating: Choice(), count: plan.prefixes.count)
        var offsets = plan.prefixes.map(\.unicodeScalars.count)
        var open = Set(choices.indices)
        let includesUsage = plan.includesUsage
        for (index, prefix) in plan.prefixes.enumerated() {
            if let opening = format.opening(index) {
                try await events.send(format.chunk(opening, includesUsage: includesUsage))
            }
            guard !prefix.isEmpty else { continue }
            var offset = 0
            let delta = format.delta(index, text: prefix, scored: [], offset: &offset)
            try await events.send(format.chunk(delta, includesUsage: includesUsage))
        }
        for try await event in generation.events {
            let index = event.sequence
            let scored = choices[index].append(event.event, endTokens: plan.endTokens)
            if !event.event.text.isEmpty || scored != nil {
                let delta = format.delta(
                    index, text: event.event.text, scored: scored.map { [$0] } ?? [], offset: &offsets[index])
                try await events.send(format.chunk(delta, includesUsage: includesUsage))
            }
            // The text is in the deltas already sent; only what is still needed is kept.
            choices[index].text = ""
            choices[index].scored = []
            if event.event.finishReason != nil {
                open.remove(index)
                let closing = format.closing(index, choices[index].finishReason)
                try await events.send(format.chunk(closing, includesUsage: includesUsage))
            }
        }
        // Choices that were to have no tokens have no events either.
        for index in open.sorted() {
            try await events.send(format.chunk(format.closing(index, .length), includesUsage: includesUsage))
        }
        if includesUsage {
            let completionTokens = choices.reduce(0) { $0 + $1.tokenCount }
            try await events.send(
                format.usageChunk(Usage(promptTokens: plan.promptTokens, completionTokens: completionTokens)))
        }
    }
}
