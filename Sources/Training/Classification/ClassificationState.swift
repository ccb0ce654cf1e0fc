/// Where a run on images is: everything but the tensors that its continuation depends on.
public struct ClassificationState: Sendable, Hashable, Codable {
    /// One row of the curve.
    public struct CurvePoint: Sendable, Hashable, Codable {
        /// Optimizer steps taken.
        public var step: Int
        public var epoch: Double
        /// Mean training loss since the row before, in nats; smoothed labels count as they are.
        public var trainingLoss: Double
        /// Mean loss over the validation images, in nats.
        public var validationLoss: Double?
        /// The part of the validation images that is classified right.
        public var accuracy: Double?
    }

    /// Optimizer steps taken.
    public internal(set) var step = 0
    public internal(set) var curve: [CurvePoint] = []
    /// The row of the best accuracy so far; of equal ones, that of the lowest loss.
    public internal(set) var best: CurvePoint?
    public internal(set) var validationsSinceBest = 0
    var lossSinceLog = TrainingState.RunningMean()
    var lossSincePoint = TrainingState.RunningMean()

    public init() {}

    /// Takes in a row.
    ///
    /// - Parameter competes: whether it may become the best.
    /// - Returns: whether it is the best so far.
    mutating func record(_ point: CurvePoint, competes: Bool = true) -> Bool {
        curve.append(point)
        guard competes else { return false }
        guard let accuracy = point.accuracy, let loss = point.validationLoss else { return false }
        if let best, let bestAccuracy = best.accuracy, let bestLoss = best.validationLoss,
            accuracy < bestAccuracy || accuracy == bestAccuracy && loss >= bestLoss
        {
            validationsSinceBest += 1
            return false
        }
        (best, validationsSinceBest) = (point, 0)
        return true
    }
}
