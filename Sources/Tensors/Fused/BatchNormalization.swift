import CKernels

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
    /// channel (Ioffe and Szegedy, "Batch normalization", 2015), then the addition of a residual, then max(·, 0): what
    /// residual networks do between two convolutions, in one pass. Gradients flow through mean and variance too.
    ///
    /// - Parameters:
    ///   - weight: [channels].
    ///   - bias: [channels].
    ///   - residual: added to the normalized input; its shape.
    ///   - rectifies: whether max(·, 0) follows. Its gradient at zero is one half, as that of ``relu()``.
    /// - Precondition: at least one element of each channel.
    public func batchNormalized(
        weight: Tensor, bias: Tensor, epsilon: Double, adding residual: Tensor? = nil, rectifies: Bool = false
    ) -> BatchNormalized {
        precondition(rank >= 2 && count > 0, "batch normalization of shape \(shape)")
        precondition(
            weight.shape == [shape[1]] && bias.shape == [shape[1]],
            "a weight and a bias for each of \(shape[1]) channels")
        precondition(residual.map { $0.shape == shape } ?? true, "a residual of another shape than \(shape)")
        let type = [weight, bias, residual].compactMap { $0?.dataType }.reduce(dataType, DataType.promoted)
        let (mean, variance) = BatchNormalization.statistics(detached().converted(to: type))
        let operation = BatchNormalization(epsilon: epsilon, rectifies: rectifies, mean: mean, variance: variance)
        let inputs = [self, weight, bias] + (residual.map { [$0] } ?? [])
        return BatchNormalized(
            output: .fused(operation, inputs.map { $0.converted(to: type) }), mean: mean, variance: variance)
    }

    /// weight · (x - mean) / √(variance + ε) + bias for `[images, channels, ...]` with given statistics, as a trained
    /// network uses them; then the addition of a residual, then max(·, 0). One pass where nothing is recorded.
    ///
    /// - Parameters:
    ///   - weight: [channels].
    ///   - bias: [channels].
    ///   - mean: [channels].
    ///   - variance: [channels].
    ///   - residual: added to the normalized input; its shape.
    ///   - rectifies: whether max(·, 0) follows.
    public func batchNormalized(
        weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, epsilon: Double, adding residual: Tensor? = nil,
        rectifies: Bool = false
    ) -> Tensor {
        precondition(
            rank >= 2 && [weight, bias, mean, variance].allSatisfy { $0.shape == [shape[1]] },
            "batch normalization of shape \(shape): a weight, a bias, a mean and a variance of each channel expected")
        precondition(residual.map { $0.shape == shape } ?? true, "a residual of another shape than \(shape)")
        let inputs = [self, weight, bias] + (residual.map { [$0] } ?? [])
        let isRecorded = Recording.isEnabled && (inputs + [mean, variance]).contains { $0.isTracked }
        if !isRecorded, count > 0, (inputs + [mean, variance]).allSatisfy({ $0.dataType == .f32 }) {
            let operation = BatchNormalization(epsilon: epsilon, rectifies: rectifies, mean: mean, variance: variance)
            return operation.evaluate(inputs.map { $0.detached() })
        }
        let channels = shape.indices.map { $0 == 1 ? shape[1] : 1 }
        let scale = (variance + epsilon).reciprocalSquareRoot() * weight
        var y = (self - mean.reshaped(channels)) * scale.reshaped(channels) + bias.reshaped(channels)
        if let residual { y = y + residual }
        return rectifies ? y.relu() : y
    }
}

/// Inputs: x, weight, bias and perhaps a residual, of one type.
struct BatchNormalization: FusedOperation {
    var epsilon: Double
    var rectifies: Bool
    /// Those of x, for the kernels; the composition computes them itself.
    var mean: Tensor
    var variance: Tensor

    func evaluate(_ inputs: [Tensor]) -> Tensor {
        guard inputs[0].dataType == .f32 else { return composition(inputs.map { $0.detached() }) }
        let x = Images(inputs[0])
        let result = x.empty()
        withAffine(inputs, x) { affine, scratch in
            coppice_batch_normalize(x.shape, x.tensor.pointer(), affine, scratch, result.pointer())
        }
        return result
    }

