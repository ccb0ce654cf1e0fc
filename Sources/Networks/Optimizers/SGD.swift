import CKernels
import CoppiceTensors

/// Stochastic gradient descent with momentum over f32 parameters, as PyTorch defines it: the weight decay is added to the
/// gradient, the velocity is not damped (Sutskever et al., "On the importance of initialization and momentum in deep
/// learning", 2013).
public struct SGD: Sendable {
    public var momentum: Double
    public var weightDecay: Double
    /// Whether the gradient is taken as if the velocity had been followed already (Nesterov).
    public var looksAhead: Bool

    public init(momentum: Double = 0.9, weightDecay: Double = 0, looksAhead: Bool = false) {
        self.momentum = momentum
        self.weightDecay = weightDecay
        self.looksAhead = looksAhead
    }

    /// Moves a parameter by one step.
    ///
    /// - Parameters:
    ///   - velocity: the decaying sum of gradients, in the parameter's shape; zeros where optimization starts.
    ///   - gradientScale: what the gradient is multiplied with first (clipping).
    ///   - decays: whether weight decay applies to this parameter.
    /// - Precondition: shapes are equal, all f32.
    public func update(
        _ parameter: Parameter, gradient: Tensor, velocity: inout Tensor, learningRate: Double,
        gradientScale: Double = 1, decays: Bool = true
    ) {
        let settings = coppice_sgd_step(
            rate: Float(learningRate), momentum: Float(momentum), decay: decays ? Float(weightDecay) : 0,
            scale: Float(gradientScale), looks_ahead: looksAhead ? 1 : 0)
        gradient.withElements(Float.self) { g in
            parameter.update { p in
                velocity.withMutableElements(Float.self) { v in
                    precondition(g.count == p.count && v.count == p.count, "sizes differ")
                    coppice_sgd(p.count, settings, g.baseAddress, p.baseAddress, v.baseAddress)
                }
            }
        }
    }
}
