import CoppiceInference
import CoppiceModels
import CoppiceTensors
import Synchronization

/// Tokens are bytes; 256 begins a text and 257 ends one.
struct ByteTokenizer: Tokenizer {
    let vocabularySize = 258
    let beginToken: Int? = 256
    let endTokens: Set<Int> = [257]

    func encode(_ text: String, addingSpecialTokens: Bool) -> [Int] {
        (addingSpecialTokens ? [256] : []) + text.utf8.map { Int($0) }
    }

    func encode(_ text: String, parsingSpecialTokens: Bool) -> [Int] { text.utf8.map { Int($0) } }

    func decode(_ ids: [Int], skippingSpecialTokens: Bool) -> String {
        String(
            decoding: ids.flatMap { $0 > 255 ? (skippingSpecialTokens ? [] : Array(piece($0).utf8)) : bytes(of: $0) },
            as: UTF8.self)
    }

    func piece(_ id: Int) -> String {
        switch id {
        case 256: "<s>"
        case 257: "</s>"
        default: String(decoding: bytes(of: id), as: UTF8.self)
        }
    }

    func bytes(of id: Int) -> [UInt8] { id > 255 ? Array(piece(id).utf8) : [UInt8(id)] }
}

/// An engine whose every answer is known: it writes what its script says, a byte a token.
final class ScriptedEngine: TextEngine {
    let modelName: String
    let maximumContext: Int
    let tokenizer: any Tokenizer = ByteTokenizer()
    let chatTemplate: ChatTemplate?

    /// What to write for a request.
    let script: @Sendable (GenerationRequest) -> String
    let tokenDelay: Duration
    /// Fails after this many tokens.
    let failure: Int?
    let capacity: Int

    struct Record: Sendable {
        var requests: [GenerationRequest] = []
        var running = 0
        var mostRunning = 0
        var completed = 0
        var cancelled = 0
        var tokens = 0
        var isShutDown = false
    }

    private let state = Mutex(Record())
    var record: Record { state.withLock { $0 } }

    init(
        name: String = "scripted", context: Int = 1024, template: ChatTemplate? = nil, tokenDelay: Duration = .zero,
        failure: Int? = nil, capacity: Int = .max,
        script: @escaping @Sendable (GenerationRequest) -> String = { _ in "Once upon a time" }
    ) {
        modelName = name
        maximumContext = context
        chatTemplate = template
        self.tokenDelay = tokenDelay
        self.failure = failure
        self.capacity = capacity
        self.script = script
    }

    func submit(_ request: GenerationRequest) throws -> AsyncThrowingStream<GenerationEvent, any Error> {
        try request.validate(maximumContext: maximumContext, vocabularySize: tokenizer.vocabularySize)
        try state.withLock { state in
            guard state.running < capacity, !state.isShutDown else {
                throw CoppiceError(.unavailable, source: modelName, "the queue is full (\(capacity) requests)")
            }
            state.requests.append(request)
            state.running += 1
            state.mostRunning = max(state.mostRunning, state.running)
        }
        let (stream, continuation) = AsyncThrowingStream.makeStream(of: GenerationEvent.self)
        let task = Task {
            do {
                try await write(request, to: continuation)
                continuation.finish()
            } catch {
                continuation.finish(throwing: error)
            }
        }
        continuation.onTermination = { [self] termination in
            task.cancel()
            state.withLock { state in
                state.running -= 1
                if case .cancelled = termination { state.cancelled += 1 } else { state.completed += 1 }
            }
        }
        return stream
    }

    private func write(
        _ request: GenerationRequest, to continuation: AsyncThrowingStream<GenerationEvent, any Error>.Continuation
    ) async throws {
        var bytes = Array(script(request).utf8)
        var endsByStop = false
        for stop in request.stopStrings {
            let text = String(decoding: bytes, as: UTF8.self)
            if let range = text.firstRange(of: stop) {
                bytes = Array(text[..<range.lowerBound].utf8)
                endsByStop = true
            }
        }
        for (index, byte) in bytes.enumerated() {
            if tokenDelay > .zero { try await Task.sleep(for: tokenDelay) }
            if failure == index { throw CoppiceError(.internal, "a kernel failed with secret details") }
            let isLast = index + 1 == request.maximumTokens
            let endsHere = endsByStop && index + 1 == bytes.count
            let score = request.topLogProbabilities.map { count in
                TokenLogProbability(
                    logProbability: -Double(index + 1) / 8,
                    top: (0..<count).map {
                        .init(token: Int(byte) + $0, logProbability: $0 == 3 ? -.infinity : -Double(index + $0) / 8)
                    })
            }
            state.withLock { $0.tokens += 1 }
            continuation.yield(
                GenerationEvent(
                    token: Int(byte), text: String(decoding: [byte], as: UTF8.self), logProbability: score,
                    finishReason: isLast ? .length : endsHere ? .stop : nil))
            if isLast || endsHere { return }
        }
        continuation.yield(
            GenerationEvent(
                token: 257, text: "",
                logProbability: request.topLogProbabilities.map { _ in .init(logProbability: -1, top: []) },
                finishReason: .stop))
    }

    func statistics() -> EngineStatistics {
        var statistics = EngineStatistics()
        statistics.runningRequests = record.running
        statistics.cacheTokensCapacity = 4096
        return statistics
    }

    func shutdown() async { state.withLock { $0.isShutDown = true } }
}
