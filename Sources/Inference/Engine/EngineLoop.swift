import CoppiceModels
import CoppiceTensors
import Foundation
import Synchronization

/// The part of a batch engine that its thread and its callers share: a mailbox, and the loop that empties it.
final class EngineLoop: Sendable {
    /// A request on its way to the loop.
    struct Submission: Sendable {
        var sequence: SequenceID
        var progress: GenerationProgress
        var events: AsyncThrowingStream<GenerationEvent, any Error>.Continuation
    }

    /// What callers have asked for since the loop last looked.
    struct Mail {
        var submissions: [Submission] = []
        var cancellations: [SequenceID] = []
        /// When what still runs is cut off; nil while the engine is open.
        var deadline: ContinuousClock.Instant?
    }

    private struct Shared {
        var mail = Mail()
        var nextSequence = 0
        /// Requests submitted and not yet in the batch.
        var waitingCount = 0
        var statistics = EngineStatistics()
        var hasEnded = false
        var whenEnded: [@Sendable () -> Void] = []
    }

    private let shared = Mutex(Shared())
    /// Signalled when there is mail.
    private let wakeUp = DispatchSemaphore(value: 0)
    private let model: LanguageModel
    private let tokenizer: any Tokenizer
    private let limits: EngineLimits
    private let policy: any BatchPolicy
    private let cacheElement: KeyValueCache.Element
    private let cachePositions: Int
    private let window: StreamingWindow?

    init(
        _ model: LanguageModel, _ tokenizer: any Tokenizer, _ limits: EngineLimits, _ policy: any BatchPolicy,
        _ cacheElement: KeyValueCache.Element, _ window: StreamingWindow?
    ) {
        self.model = model
        self.tokenizer = tokenizer
        self.limits = limits
        self.policy = policy
        self.cacheElement = cacheElement
        self.window = window
        let sample = model.makeCache(capacity: 1, element: cacheElement)
        let positions = limits.cachePositions(
            context: window.map { KeyValueCache.positions(for: $0) } ?? model.maximumContext,
            bytesPerPosition: sample.bytesPerPosition)
        cachePositions = KeyValueCache.blocks(positions) * KeyValueCache.blockSize
        shared.withLock { $0.statistics.cacheTokensCapacity = cachePositions }
    }

    /// Prompt and answer together: what the model and the cache allow; with a window that the cache has room for, as
    /// many as positions can count.
    var maximumContext: Int {
        guard let window else { return min(model.maximumContext, cachePositions) }
        return cachePositions < KeyValueCache.positions(for: window) ? cachePositions : Int(Int32.max)
    }

    /// Tokens of an answer that nobody has set a limit for.
    var longestUnlimitedAnswer: Int { min(model.maximumContext, maximumContext) }

    // MARK: For callers

    func submit(_ request: GenerationRequest) throws -> AsyncThrowingStream<GenerationEvent, any Error> {
        try request.validate(maximumContext: maximumContext, vocabularySize: model.vocabularySize)
        var request = request
        request.maximumTokens = min(request.maximumTokens, maximumContext - request.promptTokens.count)
        let progress = try GenerationProgress(
            request, model: model, tokenizer: tokenizer, context: maximumContext)
        let (stream, events) = AsyncThrowingStream.makeStream(of: GenerationEvent.self)
        let sequence = try shared.withLock { shared in
            guard shared.mail.deadline == nil else {
                throw CoppiceError(.unavailable, field: "engine", "it is shutting down")
            }
            guard shared.waitingCount < limits.waitingRequests + freePlaces(shared.statistics) else {
                throw CoppiceError(
                    .unavailable, field: "engine", "\(shared.waitingCount) requests are waiting already")
            }
            let sequence = SequenceID(shared.nextSequence)
            shared.nextSequence += 1
            shared.waitingCount += 1
            shared.mail.submissions.append(Submission(sequence: sequence, progress: progress, events: events))
            return sequence
        }
        events.onTermination = { [weak self] termination in
            guard case .cancelled = termination, let self else { return }
            shared.withLock { $0.mail.cancellations.append(sequence) }
            wakeUp.signal()
        }
        wakeUp.signal()
        return stream
    }

    private func freePlaces(_ statistics: EngineStatistics) -> Int {
        max(0, limits.runningRequests - statistics.runningRequests)
    }

    func statistics() -> EngineStatistics {
        shared.withLock { shared in
            var statistics = shared.statistics
            statistics.waitingRequests = shared.waitingCount
            return statistics
        }
    }

    /// Closes the engine; the earliest of several deadlines counts.
    func stop(within grace: Duration, then action: (@Sendable () -> Void)?) {
        let deadline = ContinuousClock.now + grace
        let hasEnded = shared.withLock { shared in
            shared.mail.deadline = shared.mail.deadline.map { min($0, deadline) } ?? deadline
            if !shared.hasEnded, let action { shared.whenEnded.append(action) }
            return shared.hasEnded
        }
        wakeUp.signal()
        if hasEnded { action?() }
    }

    // MARK: On the engine's thread

    /// Computes until the engine is stopped and nothing runs any more.
    func run() {
        var batch = EngineBatch(
            model: model, cache: model.makeCache(capacity: cachePositions, element: cacheElement, window: window),
            policy: policy,
            budget: BatchBudget(
                tokens: window == nil
                    ? limits.tokensPerPass : min(limits.tokensPerPass, KeyValueCache.longestStreamingRow),
                sequences: limits.runningRequests))
        while true {
            let mail = shared.withLock { shared in
                defer {
                    shared.mail.submissions = []
                    shared.mail.cancellations = []
                }
                return shared.mail
            }
            for submission in mail.submissions { batch.enqueue(submission) }
            for sequence in mail.cancellations { batch.cancel(sequence) }
            if let deadline = mail.deadline {
                if ContinuousClock.now >= deadline { batch.cutOff() }
                if batch.isEmpty { break }
            }
            let didWork = batch.step()
            publish(batch)
            // Nothing can be computed before somebody writes, or the deadline passes.
            if !didWork {
                if let deadline = mail.deadline {
                    let seconds = max(0, (deadline - .now) / .seconds(1))
                    _ = wakeUp.wait(timeout: .now() + seconds)
                } else {
                    wakeUp.wait()
                }
            }
        }
        publish(batch)
        let actions = shared.withLock { shared in
            shared.hasEnded = true
            defer { shared.whenEnded = [] }
            return shared.whenEnded
        }
        for action in actions { action() }
    }

    private func publish(_ batch: EngineBatch) {
        shared.withLock { shared in
            var statistics = batch.statistics
            statistics.cacheTokensCapacity = cachePositions
            shared.waitingCount = batch.waitingCount + shared.mail.submissions.count
            shared.statistics = statistics
        }
    }
}
