/// What a batch engine may use.
public struct EngineLimits: Sendable, Hashable {
    /// Requests that are computed together.
    public var runningRequests: Int
    /// Requests that may wait for a place; more are refused.
    public var waitingRequests: Int
    /// Tokens of one forward pass: the longest that a running text waits for others' prompts.
    public var tokensPerPass: Int
    /// Cache positions of all running requests together; nil: as many as fit `cacheBytes`, one context at least and
    /// one for each running request at most.
    public var cachePositions: Int?
    /// Bytes of cache where `cachePositions` does not say.
    public var cacheBytes: Int
    /// How long a shutdown lets running requests go on.
    public var shutdownGrace: Duration

    public init(
        runningRequests: Int = 16, waitingRequests: Int = 256, tokensPerPass: Int = 512, cachePositions: Int? = nil,
        cacheBytes: Int = 2 << 30, shutdownGrace: Duration = .seconds(20)
    ) {
        precondition(runningRequests > 0 && waitingRequests >= 0 && tokensPerPass > 0, "a limit is not positive")
        self.runningRequests = runningRequests
        self.waitingRequests = waitingRequests
        self.tokensPerPass = tokensPerPass
        self.cachePositions = cachePositions
        self.cacheBytes = cacheBytes
        self.shutdownGrace = shutdownGrace
    }

    /// The cache's size for a model.
    func cachePositions(context: Int, bytesPerPosition: Int) -> Int {
        if let cachePositions { return cachePositions }
        let affordable = cacheBytes / max(1, bytesPerPosition)
        let (most, overflow) = context.multipliedReportingOverflow(by: runningRequests)
        return max(context, min(affordable, overflow ? affordable : most))
    }
}
