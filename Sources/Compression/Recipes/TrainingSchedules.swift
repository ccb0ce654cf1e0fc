/// The schedule `dynamic`: see ``DynamicSparseTraining``.
public struct DynamicOptions: Sendable, Hashable, CustomStringConvertible {
    /// Where connections grow.
    public enum Rule: String, Sendable, Hashable, CaseIterable {
        /// Where the gradient is largest; fewer and fewer move.
        case rigl
        /// At random places; the same part moves each time.
        case set
    }

    public var rule: Rule
    /// The part of a weight's connections that moves, at first.
    public var drop = 0.3
    /// Steps between moves.
    public var every = 100
    /// The epoch from which connections stay.
    public var end: Double

    public init(_ rule: Rule, end: Double) {
        self.rule = rule
        self.end = end
    }

    /// As a recipe would have it.
    public var description: String { "{ kind: dynamic, by: \(rule), drop: \(drop), every: \(every), end: \(end) }" }
}

/// The schedule `sap`: see ``AdaptiveSparsity``.
public struct AdaptiveOptions: Sendable, Hashable, CustomStringConvertible {
    /// The round whose network is the result.
    public enum Keep: Sendable, Hashable, CustomStringConvertible {
        case last
        /// The sparsest whose accuracy is at most a tolerance (of 1) below the best round's, on a tenth of the training
        /// images, which no round is trained on.
        case best(tolerance: Double)

        /// As a recipe would have it.
        public var description: String {
            switch self {
            case .last: "keep: last"
            case .best(let tolerance): "keep: best, tolerance: \(tolerance)"
            }
        }
    }

    /// Prunings, at most, each after a whole training; one more training follows.
    public var rounds = 10
    /// The epoch whose weights the kept ones go back to; nil: they stay.
    public var rewind: Double? = 0
    /// p and q.
    public var index = PQIndex.gentle
    public var scope = AdaptiveSparsity.Scope.layer
    /// η.
    public var tail = 0.0
    /// γ.
    public var aggressiveness = 1.0
    /// β.
    public var cap = 0.9
    public var keep = Keep.last

    public init() {}

    /// - Throws: `.usage` for options out of range.
    func sparsity() throws -> AdaptiveSparsity {
        try AdaptiveSparsity(index, scope: scope, tail: tail, aggressiveness: aggressiveness, cap: cap)
    }

    /// As a recipe would have it.
    public var description: String {
        "{ kind: sap, rounds: \(rounds), rewind: \(rewind.map { "\($0)" } ?? "none"), p: \(index.p), q: \(index.q), "
            + "scope: \(scope), eta: \(tail), gamma: \(aggressiveness), beta: \(cap), \(keep) }"
    }
}
