/// Whether a sparse network matches the dense one: as accurate, within a standard deviation of dense trainings, after
/// no more steps.
///
/// Frankle, Dziugaite, Roy and Carbin, "Stabilizing the lottery ticket hypothesis" (2019), section 2.
public struct MatchingVerdict: Sendable, Hashable {
    /// The mean accuracy of dense trainings.
    public let denseMean: Double
    /// Their standard deviation, with n − 1; 0 of one.
    public let denseDeviation: Double

    /// - Parameter accuracies: of dense networks after all steps, at least one.
    public init(dense accuracies: [Double]) {
        precondition(!accuracies.isEmpty, "no dense network to match")
        let count = Double(accuracies.count)
        let mean = accuracies.reduce(0, +) / count
        denseMean = mean
        let squares = accuracies.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        denseDeviation = accuracies.count > 1 ? (squares / (count - 1)).squareRoot() : 0
    }

    /// The accuracy from which a sparse network matches.
    public var threshold: Double { denseMean - denseDeviation }

    /// Whether a network of an accuracy matches.
    public func isMatched(by accuracy: Double) -> Bool { accuracy >= threshold }
}
