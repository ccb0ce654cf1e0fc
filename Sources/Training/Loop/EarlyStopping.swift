/// Notices when validation has stopped improving.
public struct EarlyStopping: Sendable, Hashable, Codable {
    /// Validations without a new best after which training stops; nil: never.
    public var patience: Int?
    /// The lowest validation loss so far, in nats a token.
    public private(set) var bestLoss: Double?
    /// The step count at which it was measured.
    public private(set) var bestStep: Int?
    /// Validations since the best one.
    public private(set) var validationsSinceBest = 0

    public init(patience: Int?) { self.patience = patience }

    /// Takes in a validation result.
    ///
    /// - Returns: whether it is the best so far.
    public mutating func record(_ loss: Double, step: Int) -> Bool {
        if let bestLoss, loss >= bestLoss {
            validationsSinceBest += 1
            return false
        }
        (bestLoss, bestStep, validationsSinceBest) = (loss, step, 0)
        return true
    }

    /// Whether patience has run out.
    public var shouldStop: Bool { patience.map { validationsSinceBest >= $0 } ?? false }
}
