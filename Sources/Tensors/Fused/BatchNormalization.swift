/// What batch normalization found out about its input, and its result.
public struct BatchNormalized {
    public var output: Tensor
    /// [channels], not differentiable.
    public var mean: Tensor
    /// [channels]: mean squared distance from the mean, not differentiable.
    public var variance: Tensor
}

extension Tensor {
    /// weight · (x - mean) / √(variance + ε) + bias for `[images, channels, ...]`, with mean and variance of each
    /// channel (Ioffe and Szegedy, "Batch normalization", 2015), then multiplication by a gate's factors, the addition of
    /// a residual and max(·, 0): what residual networks do between two convolutions, in one pass. Gradients flow through
    /// mean and variance too.
    ///
    /// - Parameters:
    ///   - weight: [channels].
    ///   - bias: [channels].
    ///   - factors: `[images, channels]`, either of them 1 where all are alike; none is negative. Without a residual they
    ///     multiply what the rectifier gives.
    ///   - residual: added to the normalized input; its shape.
    ///   - rectifies: whether max(·, 0) follows. Its gradient at zero is one half, as that of ``relu()``.
    /// - Precondition: at least one element of each channel.
    public func batchNormalized(
        weight: Tensor, bias: Tensor, epsilon: Double, times factors: Tensor? = nil, adding residual: Tensor? = nil,
        rectifies: Bool = false
    ) -> BatchNormalized {
        precondition(rank >= 2 && count > 0, "batch normalization of shape \(shape)")
        precondition(
            weight.shape == [shape[1]] && bias.shape == [shape[1]],
            "a weight and a bias for each of \(shape[1]) channels")
        precondition(residual.map { $0.shape == shape } ?? true, "a residual of another shape than \(shape)")
        let factors = factors?.broadcast(to: Array(shape.prefix(2)))
        let type = [weight, bias, factors, residual].compactMap { $0?.dataType }.reduce(dataType, DataType.promoted)
        let (mean, variance) = BatchNormalization.statistics(detached().converted(to: type))
        let operation = BatchNormalization(
            epsilon: epsilon, multiplies: factors != nil, adds: residual != nil, rectifies: rectifies, mean: mean,
            variance: variance)
        let inputs = [self, weight, bias, factors, residual].compactMap { $0?.converted(to: type) }
        return BatchNormalized(output: .fused(operation, inputs), mean: mean, variance: variance)
    }

    /// weight · (x - mean) / √(variance + ε) + bias for `[images, channels, ...]` with given statistics, as a trained
    /// network uses them; then factors, a residual and max(·, 0) as in training. One pass where nothing is recorded.
    ///
    /// - Parameters:
    ///   - weight: [channels].
    ///   - bias: [channels].
    ///   - mean: [channels].
    ///   - variance: [channels].
    ///   - factors: `[images, channels]`, either of them 1 where all are alike; none is negative. Without a residual they
    ///     multiply what the rectifier gives.
    ///   - residual: added to the normalized input; its shape.
    ///   - rectifies: whether max(·, 0) follows.
    public func batchNormalized(
        weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, epsilon: Double, times factors: Tensor? = nil,
        adding residual: Tensor? = nil, rectifies: Bool = false
    ) -> Tensor {
        precondition(
            rank >= 2 && [weight, bias, mean, variance].allSatisfy { $0.shape == [shape[1]] },
            "batch normalization of shape \(shape): a weight, a bias, a mean and a variance of each channel expected")
        precondition(residual.map { $0.shape == shape } ?? true, "a residual of another shape than \(shape)")
        let factors = factors?.broadcast(to: Array(shape.prefix(2)))
        let inputs = [self, weight, bias, factors, residual].compactMap { $0 }
        let isRecorded = Recording.isEnabled && (inputs + [mean, variance]).contains { $0.isTracked }
        if !isRecorded, count > 0, (inputs + [mean, variance]).allSatisfy({ $0.dataType == .f32 }) {
            let operation = BatchNormalization(
                epsilon: epsilon, multiplies: factors != nil, adds: residual != nil, rectifies: rectifies, mean: mean,
                variance: variance)
            return operation.evaluate(inputs.map { $0.detached() })
        }
        let channels = shape.indices.map { $0 == 1 ? shape[1] : 1 }
        let scale = (variance + epsilon).reciprocalSquareRoot() * weight
        let y = (self - mean.reshaped(channels)) * scale.reshaped(channels) + bias.reshaped(channels)
        return BatchNormalization.finished(y, factors, residual, rectifies: rectifies)
    }
}

