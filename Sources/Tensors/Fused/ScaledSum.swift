import CKernels

extension Tensor {
    /// factors · x + residual for `[images, channels, ...]`, with a factor of each channel of each image: what a gate makes
    /// of a residual block's branch, in one pass.
    ///
    /// - Parameters:
    ///   - factors: `[images, channels]`, either of them 1 where all are alike.
    ///   - residual: has the images' shape.
    public func scaled(by factors: Tensor, adding residual: Tensor) -> Tensor {
        precondition(rank >= 2 && residual.shape == shape, "a residual of another shape than \(shape)")
        let type = DataType.promoted(DataType.promoted(dataType, factors.dataType), residual.dataType)
        let inputs = [self, factors.broadcast(to: Array(shape.prefix(2))), residual]
        return .fused(ScaledSum(), inputs.map { $0.converted(to: type) })
    }
}

/// Inputs: x, factors `[images, channels]`, perhaps a residual, of one type.
struct ScaledSum: FusedOperation {
    func evaluate(_ inputs: [Tensor]) -> Tensor {
        guard inputs[0].dataType == .f32, inputs[0].count > 0 else { return composition(inputs.map { $0.detached() }) }
        let x = KernelImages(inputs[0])
        let result = x.empty()
        let residual = inputs.count > 2 ? x.like(inputs[2]) : nil
        x.withUnchanged(factors: inputs[1], residual: residual) { affine, scratch in
            coppice_batch_normalize(x.shape, x.tensor.pointer(), affine, scratch, result.pointer())
        }
        return result
    }

    func composition(_ inputs: [Tensor]) -> Tensor {
        let (x, factors) = (inputs[0], inputs[1])
        let product = x * factors.reshaped(factors.shape + [Int](repeating: 1, count: x.rank - 2))
        return inputs.count > 2 ? product + inputs[2] : product
    }

    func fastGradients(inputs: [Tensor], output: Tensor, seed: Tensor) -> [Tensor?]? {
        let dx: Tensor? = inputs[0].isTracked ? .fused(ScaledSum(), [seed, inputs[1]]) : nil
        let byFactors: Tensor? = inputs[1].isTracked ? .fused(ImageProducts(), [inputs[0], seed]) : nil
        return [dx, byFactors] + (inputs.count > 2 ? [seed] : [])
    }

    /// The sum of a · b over each channel of each image: `[images, channels]`. Inputs: a, b.
    struct ImageProducts: FusedOperation {
        func evaluate(_ inputs: [Tensor]) -> Tensor {
            guard inputs[0].dataType == .f32, inputs[0].count > 0 else {
                return composition(inputs.map { $0.detached() })
            }
            let x = KernelImages(inputs[0])
            let (g, partial) = (x.like(inputs[1]), x.partial(byImage: true))
            let sums = Tensor(uninitialized: [2, x.shape.images, x.shape.channels])
            withExtendedLifetime((g, partial)) {
                // Factors say that sums are of each image; nothing is multiplied by them.
                x.withUnchanged(factors: sums[0], residual: nil) { affine, scratch in
                    coppice_batch_gradient_sums(
                        x.shape, x.tensor.pointer(), g.pointer(), affine, nil, partial.pointer(), scratch,
                        sums.pointer())
                }
            }
            return sums[1]
        }

        func composition(_ inputs: [Tensor]) -> Tensor {
            (inputs[0] * inputs[1]).reshaped([inputs[0].shape[0], inputs[0].shape[1], -1]).sum(axes: [2])
        }
    }
}

extension KernelImages {
    /// Calls `body` with a normalization that changes nothing but by factors and a residual.
    fileprivate func withUnchanged(
        factors: Tensor, residual: Tensor?, _ body: (coppice_batch_affine, UnsafeMutablePointer<Float>) -> Void
    ) {
        let (zeros, ones) = (Tensor.zeros([shape.channels]), Tensor.ones([shape.channels]))
        let factors = factors.contiguous()
        let scratch = Tensor(uninitialized: [max(4, 2 * shape.images), shape.channels])
        withExtendedLifetime((tensor, zeros, ones, factors, residual, scratch)) {
            body(
                coppice_batch_affine(
                    mean: zeros.pointer(), inverse: ones.pointer(), weight: ones.pointer(), bias: zeros.pointer(),
                    residual: residual?.pointer(), factors: factors.pointer(), rectifies: 0), scratch.pointer())
        }
    }
}
