/// Decides what the next forward pass computes.
///
/// A policy is a pure function of values, so that the code that drives the engine can also be simulated and
/// tested without a model.
public protocol BatchPolicy: Sendable {
    /// The next batch. An empty plan means that there is nothing to do until a request arrives or ends.
    func nextBatch(_ state: SchedulerState, budget: BatchBudget) -> BatchPlan
}

/// What a policy knows: the queue and the batch, each in order of arrival.
public struct SchedulerState: Sendable, Hashable {
    /// A request without a place in the batch.
    public struct Waiting: Sendable, Hashable {
        public var sequence: SequenceID
        /// Length of its prompt.
        public var promptTokens: Int
        /// Cache positions that must be reserved for it: prompt and answer.
        public var cacheTokens: Int

        public init(sequence: SequenceID, promptTokens: Int, cacheTokens: Int) {
            self.sequence = sequence
            self.promptTokens = promptTokens
            self.cacheTokens = cacheTokens
        }
    }

    /// A request with a place in the batch.
    public struct Running: Sendable, Hashable {
        public var sequence: SequenceID
        /// Tokens in the cache.
        public var cachedTokens: Int
        /// Tokens known but not computed: what is left of the prompt, or the last generated token.
        public var pendingTokens: Int
        /// Whether it has generated a token yet.
        public var isDecoding: Bool

        public init(sequence: SequenceID, cachedTokens: Int, pendingTokens: Int, isDecoding: Bool) {
            self.sequence = sequence
            self.cachedTokens = cachedTokens
            self.pendingTokens = pendingTokens
            self.isDecoding = isDecoding
        }
    }

    public var waiting: [Waiting]
    public var running: [Running]
    /// Cache positions that nobody has reserved.
    public var freeCacheTokens: Int

    public init(waiting: [Waiting] = [], running: [Running] = [], freeCacheTokens: Int) {
        self.waiting = waiting
        self.running = running
        self.freeCacheTokens = freeCacheTokens
    }
}

/// What a forward pass may take.
public struct BatchBudget: Sendable, Hashable {
    /// Tokens of all rows together.
    public var tokens: Int
    /// Requests in the batch.
    public var sequences: Int

    public init(tokens: Int, sequences: Int) {
        self.tokens = tokens
        self.sequences = sequences
    }
}

/// A policy's decision.
public struct BatchPlan: Sendable, Hashable {
    /// Requests that leave the queue and join the batch, in this order.
    public var admitted: [SequenceID]
    /// What to compute, at most one row a sequence.
    public var rows: [Row]

    public init(admitted: [SequenceID] = [], rows: [Row] = []) {
        self.admitted = admitted
        self.rows = rows
    }

    public var isEmpty: Bool { admitted.isEmpty && rows.isEmpty }
}
