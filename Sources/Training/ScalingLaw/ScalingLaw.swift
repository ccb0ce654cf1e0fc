import Foundation

/// L(N, D) = E + A / N^α + B / D^β: the loss of a language model by its size and the tokens it was trained on.
///
/// With N̄, the average number of parameters over training, in place of N, the same law holds for models that are
/// pruned while they are trained ("The Journey Matters: Average Parameter Count over Pre-training Unifies Sparse and
/// Dense Scaling Laws", 2025). The form is that of Hoffmann et al., "Training compute-optimal large language models"
/// (2022), equation 2.
public struct ScalingLaw: Sendable, Hashable, Codable {
    /// E, the loss that no model goes below, in nats a token.
    public var irreducibleLoss: Double
    /// A.
    public var parameterScale: Double
    /// B.
    public var tokenScale: Double
    /// α.
    public var parameterExponent: Double
    /// β.
    public var tokenExponent: Double

    public init(
        irreducibleLoss: Double, parameterScale: Double, tokenScale: Double, parameterExponent: Double,
        tokenExponent: Double
    ) {
        self.irreducibleLoss = irreducibleLoss
        self.parameterScale = parameterScale
        self.tokenScale = tokenScale
        self.parameterExponent = parameterExponent
        self.tokenExponent = tokenExponent
    }

    /// As fitted to dense models of up to 16 billion parameters on MassiveText (Hoffmann et al. 2022, section D.2).
    public static let chinchilla = ScalingLaw(
        irreducibleLoss: 1.69, parameterScale: 406.4, tokenScale: 410.7, parameterExponent: 0.34, tokenExponent: 0.28)

    /// The loss in nats a token.
    ///
    /// - Parameters:
    ///   - parameters: N of a dense model, N̄ of one that is pruned while it is trained.
    ///   - tokens: D, repeats counted.
    public func loss(parameters: Double, tokens: Double) -> Double {
        irreducibleLoss + parameterScale / pow(parameters, parameterExponent) + tokenScale / pow(tokens, tokenExponent)
    }

    /// The size and tokens of the lowest loss for 6 N D operations of training: N = G (C / 6)^(β / (α + β)) with
    /// G = (α A / β B)^(1 / (α + β)) (Hoffmann et al. 2022, equation 4).
    public func computeOptimum(operations: Double) -> (parameters: Double, tokens: Double) {
        let sum = parameterExponent + tokenExponent
        let ratio = parameterExponent * parameterScale / (tokenExponent * tokenScale)
        let parameters = pow(ratio, 1 / sum) * pow(operations / 6, tokenExponent / sum)
        return (parameters, operations / 6 / parameters)
    }
}