    func composition(_ inputs: [Tensor]) -> Tensor {
        let normalized = Self.standardized(inputs[0], epsilon)
        let shape = normalized.perChannel
        var y = normalized.value * inputs[1].reshaped(shape) + inputs[2].reshaped(shape)
        if inputs.count > 3 { y = y + inputs[3] }
        return rectifies ? y.relu() : y
    }

    func fastGradients(inputs: [Tensor], output: Tensor, seed: Tensor) -> [Tensor?]? {
        var h = seed
        // The residual's gradient is the rectified one, which the others then start from.
        let found = FoundSums()
        if rectifies, inputs.count > 3 { h = .fused(Rectified(of: self, found: found), inputs + [seed]) }
        var own = self
        own.rectifies = rectifies && inputs.count == 3
        let affine = Array(inputs.prefix(3))
        let sums = Tensor.fused(GradientSums(of: own, known: found.sums), affine + [h])
        let dx: Tensor? = inputs[0].isTracked ? .fused(InputGradient(of: own), affine + [h, sums]) : nil
        return [dx, sums[1], sums[0]] + (inputs.count > 3 ? [h] : [])
    }

    // MARK: Derivatives

    /// Where one kernel leaves what another would compute again: written before anybody reads it.
    final class FoundSums: @unchecked Sendable {
        var sums: Tensor?
    }

    /// The gradient before the rectifier. Inputs: those of the normalization, then the gradient by its output.
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
            let y = linear.composition(Array(inputs.dropLast()))
            return inputs[inputs.count - 1] * Self.slope(y)
        }

        /// 1 above zero, 0 below, one half at zero.
        static func slope(_ y: Tensor) -> Tensor { (y.sign() * 0.5 + 0.5).detached() }
    }

    /// [2, channels]: the gradients by bias and by weight. Inputs: x, weight, bias, gradient by the output.
    struct GradientSums: FusedOperation {
        var of: BatchNormalization
        var known: Tensor?

        func evaluate(_ inputs: [Tensor]) -> Tensor {
            guard inputs[0].dataType == .f32 else { return composition(inputs.map { $0.detached() }) }
            return known ?? of.sums(inputs)
        }

        func composition(_ inputs: [Tensor]) -> Tensor {
            let h = of.rectifies ? Rectified(of: of).composition(inputs) : inputs[3]
            let standard = BatchNormalization.standardized(inputs[0], of.epsilon)
            let axes = standard.reduced
            return .concatenated([
                h.sum(axes: axes).expanded(at: 0), (h * standard.value).sum(axes: axes).expanded(at: 0),
            ])
        }
    }

    /// The gradient by x. Inputs: x, weight, bias, gradient by the output, the sums of it.
    struct InputGradient: FusedOperation {
        var of: BatchNormalization

        func evaluate(_ inputs: [Tensor]) -> Tensor {
            guard inputs[0].dataType == .f32 else { return composition(inputs.map { $0.detached() }) }
            return of.inputGradient(inputs)
        }

        func composition(_ inputs: [Tensor]) -> Tensor {
            let h = of.rectifies ? Rectified(of: of).composition(Array(inputs.prefix(4))) : inputs[3]
            let standard = BatchNormalization.standardized(inputs[0], of.epsilon)
            let shape = standard.perChannel
            let means = inputs[4] / Double(inputs[0].count / inputs[0].shape[1])
            let scale = standard.inverse * inputs[1].reshaped(shape)
            return scale * (h - means[0].reshaped(shape) - standard.value * means[1].reshaped(shape))
        }
    }

    // MARK: In primitives

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

// MARK: - By kernels

extension BatchNormalization {
    /// [channels] each, of images without a record.
    static func statistics(_ x: Tensor) -> (mean: Tensor, variance: Tensor) {
        guard x.dataType == .f32 else {
            let axes = x.shape.indices.filter { $0 != 1 }
            let mean = x.mean(axes: axes, keepingDimensions: true)
            return (mean.reshaped([-1]), (x - mean).square().mean(axes: axes))
        }
        let images = Images(x)
        let (mean, variance) = (Tensor(uninitialized: [x.shape[1]]), Tensor(uninitialized: [x.shape[1]]))
        let partial = images.partial()
        withExtendedLifetime((images.tensor, partial)) {
            coppice_batch_statistics(
                images.shape, images.tensor.pointer(), partial.pointer(), mean.pointer(), variance.pointer())
        }
        return (mean, variance)
    }

