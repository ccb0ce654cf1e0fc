import CKernels

extension Tensor {
    /// x Φ(x), with Φ the distribution function of a standard normal variable: the exact GELU, not the one by tanh
    /// (Hendrycks and Gimpel, "Gaussian error linear units", 2016).
    public func gelu() -> Tensor { .fused(GELU(), [dataType.isFloatingPoint ? self : converted(to: .f32)]) }
}

/// x Φ(x). In f32 Φ has a relative error of about 1e-6, far from zero too, where 1 + erf(x / √2) has lost all digits.
struct GELU: FusedOperation {
    func evaluate(_ inputs: [Tensor]) -> Tensor {
        guard inputs[0].dataType == .f32 else { return composition(inputs.map { $0.detached() }) }
        let x = inputs[0].contiguous()
        let result = Tensor(uninitialized: x.shape)
        withExtendedLifetime(x) { coppice_gelu(x.count, x.pointer(), result.pointer()) }
        return result
    }

    func composition(_ inputs: [Tensor]) -> Tensor { inputs[0] * Self.distribution(inputs[0]) }

    func fastGradients(inputs: [Tensor], output: Tensor, seed: Tensor) -> [Tensor?]? {
        [inputs[0].isTracked ? .fused(Gradient(), [inputs[0], seed]) : nil]
    }

    /// Φ(x).
    private static func distribution(_ x: Tensor) -> Tensor { (1 + (x * 0.5.squareRoot()).erf()) * 0.5 }

    /// Inputs: x, gradient by the output.
    struct Gradient: FusedOperation {
        func evaluate(_ inputs: [Tensor]) -> Tensor {
            guard inputs.allSatisfy({ $0.dataType == .f32 }) else { return composition(inputs.map { $0.detached() }) }
            let (x, g) = (inputs[0].contiguous(), inputs[1].contiguous())
            let result = Tensor(uninitialized: x.shape)
            withExtendedLifetime((x, g)) { coppice_gelu_gradient(x.count, x.pointer(), g.pointer(), result.pointer()) }
            return result
        }

        func composition(_ inputs: [Tensor]) -> Tensor {
            let x = inputs[0]
            let density = (x.square() * -0.5).exp() * (1 / (2 * Double.pi).squareRoot())
            return inputs[1] * (GELU.distribution(x) + x * density)
        }
    }
}
