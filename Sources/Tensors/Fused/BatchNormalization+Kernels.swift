import CKernels

/// Images as kernels take them: contiguous, or with channels last.
struct KernelImages {
    var tensor: Tensor
    var shape: coppice_channels

    /// - Parameter x: `[images, channels, ...]`, f32.
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

    /// Memory for sums of parts, of each image where `byImage`.
    func partial(byImage: Bool) -> Tensor {
        Tensor(uninitialized: [coppice_batch_partial_count(shape, byImage ? 1 : 0)])
    }
}

extension BatchNormalization {
    /// [channels] each, of images without a record.
    static func statistics(_ x: Tensor) -> (mean: Tensor, variance: Tensor) {
        guard x.dataType == .f32 else {
            let axes = x.shape.indices.filter { $0 != 1 }
            let mean = x.mean(axes: axes, keepingDimensions: true)
            return (mean.reshaped([-1]), (x - mean).square().mean(axes: axes))
        }
        let images = KernelImages(x)
        let (mean, variance) = (Tensor(uninitialized: [x.shape[1]]), Tensor(uninitialized: [x.shape[1]]))
        let partial = images.partial(byImage: false)
        withExtendedLifetime((images.tensor, partial)) {
            coppice_batch_statistics(
                images.shape, images.tensor.pointer(), partial.pointer(), mean.pointer(), variance.pointer())
        }
        return (mean, variance)
    }

    /// The output.
    func normalized(_ inputs: [Tensor]) -> Tensor {
        let x = KernelImages(inputs[0])
        let result = x.empty()
        withAffine(inputs, x) { affine, scratch in
            coppice_batch_normalize(x.shape, x.tensor.pointer(), affine, scratch, result.pointer())
        }
        return result
    }

    /// The rectified gradient and its sums. The gradient by the output is the last of `inputs`.
    func rectified(_ inputs: [Tensor]) -> (gradient: Tensor, sums: Tensor) {
        let result = KernelImages(inputs[0]).empty()
        return (result, sums(inputs, writing: result))
    }

    /// The sums that ``GradientSums`` gives. The gradient by the output is the last of `inputs`.
    ///
    /// - Parameter rectified: gets the gradient before the rectifier; lies as x does.
    func sums(_ inputs: [Tensor], writing rectified: Tensor? = nil) -> Tensor {
        let x = KernelImages(inputs[0])
        let g = x.like(inputs[inputs.count - 1])
        let sums = Tensor(uninitialized: [2] + (multiplies ? [x.shape.images] : []) + [x.shape.channels])
        let partial = x.partial(byImage: multiplies)
        withExtendedLifetime((g, partial)) {
            withAffine(inputs, x) { affine, scratch in
                coppice_batch_gradient_sums(
                    x.shape, x.tensor.pointer(), g.pointer(), affine, rectified?.pointer(), partial.pointer(), scratch,
                    sums.pointer())
            }
        }
        return sums
    }

    /// What ``InputGradient`` gives.
    func inputGradient(_ inputs: [Tensor]) -> Tensor {
        let x = KernelImages(inputs[0])
        let (g, sums) = (x.like(inputs[inputs.count - 2]), inputs[inputs.count - 1].contiguous())
        let result = x.empty()
        withExtendedLifetime((g, sums)) {
            withAffine(inputs, x) { affine, scratch in
                coppice_batch_input_gradient(
                    x.shape, x.tensor.pointer(), g.pointer(), affine, sums.pointer(), scratch, result.pointer())
            }
        }
        return result
    }

    /// Calls `body` with what the kernels take of inputs that begin with those of the normalization.
    private func withAffine(
        _ inputs: [Tensor], _ x: KernelImages, _ body: (coppice_batch_affine, UnsafeMutablePointer<Float>) -> Void
    ) {
        let inverse = (variance + epsilon).reciprocalSquareRoot()
        let (mean, weight, bias) = (mean.contiguous(), inputs[1].contiguous(), inputs[2].contiguous())
        let factors = factors(inputs)?.contiguous()
        let residual = residual(inputs).map(x.like)
        let scratch = Tensor(uninitialized: [max(4, multiplies ? 2 * x.shape.images : 0), mean.count])
        withExtendedLifetime((x.tensor, inverse, mean, weight, bias, factors, residual, scratch)) {
            body(
                coppice_batch_affine(
                    mean: mean.pointer(), inverse: inverse.pointer(), weight: weight.pointer(), bias: bias.pointer(),
                    residual: residual?.pointer(), factors: factors?.pointer(), rectifies: rectifies ? 1 : 0),
                scratch.pointer())
        }
    }
}
