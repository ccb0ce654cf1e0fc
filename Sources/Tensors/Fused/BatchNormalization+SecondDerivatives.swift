/// Second derivatives by the kernels of the first ones, where they are not recorded themselves: some ten passes over the
/// images instead of some sixty of the compositions.
///
/// Of a channel of N elements with x̂ = (x − mean) s, s = 1 / √(variance + ε), and h, the gradient before the rectifier,
/// the first derivatives are S₀ = Σ h, S₁ = Σ h x̂ and dx = s w (h − S₀ / N − x̂ S₁ / N). The rectifier's slope is constant.
extension BatchNormalization {
    /// Whether kernels give them: of f32, without factors.
    fileprivate func differentiatesByKernels(_ inputs: [Tensor]) -> Bool {
        !Recording.isEnabled && !multiplies && inputs.allSatisfy { $0.dataType == .f32 }
    }

    /// Without the rectifier.
    fileprivate var linear: BatchNormalization {
        var own = self
        own.rectifies = false
        return own
    }

    /// The last of `inputs` before the rectifier.
    fileprivate func beforeRectifierByKernel(_ inputs: [Tensor]) -> Tensor {
        rectifies ? rectified(inputs).gradient : inputs[inputs.count - 1]
    }
}

extension BatchNormalization.Rectified {
    func fastGradients(inputs: [Tensor], output: Tensor, seed: Tensor) -> [Tensor?]? {
        let others = Array(inputs.dropLast())
        let bySeed = Tensor.fused(BatchNormalization.Rectified(of: of), others + [seed])
        return [Tensor?](repeating: nil, count: others.count) + [bySeed]
    }
}

extension BatchNormalization.GradientSums {
    func fastGradients(inputs: [Tensor], output: Tensor, seed: Tensor) -> [Tensor?]? {
        guard of.differentiatesByKernels(inputs + [seed]) else { return nil }
        // By h: a + b x̂, where a and b are the gradients by S₀ and S₁; by x, that of normalizing with b where b h comes in.
        let affine = [inputs[0], seed[1], seed[0]]
        let byGradient = of.beforeRectifierByKernel(
            Array(inputs.dropLast()) + [of.linear.normalized(affine)])
        let byInput = of.linear.inputGradient(affine + [of.beforeRectifierByKernel(inputs), output])
        return [byInput, nil, nil, byGradient]
    }
}

extension BatchNormalization.InputGradient {
    func fastGradients(inputs: [Tensor], output: Tensor, seed: Tensor) -> [Tensor?]? {
        guard of.differentiatesByKernels(inputs + [seed]) else { return nil }
        let (x, weight, bias, sums) = (inputs[0], inputs[1], inputs[2], inputs[4])
        let terms = Double(x.count / x.shape[1])
        let axes = x.shape.indices.filter { $0 != 1 }
        let inverse = (of.variance + of.epsilon).reciprocalSquareRoot()
        let scale = inverse * weight
        let h = of.beforeRectifierByKernel(Array(inputs.dropLast()))
        // Σ v, Σ v x̂ and Σ v dx / (s w) of the gradient v by dx.
        let seedSums = of.linear.sums([x, weight, bias, seed])
        let product = (seed * h).sum(axes: axes) - (seedSums * sums).sum(axes: [0]) / terms
        // By x̂, and by s.
        let byStandard = of.linear.inputGradient([x, scale * sums[1] * (-1 / terms), bias, seed, seedSums])
        var adding = of.linear
        adding.adds = true
        let byInput = adding.normalized([
            x, scale * inverse * product * (-1 / terms), Tensor.zeros(bias.shape), byStandard,
        ])
        let perChannel = x.shape.indices.map { $0 == 1 ? x.shape[1] : 1 }
        let byGradient =
            of.beforeRectifierByKernel([x, weight, bias, seed]) * scale.reshaped(perChannel)
        return [byInput, inverse * product, nil, byGradient, seedSums * scale * (-1 / terms)]
    }
}
