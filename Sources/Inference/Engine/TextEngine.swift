import CoppiceModels

/// Something that generates text for many requests at once: what the server talks to.
public protocol TextEngine: Sendable {
    /// The name under which the model is offered.
    var modelName: String { get }
    /// Prompt and answer together, in tokens.
    var maximumContext: Int { get }
    /// Tokens that an answer may have for which the client sets no limit; ``maximumContext`` by default.
    var longestUnlimitedAnswer: Int { get }
    var tokenizer: any Tokenizer { get }
    /// How a conversation becomes a prompt, where the model has a template.
    var chatTemplate: ChatTemplate? { get }

    /// Queues a request. Events arrive as tokens are generated; the last one has a finish reason. Dropping the
    /// stream (or cancelling the task that reads it) cancels the request and frees its cache.
    ///
    /// - Throws: `CoppiceError` of kind `usage` or `badData` for a request that can never run, `unavailable` when
    ///   the queue is full or the engine is shutting down. An error during generation ends the stream.
    func submit(_ request: GenerationRequest) throws -> AsyncThrowingStream<GenerationEvent, any Error>

    /// A snapshot for metrics.
    func statistics() -> EngineStatistics

    /// Takes no new requests, lets running ones finish up to the engine's deadline, cancels the rest and returns
    /// when nothing runs any more. Further calls wait for the same end.
    func shutdown() async
}

extension TextEngine {
    public var longestUnlimitedAnswer: Int { maximumContext }
}

/// What an engine is doing and has done. Counters only grow.
public struct EngineStatistics: Sendable, Hashable {
    /// Requests with a place in the batch.
    public var runningRequests = 0
    /// Requests in the queue.
    public var waitingRequests = 0
    /// Requests that ended by themselves since the start.
    public var finishedRequests = 0
    /// Requests that were dropped or cut off since the start.
    public var cancelledRequests = 0
    /// Prompt tokens computed since the start.
    public var promptTokens = 0
    /// Tokens generated since the start.
    public var generatedTokens = 0
    /// Forward passes since the start.
    public var forwardPasses = 0
    /// Cache positions that running requests hold.
    public var cacheTokensUsed = 0
    /// Cache positions that running requests can hold together.
    public var cacheTokensCapacity = 0
    /// Bytes of the cache in use.
    public var cacheBytes = 0

    public init() {}
}
