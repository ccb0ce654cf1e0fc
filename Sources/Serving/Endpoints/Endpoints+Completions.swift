import CoppiceInference
import CoppiceModels
import Hummingbird

extension Endpoints {
    /// `POST /v1/completions`.
    func complete(_ fields: RequestFields, _ context: ServingContext) async throws -> Response {
        let request = try CompletionRequest(fields, configuration: configuration)
        let engine = try directory.engine(named: request.generation.model)
        let prompts = try request.prompts.enumerated().map { index, prompt in
            let isOnly = request.prompts.count == 1
            return try tokens(of: prompt, parameter: isOnly ? "prompt" : "prompt[\(index)]", engine)
        }
        let requests = try engineRequests(for: prompts, request, engine)
        let generation = try generate(requests, on: engine, context)
        let logProbabilities = request.logProbabilities.map { _ in LogProbabilityFormat(tokenizer: engine.tokenizer) }
        let format = CompletionFormat(
            header: AnswerHeader(prefix: "cmpl-", model: engine.modelName), logProbabilities: logProbabilities)
        let echoes = request.prompts.enumerated().map { index, prompt in
            request.echoes ? text(of: prompt, prompts[index], engine) : ""
        }
        let promptTokens = prompts.reduce(0) { $0 + $1.count }

        // A stream has best_of = n, so its sequences are its choices.
        if request.generation.streams {
            let count = request.generation.choiceCount
            let prefixes = echoes.flatMap { Array(repeating: $0, count: count) }
            let plan = StreamPlan(
                prefixes: prefixes, promptTokens: promptTokens, includesUsage: request.generation.includesUsage,
                endTokens: engine.tokenizer.endTokens)
            return stream(generation, format, plan)
        }
        let sequenceCount = prompts.count * request.bestOf
        let sequences = try await collect(generation, sequenceCount: sequenceCount, engine)
        let usage = Usage(
            promptTokens: promptTokens, completionTokens: sequences.reduce(0) { $0 + $1.tokenCount })
        let choices = echoes.enumerated().flatMap { index, echo in
            best(of: sequences, forPrompt: index, request).map { choice in
                var choice = choice
                choice.text = echo + choice.text
                return choice
            }
        }
        return .json(format.whole(choices, usage: usage))
    }

    /// The engine's requests, `best_of` for each prompt in turn; none when no token may be generated.
    private func engineRequests(
        for prompts: [[Int]], _ request: CompletionRequest, _ engine: any TextEngine
    ) throws -> [GenerationRequest] {
        let ranks = request.bestOf > request.generation.choiceCount
        return try prompts.enumerated().flatMap { index, prompt in
            let parameter = prompts.count == 1 ? "prompt" : "prompt[\(index)]"
            let room = try room(after: prompt, asked: request.maximumTokens, parameter: parameter, engine)
            guard room > 0 else { return [GenerationRequest]() }
            return (0..<request.bestOf).map { sequence in
                request.generation.engineRequest(
                    promptTokens: prompt, maximumTokens: room, sequence: sequence,
                    topLogProbabilities: request.logProbabilities ?? (ranks ? 0 : nil))
            }
        }
    }

    /// A prompt's `n` answers: the likeliest first where `best_of` asks for a choice, else as they were generated.
    private func best(of sequences: [Choice], forPrompt index: Int, _ request: CompletionRequest) -> [Choice] {
        let candidates = sequences[index * request.bestOf..<(index + 1) * request.bestOf]
        guard request.bestOf > request.generation.choiceCount else { return Array(candidates) }
        return Array(
            candidates.sorted { $0.meanLogProbability > $1.meanLogProbability }.prefix(request.generation.choiceCount))
    }

    private func tokens(
        of prompt: CompletionRequest.Prompt, parameter: String, _ engine: any TextEngine
    ) throws -> [Int] {
        switch prompt {
        case .text(let text):
            return engine.tokenizer.encode(text, addingSpecialTokens: true)
        case .tokens(let ids):
            try requireKnown(ids, parameter: parameter, engine)
            return ids
        }
    }

    private func text(of prompt: CompletionRequest.Prompt, _ tokens: [Int], _ engine: any TextEngine) -> String {
        switch prompt {
        case .text(let text): text
        case .tokens: engine.tokenizer.decode(tokens, skippingSpecialTokens: true)
        }
    }

    /// Checks that the model has all of the tokens.
    ///
    /// - Throws: ``APIError`` (400) that names the first one that it has not.
    func requireKnown(_ ids: [Int], parameter: String, _ engine: any TextEngine) throws {
        let size = engine.tokenizer.vocabularySize
        guard let index = ids.firstIndex(where: { $0 >= size }) else { return }
        throw APIError.invalid(
            "\(parameter)[\(index)]", "expected a token id below \(size), found \(ids[index])")
    }
}
