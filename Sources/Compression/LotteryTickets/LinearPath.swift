import CoppiceNetworks
import CoppiceTraining

/// The errors of the networks on the straight line between two trainings: how much of a barrier lies between them.
///
/// Frankle, Dziugaite, Roy and Carbin, "Linear mode connectivity and the lottery ticket hypothesis" (2020): below 2 %
/// the two lie in one basin, and the network is stable. Running statistics lie on the line too.
public struct LinearPath: Sendable, Hashable, Codable {
    /// Errors from the first end to the second, at equal distances.
    public let errors: [Double]

    /// - Parameter errors: at least those of both ends.
    public init(errors: [Double]) {
        precondition(errors.count >= 2, "a path of \(errors.count) points")
        self.errors = errors
    }

    /// Measures the networks on the way; the network has the weights and masks that it had afterwards.
    ///
    /// - Parameters:
    ///   - points: networks measured, both ends included.
    ///   - error: the error of the network as it is, such as 1 − accuracy.
    /// - Complexity: `points` measurements.
    public init(
        of network: any SupervisedNetwork, from first: Snapshot, to second: Snapshot, points: Int = 11,
        error: (any SupervisedNetwork) throws -> Double
    ) rethrows {
        precondition(points >= 2, "a path of \(points) points")
        let before = Snapshot(of: network)
        defer { before.restore(network) }
        errors = try (0..<points).map { point in
            first.interpolated(to: second, at: Double(point) / Double(points - 1)).restore(network)
            return try error(network)
        }
    }

    /// The largest error on the way less the mean error of the ends; never below 0.
    public var barrier: Double { (errors.max() ?? 0) - (errors[0] + errors[errors.count - 1]) / 2 }

    /// Whether the barrier is below 2 %.
    public var isStable: Bool { barrier < 0.02 }
}
