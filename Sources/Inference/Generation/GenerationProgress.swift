import CoppiceModels
import CoppiceTensors

/// One text on its way: chooses tokens from logits, turns them into text and knows when to end.
struct GenerationProgress {
    let request: GenerationRequest
    private let endTokens: Set<Int>
    private let limit: Int
    private var sampler: Sampler
    private var detokenizer: StreamingDetokenizer
    private var stops: StopStrings
    /// Tokens chosen so far.
    private(set) var count = 0

    /// - Parameter context: positions of prompt and answer together; nil for the model's.
    /// - Throws: `usage` or `badData` for a request that does not fit the model.
    init(
        _ request: GenerationRequest, model: LanguageModel, tokenizer: any Tokenizer, context: Int? = nil
    ) throws {
        let context = context ?? model.maximumContext
        try request.validate(maximumContext: context, vocabularySize: model.vocabularySize)
        self.request = request
        endTokens = tokenizer.endTokens.union(model.configuration.endTokens)
        limit = min(request.maximumTokens, context - request.promptTokens.count)
        sampler = Sampler(request.sampling, prompt: request.promptTokens)
        detokenizer = tokenizer.streamingDecoder()
        stops = StopStrings(request.stopStrings)
    }

    /// Positions that the prompt and the longest answer take in the cache. The last token is never computed.
    var positions: Int { request.promptTokens.count + limit - 1 }

    /// Chooses the next token. Nil where a logit is NaN.
    mutating func next(_ logits: UnsafeBufferPointer<Float>, _ scratch: SamplingScratch) -> GenerationEvent? {
        guard let token = sampler.next(logits, using: scratch) else { return nil }
        count += 1
        var event = GenerationEvent(token: token, text: "")
        if let top = request.topLogProbabilities {
            event.logProbability = LogProbabilities.of(token, in: logits, top: top)
        }
        if endTokens.contains(token) && !request.ignoresEndToken {
            event.finishReason = .stop
        } else {
            event.text = stops.append(detokenizer.append(token))
            if stops.isStopped {
                event.finishReason = .stop
            } else if count >= limit {
                event.finishReason = .length
            }
        }
        if event.finishReason != nil && !stops.isStopped {
            event.text += stops.append(detokenizer.finish())
            event.text += stops.finish()
        }
        return event
    }
}
