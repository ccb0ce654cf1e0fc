import CoppiceInference
import CoppiceModels
import Hummingbird

extension Endpoints {
    /// `POST /v1/chat/completions`.
    func chat(_ fields: RequestFields, _ context: ServingContext) async throws -> Response {
        var request = try ChatCompletionRequest(fields, configuration: configuration)
        let engine = try directory.engine(named: request.generation.model)
        let prompt = try ChatPrompt(request.messages, for: engine)
        request.generation.stopStrings += prompt.stopStrings
        let room = try room(after: prompt.tokens, asked: request.maximumTokens, parameter: "messages", engine)
        let count = request.generation.choiceCount
        let requests = (0..<count).map { sequence in
            request.generation.engineRequest(
                promptTokens: prompt.tokens, maximumTokens: room, sequence: sequence,
                topLogProbabilities: request.logProbabilities)
        }
        let generation = try generate(requests, on: engine, context)
        let logProbabilities = request.logProbabilities.map { _ in LogProbabilityFormat(tokenizer: engine.tokenizer) }
        let format = ChatCompletionFormat(
            header: AnswerHeader(prefix: "chatcmpl-", model: engine.modelName), logProbabilities: logProbabilities)
        if request.generation.streams {
            let plan = StreamPlan(
                prefixes: Array(repeating: "", count: count), promptTokens: prompt.tokens.count,
                includesUsage: request.generation.includesUsage, endTokens: engine.tokenizer.endTokens)
            return stream(generation, format, plan)
        }
        let choices = try await collect(generation, sequenceCount: count, engine)
        let usage = Usage(
            promptTokens: prompt.tokens.count, completionTokens: choices.reduce(0) { $0 + $1.tokenCount })
        return .json(format.whole(choices, usage: usage))
    }
}
