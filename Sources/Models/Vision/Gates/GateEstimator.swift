import CoppiceTensors

/// How a gate that is open or closed gets a gradient: forwards it is the step 1[z > 0], backwards something smooth
/// stands in for it (Bengio et al., "Estimating or propagating gradients through stochastic neurons", 2013).
public enum GateEstimator: String, Sendable, Hashable, CaseIterable {
    /// The derivative of the sigmoid of z.
    case sigmoid = "ste-sigmoid"
    /// The gradient passes unchanged.
    case identity = "ste-identity"
    /// In training, logistic noise is added to z, and the derivative is that of the sigmoid of the sum: the binary
    /// Gumbel-softmax at a temperature of 1, straight through (Jang et al., "Categorical reparameterization with
    /// Gumbel-softmax", 2017).
    case gumbel

    /// The gates of logits of any shape: exactly 0 or 1, with the estimator's gradient.
    ///
    /// - Parameter noise: added to the logits; what ``noise(_:using:)`` gives, in training by Gumbel.
    public func gates(_ logits: Tensor, noise: Tensor? = nil) -> Tensor {
        let z = noise.map { logits + $0 } ?? logits
        let step = z.detached().isGreater(than: 0).converted(to: z.dataType)
        let soft = self == .identity ? z : z.sigmoid()
        // A difference of equal numbers is zero, so that the step stays exact.
        return step + (soft - soft.detached())
    }

    /// Independent samples of the standard logistic distribution, the difference of two Gumbel variables.
    static func noise(_ shape: [Int], using generator: inout RandomGenerator) -> Tensor {
        let u = Tensor.uniform(shape, low: 1e-6, high: 1 - 1e-6, using: &generator)
        return u.log() - (1 - u).log()
    }
}