/// Inputs: x, weight, bias, perhaps factors `[images, channels]`, perhaps a residual, of one type.
struct BatchNormalization: FusedOperation {
    var epsilon: Double
    var multiplies = false
    var adds = false
    var rectifies: Bool
    /// Those of x, for the kernels; the composition computes them itself.
    var mean: Tensor
    var variance: Tensor

    func evaluate(_ inputs: [Tensor]) -> Tensor {
        inputs[0].dataType == .f32 ? normalized(inputs) : composition(inputs.map { $0.detached() })
    }

    func composition(_ inputs: [Tensor]) -> Tensor {
        let standard = Self.standardized(inputs[0], epsilon)
        let shape = standard.perChannel
        let y = standard.value * inputs[1].reshaped(shape) + inputs[2].reshaped(shape)
        return Self.finished(y, factors(inputs), residual(inputs), rectifies: rectifies)
    }

    func fastGradients(inputs: [Tensor], output: Tensor, seed: Tensor) -> [Tensor?]? {
        var h = seed
        // The residual's gradient is the rectified one, which the others then start from.
        let found = FoundSums()
        if rectifies, adds { h = .fused(Rectified(of: self, found: found), inputs + [seed]) }
        var own = self
        own.rectifies = rectifies && !adds
        own.adds = false
        let affine = Array(inputs.prefix(multiplies ? 4 : 3))
        var sums = Tensor.fused(GradientSums(of: own, known: found.sums), affine + [h])
        var byFactors: Tensor?
        if let factors = factors(inputs) {
            // By image: those of the gradient before the factors, and of that times the standardized input.
            if factors.isTracked { byFactors = sums[0] * inputs[2] + sums[1] * inputs[1] }
            sums = (sums * factors).sum(axes: [1])
        }
        let dx: Tensor? = inputs[0].isTracked ? .fused(InputGradient(of: own), affine + [h, sums]) : nil
        return [dx, sums[1], sums[0]] + (multiplies ? [byFactors] : []) + (adds ? [h] : [])
    }

    // MARK: Derivatives

    /// Where one kernel leaves what another would compute again: written before anybody reads it.
    final class FoundSums: @unchecked Sendable {
        var sums: Tensor?
    }

    /// The gradient before the rectifier, without factors. Inputs: those of the normalization, then the gradient by its
    /// output.
    struct Rectified: FusedOperation {
        var of: BatchNormalization
        var found = FoundSums()

        func evaluate(_ inputs: [Tensor]) -> Tensor {
            guard inputs[0].dataType == .f32 else { return composition(inputs.map { $0.detached() }) }
            let (gradient, sums) = of.rectified(inputs)
            found.sums = sums
            return gradient
        }

        func composition(_ inputs: [Tensor]) -> Tensor {
            var linear = of
            linear.rectifies = false
            // Factors come before the rectifier only where a residual was added to them.
            linear.multiplies = of.adds && of.multiplies
            let y = linear.composition(Array(inputs.dropLast()))
            return inputs[inputs.count - 1] * Self.slope(y)
        }

        /// 1 above zero, 0 below, one half at zero.
        static func slope(_ y: Tensor) -> Tensor { (y.sign() * 0.5 + 0.5).detached() }
    }

