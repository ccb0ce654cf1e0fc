import CKernels

extension Tensor {
    /// The mean of each channel of each image: `[images, channels, ...]` → `[images, channels]`, in one pass, whether
    /// channels come first or last.
    ///
    /// - Precondition: at least one element.
    public func imageMeans() -> Tensor {
        precondition(rank >= 2 && count > 0, "means over images of shape \(shape)")
        return .fused(ImageMeans(), [self])
    }
}

struct ImageMeans: FusedOperation {
    func evaluate(_ inputs: [Tensor]) -> Tensor {
        guard inputs[0].dataType == .f32 else { return composition(inputs.map { $0.detached() }) }
        let x = KernelImages(inputs[0])
        let (result, partial) = (Tensor(uninitialized: Array(inputs[0].shape.prefix(2))), x.partial(byImage: true))
        withExtendedLifetime((x.tensor, partial)) {
            coppice_image_means(x.shape, x.tensor.pointer(), partial.pointer(), result.pointer())
        }
        return result
    }

    func composition(_ inputs: [Tensor]) -> Tensor {
        inputs[0].reshaped([inputs[0].shape[0], inputs[0].shape[1], -1]).mean(axes: [2])
    }

    func fastGradients(inputs: [Tensor], output: Tensor, seed: Tensor) -> [Tensor?]? {
        let shape = inputs[0].shape
        let each = seed / Double(shape.dropFirst(2).reduce(1, *))
        return [each.reshaped(seed.shape + [Int](repeating: 1, count: shape.count - 2)).broadcast(to: shape)]
    }
}
