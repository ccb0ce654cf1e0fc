/// Is told what happens in a run, to write it down.
public protocol TrainingObserver: Sendable {
    func observe(_ event: TrainingEvent) throws
}

/// Something that happened in a run.
public enum TrainingEvent: Sendable, Hashable {
    /// Training steps were taken since the last such event.
    case progress(TrainingProgress)
    /// The model was validated: mean loss in nats a token.
    case validation(step: Int, tokens: Int, loss: Double, isBest: Bool, seconds: Double)
    /// A checkpoint was written.
    case checkpoint(step: Int)
    /// The run ended.
    case end(TrainingOutcome, step: Int, tokens: Int)
}

/// How training went since the last report.
public struct TrainingProgress: Sendable, Hashable {
    /// Optimizer steps taken in all.
    public var step: Int
    /// Tokens trained on in all, repeats counted.
    public var tokens: Int
    /// Mean training loss since the last report, in nats a token.
    public var loss: Double
    /// Norm of the last step's gradient before clipping.
    public var gradientNorm: Double
    /// Rate of the last step.
    public var learningRate: Double
    /// Tokens a second since the last report, validation not counted.
    public var tokensPerSecond: Double
    /// What pruning has come to by now; nil in a dense run.
    public var pruning: TrainingResult.Pruning?

    public init(
        step: Int, tokens: Int, loss: Double, gradientNorm: Double, learningRate: Double, tokensPerSecond: Double,
        pruning: TrainingResult.Pruning? = nil
    ) {
        self.step = step
        self.tokens = tokens
        self.loss = loss
        self.gradientNorm = gradientNorm
        self.learningRate = learningRate
        self.tokensPerSecond = tokensPerSecond
        self.pruning = pruning
    }
}

/// Why a run ended.
public enum TrainingOutcome: String, Sendable, Hashable, Codable {
    /// All steps were taken.
    case completed
    /// Validation had stopped improving.
    case stoppedEarly = "stopped-early"
    /// Someone asked it to stop; it can be resumed.
    case interrupted
}
