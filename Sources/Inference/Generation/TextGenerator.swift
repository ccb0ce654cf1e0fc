import CoppiceModels
import CoppiceTensors

/// Generates one text at a time on the calling thread, for command lines and scripts.
///
/// ```swift
/// let generator = try TextGenerator(path: "model")
/// let prompt = generator.tokenizer.encode("Once upon a time", addingSpecialTokens: true)
/// let result = try generator.generate(GenerationRequest(promptTokens: prompt, maximumTokens: 64)) { event in
///     print(event.text, terminator: "")
///     return true
/// }
/// ```
///
/// What two successive prompts have in common at their beginning is computed once: a conversation costs only its new
/// turns. Belongs to one thread at a time.
public final class TextGenerator {
    public let model: LanguageModel
    public let tokenizer: any Tokenizer
    private let cache: KeyValueCache
    private let chunk: Int
    private let scratch = SamplingScratch()
    private let sequence = SequenceID(0)
    /// The tokens whose keys and values the cache holds.
    private var cachedTokens: [Int] = []

    /// A generated text and what it took.
    public struct Result: Sendable {
        public var text: String
        public var tokens: [Int]
        public var finishReason: FinishReason
        /// Prompt tokens that were computed, and those that an earlier generation had left in the cache.
        public var computedPromptTokens: Int
        public var reusedPromptTokens: Int
        /// Time until the first token's logits.
        public var prefill: Duration
        /// Time from there to the end.
        public var decoding: Duration
    }

    /// Opens a checkpoint.
    ///
    /// - Throws: whatever is wrong with its files.
    public convenience init(
        path: String, cacheElement: KeyValueCache.Element = .f32, execution: ExecutionOptions = ExecutionOptions()
    ) throws {
        let checkpoint = try Checkpoint.open(path)
        try self.init(
            LanguageModel(checkpoint, execution: execution), tokenizer: checkpoint.tokenizer(),
            cacheElement: cacheElement)
    }

    /// - Parameters:
    ///   - window: what texts see; with it they may be longer than the model's context.
    ///   - chunk: prompt tokens that one forward pass takes.
    public init(
        _ model: LanguageModel, tokenizer: any Tokenizer, cacheElement: KeyValueCache.Element = .f32,
        window: StreamingWindow? = nil, chunk: Int = 512
    ) {
        precondition(chunk > 0)
        self.model = model
        self.tokenizer = tokenizer
        self.chunk = window == nil ? chunk : min(chunk, KeyValueCache.longestStreamingRow)
        cache = model.makeCache(
            capacity: window.map { KeyValueCache.positions(for: $0) } ?? model.maximumContext, element: cacheElement,
            window: window)
    }

    /// Prompt and answer together, in tokens: the model's context, or as many as positions can count with a window.
    public var maximumContext: Int { cache.window == nil ? model.maximumContext : Int(Int32.max) }

    /// Bytes of the cache that the last text took.
    public var cacheByteCount: Int { cache.byteCount }

    /// Generates a text.
    ///
    /// - Parameter onEvent: called with each token as it is chosen; `false` ends the text (`cancelled`).
    /// - Throws: `usage` or `badData` for a request that does not fit the model, and for weights that are not numbers.
    @discardableResult
    public func generate(
        _ request: GenerationRequest, onEvent: (GenerationEvent) throws -> Bool = { _ in true }
    ) throws -> Result {
        var progress = try GenerationProgress(
            request, model: model, tokenizer: tokenizer, context: maximumContext)
        let clock = ContinuousClock()
        let begin = clock.now
        let reused = try reuse(request.promptTokens)
        var logits = try prefill(request.promptTokens, from: reused)
        let first = clock.now

        var result = Result(
            text: "", tokens: [], finishReason: .length, computedPromptTokens: request.promptTokens.count - reused,
            reusedPromptTokens: reused, prefill: first - begin, decoding: .zero)
        while true {
            guard let event = progress.next(logits[0], scratch) else { throw model.nonFiniteLogits() }
            result.tokens.append(event.token)
            result.text += event.text
            let goesOn = try onEvent(event)
            if let reason = event.finishReason {
                result.finishReason = reason
                break
            }
            if !goesOn {
                result.finishReason = .cancelled
                break
            }
            logits = try compute([event.token])
        }
        result.decoding = clock.now - first
        return result
    }

    /// Keeps what the cache and the prompt have in common; at least the last prompt token is computed again.
    private func reuse(_ prompt: [Int]) throws -> Int {
        guard cache.contains(sequence) else {
            try cache.add(sequence, reserving: cache.capacity)
            return 0
        }
        // Beyond the context dynamic scaling turns earlier keys with the length: they cannot be kept.
        let length = min(max(prompt.count, cachedTokens.count), cache.window?.visible ?? .max)
        let common = model.rotary.dependsOnLength(length) ? 0 : zip(prompt, cachedTokens).prefix { $0 == $1 }.count
        // With a window, what an earlier place in the text sees may be gone.
        let kept = cache.truncate(sequence, to: min(common, prompt.count - 1))
        cachedTokens.removeLast(cachedTokens.count - kept)
        return kept
    }

    private func prefill(_ prompt: [Int], from start: Int) throws -> Logits {
        var position = start
        cache.plan(sequence, length: prompt.count)
        while true {
            let end = min(position + chunk, prompt.count)
            let isLast = end == prompt.count
            let logits = try compute(Array(prompt[position..<end]), isLast ? .lastOfEachRow : .none)
            if isLast { return logits }
            position = end
        }
    }

    private func compute(_ tokens: [Int], _ selection: LogitSelection = .lastOfEachRow) throws -> Logits {
        let row = Row(sequence: sequence, start: cachedTokens.count, count: tokens.count)
        let logits = try model.forward([row], tokens: tokens, cache: cache, logits: selection)
        cachedTokens += tokens
        return logits
    }
}