    /// Images as kernels take them: contiguous, or with channels last.
    struct Images {
        var tensor: Tensor
        var shape: coppice_channels

        init(_ x: Tensor) {
            tensor = x.isChannelsLast ? x : x.contiguous()
            shape = coppice_channels(
                images: x.shape[0], channels: x.shape[1], plane: x.shape.dropFirst(2).reduce(1, *),
                channels_last: tensor.isContiguous ? 0 : 1)
        }

        /// Another tensor of the shape, lying as these images do.
        func like(_ other: Tensor) -> Tensor { shape.channels_last == 1 ? other.channelsLast() : other.contiguous() }

        /// New memory for a tensor of the shape, lying as these images do.
        func empty() -> Tensor { Tensor(uninitialized: tensor.shape, dataType: .f32, strides: tensor.strides) }

        func partial() -> Tensor { Tensor(uninitialized: [coppice_batch_partial_count(shape)]) }
    }

    /// Calls `body` with what the kernels take of x, weight, bias and perhaps a residual.
    private func withAffine(
        _ inputs: [Tensor], _ x: Images, _ body: (coppice_batch_affine, UnsafeMutablePointer<Float>) -> Void
    ) {
        let inverse = (variance + epsilon).reciprocalSquareRoot()
        let (mean, weight, bias) = (mean.contiguous(), inputs[1].contiguous(), inputs[2].contiguous())
        let residual = inputs.count > 3 ? x.like(inputs[3]) : nil
        let scratch = Tensor(uninitialized: [3, mean.count])
        withExtendedLifetime((x.tensor, inverse, mean, weight, bias, residual, scratch)) {
            body(
                coppice_batch_affine(
                    mean: mean.pointer(), inverse: inverse.pointer(), weight: weight.pointer(), bias: bias.pointer(),
                    residual: residual?.pointer(), rectifies: rectifies ? 1 : 0), scratch.pointer())
        }
    }

    /// The rectified gradient and its sums. The gradient by the output is the last of `inputs`.
    fileprivate func rectified(_ inputs: [Tensor]) -> (gradient: Tensor, sums: Tensor) {
        let x = Images(inputs[0])
        let g = x.like(inputs[inputs.count - 1])
        let (result, sums, partial) = (x.empty(), Tensor(uninitialized: [2, x.shape.channels]), x.partial())
        withAffine(Array(inputs.dropLast()), x) { affine, scratch in
            coppice_batch_gradient_sums(
                x.shape, x.tensor.pointer(), g.pointer(), affine, result.pointer(), partial.pointer(), scratch,
                sums.pointer())
        }
        withExtendedLifetime((g, partial)) {}
        return (result, sums)
    }

    fileprivate func sums(_ inputs: [Tensor]) -> Tensor {
        let x = Images(inputs[0])
        let g = x.like(inputs[3])
        let (sums, partial) = (Tensor(uninitialized: [2, x.shape.channels]), x.partial())
        withAffine(Array(inputs.prefix(3)), x) { affine, scratch in
            coppice_batch_gradient_sums(
                x.shape, x.tensor.pointer(), g.pointer(), affine, nil, partial.pointer(), scratch, sums.pointer())
        }
        withExtendedLifetime((g, partial)) {}
        return sums
    }

    fileprivate func inputGradient(_ inputs: [Tensor]) -> Tensor {
        let x = Images(inputs[0])
        let (g, sums) = (x.like(inputs[3]), inputs[4].contiguous())
        let result = x.empty()
        withAffine(Array(inputs.prefix(3)), x) { affine, scratch in
            coppice_batch_input_gradient(
                x.shape, x.tensor.pointer(), g.pointer(), affine, sums.pointer(), scratch, result.pointer())
        }
        withExtendedLifetime((g, sums)) {}
        return result
    }
}