    /// [2, channels]: the gradients by bias and by weight; `[2, images, channels]` before the factors, where there are
    /// some. Inputs: x, weight, bias, perhaps factors, the gradient by the output.
    struct GradientSums: FusedOperation {
        var of: BatchNormalization
        var known: Tensor?

        func evaluate(_ inputs: [Tensor]) -> Tensor {
            guard inputs[0].dataType == .f32 else { return composition(inputs.map { $0.detached() }) }
            return known ?? of.sums(inputs)
        }

        func composition(_ inputs: [Tensor]) -> Tensor {
            let h = of.beforeRectifier(inputs)
            let standard = BatchNormalization.standardized(inputs[0], of.epsilon)
            func summed(_ terms: Tensor) -> Tensor {
                guard of.multiplies else { return terms.sum(axes: standard.reduced).expanded(at: 0) }
                return terms.reshaped([terms.shape[0], terms.shape[1], -1]).sum(axes: [2]).expanded(at: 0)
            }
            return .concatenated([summed(h), summed(h * standard.value)])
        }
    }

    /// The gradient by x. Inputs: x, weight, bias, perhaps factors, the gradient by the output, the sums over all images.
    struct InputGradient: FusedOperation {
        var of: BatchNormalization

        func evaluate(_ inputs: [Tensor]) -> Tensor {
            guard inputs[0].dataType == .f32 else { return composition(inputs.map { $0.detached() }) }
            return of.inputGradient(inputs)
        }

        func composition(_ inputs: [Tensor]) -> Tensor {
            var h = of.beforeRectifier(Array(inputs.dropLast()))
            if let factors = of.factors(inputs) { h = h * BatchNormalization.perImage(factors, h) }
            let standard = BatchNormalization.standardized(inputs[0], of.epsilon)
            let shape = standard.perChannel
            let means = inputs[inputs.count - 1] / Double(inputs[0].count / inputs[0].shape[1])
            let scale = standard.inverse * inputs[1].reshaped(shape)
            return scale * (h - means[0].reshaped(shape) - standard.value * means[1].reshaped(shape))
        }
    }

    // MARK: In primitives

    func factors(_ inputs: [Tensor]) -> Tensor? { multiplies ? inputs[3] : nil }
    func residual(_ inputs: [Tensor]) -> Tensor? { adds ? inputs[multiplies ? 4 : 3] : nil }

    /// The last of the inputs, a gradient by the output, as it is before the rectifier.
    private func beforeRectifier(_ inputs: [Tensor]) -> Tensor {
        rectifies ? Rectified(of: self).composition(inputs) : inputs[inputs.count - 1]
    }

    /// What follows the normalization.
    static func finished(_ y: Tensor, _ factors: Tensor?, _ residual: Tensor?, rectifies: Bool) -> Tensor {
        guard let residual else {
            let own = rectifies ? y.relu() : y
            return factors.map { own * perImage($0, y) } ?? own
        }
        let sum = (factors.map { y * perImage($0, y) } ?? y) + residual
        return rectifies ? sum.relu() : sum
    }

    /// Factors `[images, channels]` as they broadcast over images.
    private static func perImage(_ factors: Tensor, _ images: Tensor) -> Tensor {
        factors.reshaped(factors.shape + [Int](repeating: 1, count: images.rank - 2))
    }

    /// (x - mean) / √(variance + ε), its second factor, and the axes of mean and variance.
    private struct Standardized {
        var value: Tensor
        var inverse: Tensor
        var reduced: [Int]
        var perChannel: [Int]
    }

    private static func standardized(_ x: Tensor, _ epsilon: Double) -> Standardized {
        let axes = x.shape.indices.filter { $0 != 1 }
        let centered = x - x.mean(axes: axes, keepingDimensions: true)
        let inverse = (centered.square().mean(axes: axes, keepingDimensions: true) + epsilon).reciprocalSquareRoot()
        return Standardized(
            value: centered * inverse, inverse: inverse, reduced: axes,
            perChannel: x.shape.indices.map { $0 == 1 ? x.shape[1] : 1 })
    }
}
