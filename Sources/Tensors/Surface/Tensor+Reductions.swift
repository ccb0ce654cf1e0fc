extension Tensor {
    /// A sum over axes (all of them by default; negative ones count from the end). Sums of integers and bools are i64.
    public func sum(axes: [Int]? = nil, keepingDimensions: Bool = false) -> Tensor {
        summable.reduced(.sum, axes, keepingDimensions)
    }

    /// The elements in a type that holds their sums.
    private var summable: Tensor { dataType.isFloatingPoint ? self : converted(to: .i64) }

    /// The mean over axes; of integers in f32.
    public func mean(axes: [Int]? = nil, keepingDimensions: Bool = false) -> Tensor {
        let sums = sum(axes: axes, keepingDimensions: keepingDimensions)
        let total = dataType.isFloatingPoint ? sums : sums.converted(to: .f32)
        let terms = (axes.map { resolved($0) } ?? Array(shape.indices)).reduce(1) { $0 * shape[$1] }
        return total / Double(terms)
    }

    /// The variance over axes: mean squared distance from the mean, divided by count - `correction`.
    public func variance(axes: [Int]? = nil, correction: Int = 0, keepingDimensions: Bool = false) -> Tensor {
        let terms = (axes.map { resolved($0) } ?? Array(shape.indices)).reduce(1) { $0 * shape[$1] }
        let deviation = self - mean(axes: axes, keepingDimensions: true)
        return deviation.square().sum(axes: axes, keepingDimensions: keepingDimensions) / Double(terms - correction)
    }

    /// The largest element over axes.
    public func maximum(axes: [Int]? = nil, keepingDimensions: Bool = false) -> Tensor {
        reduced(.maximum, axes, keepingDimensions)
    }

    /// The smallest element over axes.
    public func minimum(axes: [Int]? = nil, keepingDimensions: Bool = false) -> Tensor {
        reduced(.minimum, axes, keepingDimensions)
    }

    /// The first index (i64) of the largest element along the last axis.
    public func argmax() -> Tensor { CPUBackend.shared.indexOfExtreme(self, smallest: false) }

    /// The first index (i64) of the smallest element along the last axis.
    public func argmin() -> Tensor { CPUBackend.shared.indexOfExtreme(self, smallest: true) }

    /// The indices (i64) that sort the last axis stably, NaN last. O(n log n) a row.
    public func argsort(descending: Bool = false) -> Tensor {
        CPUBackend.shared.sortOrder(self, descending: descending)
    }

    /// The last axis in order; gradients follow the elements.
    public func sorted(descending: Bool = false) -> Tensor {
        takeAlong(argsort(descending: descending), axis: rank - 1)
    }

    /// Sums of all elements up to each along an axis, from the end where `reverse`. Of integers and bools they are i64.
    public func cumulativeSum(axis: Int, reverse: Bool = false) -> Tensor {
        Self.apply(.cumulativeSum(axis: resolved([axis])[0], reverse: reverse), [summable])
    }

    /// log Σ exp over an axis, without overflow.
    public func logSumExp(axis: Int, keepingDimensions: Bool = false) -> Tensor {
        let top = maximum(axes: [axis], keepingDimensions: true).detached()
        let result = (self - top).exp().sum(axes: [axis], keepingDimensions: true).log() + top
        return keepingDimensions ? result : result.squeezed(axis)
    }

    /// A sum that undoes a broadcast from `shape`.
    func sum(toShape target: [Int]) -> Tensor {
        if shape == target { return self }
        let added = rank - target.count
        let axes = shape.indices.filter { $0 < added || target[$0 - added] == 1 && shape[$0] != 1 }
        return sum(axes: Array(axes), keepingDimensions: true).reshaped(target)
    }

    private func reduced(_ reduction: Reduction, _ axes: [Int]?, _ keepingDimensions: Bool) -> Tensor {
        let axes = axes.map { resolved($0) } ?? Array(shape.indices)
        let kept = axes.isEmpty ? self : Self.apply(.reduce(reduction, axes: axes), [self])
        if keepingDimensions { return kept }
        return kept.reshaped(shape.indices.filter { !axes.contains($0) }.map { shape[$0] })
    }
}
