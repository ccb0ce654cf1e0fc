import CKernels
import CoppiceTensors

/// AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019) over f32 parameters.
public struct AdamW: Sendable {
    public var beta1: Double
    public var beta2: Double
    public var epsilon: Double
    public var weightDecay: Double

    public init(beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-8, weightDecay: Double = 0.01) {
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.weightDecay = weightDecay
    }

    /// The running means of a parameter's gradient and of its square, in the parameter's shape.
    public struct Moments {
        public var first: Tensor
        public var second: Tensor

        public init(first: Tensor, second: Tensor) {
            self.first = first
            self.second = second
        }

        /// Zeros, where optimization starts.
        public init(like parameter: Tensor) {
            self.init(first: .zeros(parameter.shape), second: .zeros(parameter.shape))
        }
    }

    /// Moves a parameter by one step.
    ///
    /// - Parameters:
    ///   - step: steps taken before this one, for the bias corrections.
    ///   - gradientScale: what the gradient is multiplied with first (clipping).
    ///   - decays: whether weight decay applies to this parameter.
    public func update(
        _ parameter: Parameter, gradient: Tensor, moments: inout Moments, learningRate: Double, step: Int,
        gradientScale: Double = 1, decays: Bool = true
    ) {
        let settings = coppice_adamw_step(
            rate: Float(learningRate), beta1: Float(beta1), beta2: Float(beta2), epsilon: Float(epsilon),
            decay: decays ? Float(weightDecay) : 0, correction1: Float(1 - power(beta1, step + 1)),
            correction2: Float(1 - power(beta2, step + 1)), scale: Float(gradientScale))
        gradient.withElements(Float.self) { g in
            parameter.update { p in
                moments.first.withMutableElements(Float.self) { m in
                    moments.second.withMutableElements(Float.self) { v in
                        precondition(g.count == p.count && m.count == p.count && v.count == p.count, "sizes differ")
                        coppice_adamw(p.count, settings, g.baseAddress, p.baseAddress, m.baseAddress, v.baseAddress)
                    }
                }
            }
        }
    }

    /// x to a whole power by repeated squaring: the same bits on every machine.
    private func power(_ x: Double, _ exponent: Int) -> Double {
        var (result, square, rest) = (1.0, x, exponent)
        while rest > 0 {
            if rest & 1 == 1 { result *= square }
            square *= square
            rest >>= 1
        }
        return result
    }
}

/// The Euclidean norm of several tensors taken together.
public func globalNorm(_ tensors: [Tensor]) -> Double {
    tensors.reduce(0) { total, tensor in
        guard tensor.dataType == .f32 else { return total + tensor.square().sum().doubles()[0] }
        return total + tensor.withElements(Float.self) { coppice_square_sum($0.count, $0.baseAddress) }
    }.squareRoot()
}
