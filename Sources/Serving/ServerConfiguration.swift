import CoppiceTensors

/// Everything that a server can be told, as one value that is passed once.
///
/// The defaults suit one machine that serves a handful of users: loopback only, no keys, limits that no honest client
/// meets.
public struct ServerConfiguration: Sendable {
    /// The address or host name to listen on; `0.0.0.0` or `::` for all interfaces.
    public var host = "127.0.0.1"
    /// The TCP port; 0 lets the system choose a free one, which ``CoppiceServer/address()`` reports.
    public var port = 8080
    /// The keys that clients must present as `Authorization: Bearer KEY`; `nil` admits everyone.
    public var apiKeys: APIKeys?

    /// The largest request body accepted, in bytes; larger ones are answered 413.
    public var maximumBodyBytes = 4 << 20
    /// The largest sum of a request's header fields, in bytes.
    public var maximumHeaderBytes = 32 << 10
    /// Connections held open at once; further ones wait in the listening socket's backlog.
    public var maximumConnections = 512
    /// Sequences that one request may start: prompts × `best_of` (or `n`).
    public var maximumChoices = 64
    /// Strings that `stop` may list.
    public var maximumStopStrings = 16
    /// Alternatives that `logprobs` and `top_logprobs` may ask for at each token.
    public var maximumLogProbabilities = 20
    /// `max_tokens` of `/v1/completions` when the request has none. (A chat completion may fill the context.)
    public var defaultMaximumTokens = 16

    /// How long a connection may stay without a request, or take to send a request's head.
    public var idleTimeout: Duration = .seconds(60)
    /// How long a request's body may take from its head to its last byte.
    public var bodyTimeout: Duration = .seconds(30)
    /// How long a client may leave what was sent to it unread before it is dropped.
    public var writeTimeout: Duration = .seconds(60)
    /// How long running requests may go on after a shutdown was asked for; what is left then is ended with an error.
    public var shutdownDeadline: Duration = .seconds(30)
    /// How long, after a shutdown was asked for, the socket still accepts and answers 503, so that a load balancer
    /// that polls `/health` notices before connections are refused.
    public var drainDelay: Duration = .zero

    /// Whether each request is logged (method, path, status, duration) at level `info`.
    public var logsRequests = false

    public init() {}

    /// Checks that every value is in its range.
    ///
    /// - Throws: `CoppiceError` of kind `.usage` that names the first value that is not.
    func validate() throws {
        func require(_ condition: Bool, _ field: String, _ expectation: String) throws {
            guard condition else { throw CoppiceError(.usage, source: "server", field: field, expectation) }
        }
        try require(!host.isEmpty, "host", "must not be empty")
        try require((0...65_535).contains(port), "port", "expected 0…65535, found \(port)")
        let counts = [
            ("maximumBodyBytes", maximumBodyBytes), ("maximumHeaderBytes", maximumHeaderBytes),
            ("maximumConnections", maximumConnections), ("maximumChoices", maximumChoices),
            ("maximumStopStrings", maximumStopStrings), ("defaultMaximumTokens", defaultMaximumTokens),
        ]
        for (field, count) in counts {
            try require((1...Int(Int32.max)).contains(count), field, "expected 1…\(Int32.max), found \(count)")
        }
        try require(maximumLogProbabilities >= 0, "maximumLogProbabilities", "must not be negative")
        let timeouts = [("idleTimeout", idleTimeout), ("bodyTimeout", bodyTimeout), ("writeTimeout", writeTimeout)]
        for (field, duration) in timeouts {
            try require(duration > .zero, field, "must be longer than zero")
        }
        try require(shutdownDeadline >= .zero, "shutdownDeadline", "must not be negative")
        try require(drainDelay >= .zero, "drainDelay", "must not be negative")
    }
}
