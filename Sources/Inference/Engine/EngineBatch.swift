import CoppiceModels
import CoppiceTensors

/// The requests that an engine holds, and one step of computing them. Lives on the engine's thread.
struct EngineBatch {
    private struct Running {
        var submission: EngineLoop.Submission
        /// Known tokens that are not in the cache: the rest of the prompt, or the last generated one.
        var pending: ArraySlice<Int>
        var isDecoding = false
    }

    private let model: LanguageModel
    private let cache: KeyValueCache
    private let policy: any BatchPolicy
    private let budget: BatchBudget
    private let scratch = SamplingScratch()
    private var waiting: [EngineLoop.Submission] = []
    /// In order of arrival.
    private var running: [Running] = []
    private var counters = EngineStatistics()

    init(model: LanguageModel, cache: KeyValueCache, policy: any BatchPolicy, budget: BatchBudget) {
        self.model = model
        self.cache = cache
        self.policy = policy
        self.budget = budget
    }

    var isEmpty: Bool { waiting.isEmpty && running.isEmpty }
    var waitingCount: Int { waiting.count }

    var statistics: EngineStatistics {
        var statistics = counters
        statistics.runningRequests = running.count
        statistics.waitingRequests = waiting.count
        statistics.cacheTokensUsed = cache.usedPositions
        statistics.cacheBytes = cache.byteCount
        return statistics
    }

    mutating func enqueue(_ submission: EngineLoop.Submission) { waiting.append(submission) }

    /// Drops a request whose reader has gone. One that is not here has ended already.
    mutating func cancel(_ sequence: SequenceID) {
        if let index = waiting.firstIndex(where: { $0.sequence == sequence }) {
            waiting.remove(at: index)
            counters.cancelledRequests += 1
        } else if let index = index(of: sequence) {
            remove(at: index)
            counters.cancelledRequests += 1
        }
    }

    /// Ends everything now, telling the readers.
    mutating func cutOff() {
        for submission in waiting + running.map(\.submission) {
            cache.remove(submission.sequence)
            let last = submission.progress.request.promptTokens.last ?? 0
            submission.events.yield(GenerationEvent(token: last, text: "", finishReason: .cancelled))
            submission.events.finish()
            counters.cancelledRequests += 1
        }
        waiting = []
        running = []
    }

    /// Computes one pass as the policy decides. False when there is nothing to compute.
    mutating func step() -> Bool {
        let plan = policy.nextBatch(state, budget: budget)
        for sequence in plan.admitted { admit(sequence) }
        let rows = plan.rows.filter { row in running.contains { $0.submission.sequence == row.sequence } }
        guard !rows.isEmpty else { return false }
        var tokens: [Int] = []
        for row in rows {
            if let index = index(of: row.sequence) { tokens += running[index].pending.prefix(row.count) }
        }
        do {
            let logits = try model.forward(rows, tokens: tokens, cache: cache)
            counters.forwardPasses += 1
            for (position, row) in rows.enumerated() { advance(row, logits[position]) }
        } catch {
            for row in rows { fail(row.sequence, error) }
        }
        return true
    }

    private var state: SchedulerState {
        SchedulerState(
            waiting: waiting.map {
                .init(
                    sequence: $0.sequence, promptTokens: $0.progress.request.promptTokens.count,
                    cacheTokens: cache.reservation($0.progress.positions))
            },
            running: running.map {
                .init(
                    sequence: $0.submission.sequence, cachedTokens: cache.length(of: $0.submission.sequence),
                    pendingTokens: $0.pending.count, isDecoding: $0.isDecoding)
            },
            freeCacheTokens: cache.freePositions)
    }

    private mutating func admit(_ sequence: SequenceID) {
        guard let index = waiting.firstIndex(where: { $0.sequence == sequence }) else { return }
        let submission = waiting.remove(at: index)
        let prompt = submission.progress.request.promptTokens
        do {
            try cache.add(sequence, reserving: submission.progress.positions)
            cache.plan(sequence, length: prompt.count)
            running.append(Running(submission: submission, pending: prompt[...]))
        } catch {
            submission.events.finish(throwing: error)
            counters.cancelledRequests += 1
        }
    }

    private mutating func advance(_ row: Row, _ logits: UnsafeBufferPointer<Float>) {
        guard let index = index(of: row.sequence) else { return }
        running[index].pending = running[index].pending.dropFirst(row.count)
        if !running[index].isDecoding { counters.promptTokens += row.count }
        guard running[index].pending.isEmpty else { return }
        running[index].isDecoding = true
        guard let event = running[index].submission.progress.next(logits, scratch) else {
            return fail(row.sequence, model.nonFiniteLogits())
        }
        counters.generatedTokens += 1
        running[index].submission.events.yield(event)
        if event.finishReason == nil {
            running[index].pending = [event.token]
        } else {
            running[index].submission.events.finish()
            remove(at: index)
            counters.finishedRequests += 1
        }
    }

    private mutating func fail(_ sequence: SequenceID, _ error: any Error) {
        guard let index = index(of: sequence) else { return }
        running[index].submission.events.finish(throwing: error)
        remove(at: index)
        counters.cancelledRequests += 1
    }

    private func index(of sequence: SequenceID) -> Int? {
        running.firstIndex { $0.submission.sequence == sequence }
    }

    private mutating func remove(at index: Int) {
        cache.remove(running[index].submission.sequence)
        running.remove(at: index)
    }
}
