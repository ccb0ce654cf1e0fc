import CoppiceModels
import CoppiceTensors
import Foundation

/// Generates text for several requests at once: continuous batching on a thread of its own.
///
/// ```swift
/// let engine = try BatchEngine(path: "model")
/// for try await event in try engine.submit(request) { print(event.text, terminator: "") }
/// await engine.shutdown()
/// ```
///
/// Before each forward pass the policy decides what it computes; requests join and leave between passes, token by
/// token (Yu et al., Orca, 2022). An engine that is let go of ends at once.
public final class BatchEngine: TextEngine {
    public let modelName: String
    public let tokenizer: any Tokenizer
    public let chatTemplate: ChatTemplate?
    public var maximumContext: Int { loop.maximumContext }
    public var longestUnlimitedAnswer: Int { loop.longestUnlimitedAnswer }
    private let loop: EngineLoop
    private let grace: Duration

    /// An engine for the checkpoint at `path`.
    ///
    /// - Parameter modelName: nil for the path's last component.
    /// - Throws: whatever is wrong with the checkpoint's files.
    public convenience init(
        path: String, modelName: String? = nil, limits: EngineLimits = EngineLimits(),
        cacheElement: KeyValueCache.Element = .f32, execution: ExecutionOptions = ExecutionOptions()
    ) throws {
        let checkpoint = try Checkpoint.open(path)
        let name = URL(fileURLWithPath: path).deletingPathExtension().lastPathComponent
        try self.init(
            LanguageModel(checkpoint, execution: execution), modelName: modelName ?? name,
            tokenizer: checkpoint.tokenizer(),
            chatTemplate: checkpoint.chatTemplate.map { try ChatTemplate($0) }, limits: limits,
            cacheElement: cacheElement)
    }

    /// - Parameter window: what texts see; with it they may be longer than the model's context.
    public init(
        _ model: LanguageModel, modelName: String, tokenizer: any Tokenizer, chatTemplate: ChatTemplate? = nil,
        limits: EngineLimits = EngineLimits(), policy: any BatchPolicy = ChunkedPrefillPolicy(),
        cacheElement: KeyValueCache.Element = .f32, window: StreamingWindow? = nil
    ) {
        self.modelName = modelName
        self.tokenizer = tokenizer
        self.chatTemplate = chatTemplate
        grace = limits.shutdownGrace
        loop = EngineLoop(model, tokenizer, limits, policy, cacheElement, window)
        let loop = loop
        let thread = Thread { loop.run() }
        thread.name = "coppice-engine"
        thread.stackSize = 8 << 20
        thread.start()
    }

    deinit { loop.stop(within: .zero, then: nil) }

    public func submit(_ request: GenerationRequest) throws -> AsyncThrowingStream<GenerationEvent, any Error> {
        try loop.submit(request)
    }

    public func statistics() -> EngineStatistics { loop.statistics() }

    public func shutdown() async {
        await withCheckedContinuation { ended in loop.stop(within: grace) { ended.resume() } }
    }
}
