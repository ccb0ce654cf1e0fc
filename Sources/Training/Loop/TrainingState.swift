/// Where a run is: everything but the tensors that its continuation depends on.
///
/// Random numbers and the order of the windows are functions of the seed and the step, so the step stands for them.
public struct TrainingState: Sendable, Hashable, Codable {
    /// One row of the loss curve.
    public struct CurvePoint: Sendable, Hashable, Codable {
        /// Optimizer steps taken.
        public var step: Int
        /// Tokens that the model was trained on, repeats counted.
        public var tokens: Int
        /// Mean training loss since the row before, in nats a token.
        public var trainingLoss: Double
        /// Mean loss over the validation text, in nats a token.
        public var validationLoss: Double?

        public init(step: Int, tokens: Int, trainingLoss: Double, validationLoss: Double?) {
            self.step = step
            self.tokens = tokens
            self.trainingLoss = trainingLoss
            self.validationLoss = validationLoss
        }
    }

    /// A sum of losses whose mean is wanted later.
    struct RunningMean: Sendable, Hashable, Codable {
        private(set) var sum = 0.0
        private(set) var count = 0

        mutating func add(_ value: Double) {
            sum += value
            count += 1
        }

        /// The mean so far, and a new start.
        mutating func take() -> Double {
            defer { self = RunningMean() }
            return sum / Double(max(1, count))
        }
    }

    /// Optimizer steps taken.
    public internal(set) var step = 0
    /// Tokens that the model was trained on, repeats counted.
    public internal(set) var tokens = 0
    public internal(set) var stopping: EarlyStopping
    public internal(set) var curve: [CurvePoint] = []
    var lossSinceLog = RunningMean()
    var lossSincePoint = RunningMean()

    public init(patience: Int? = nil) { stopping = EarlyStopping(patience: patience) }
}
