/// A distribution of durations as Prometheus collects it: counts of observations at or below fixed bounds.
struct Histogram: Sendable {
    /// Upper bounds in seconds, ascending; what is above the last falls into `+Inf`.
    let bounds: [Double]
    /// Observations in each bucket alone, the last for `+Inf`.
    private(set) var counts: [Int]
    /// The sum of all observations, in seconds.
    private(set) var sum = 0.0

    init(bounds: [Double]) {
        self.bounds = bounds
        counts = Array(repeating: 0, count: bounds.count + 1)
    }

    mutating func observe(_ duration: Duration) {
        let seconds = Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
        counts[bounds.firstIndex { seconds <= $0 } ?? bounds.count] += 1
        sum += seconds
    }

    /// From a fast engine's first token to one that waited long in the queue.
    static let firstTokenBounds = [
        0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60,
    ]
    /// From 2,000 to half a token a second.
    static let nextTokenBounds = [
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2,
    ]
    /// From a health check to a long answer.
    static let requestBounds = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300]
}
