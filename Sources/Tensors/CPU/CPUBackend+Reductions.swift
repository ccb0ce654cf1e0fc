import CKernels

extension CPUBackend {
    /// Reduces over axes, which stay with extent 1. `axes` is not empty.
    func reduce(_ reduction: Reduction, _ x: Tensor, axes: [Int]) -> Tensor {
        let (element, type) = x.dataType.computed
        var shape = x.shape
        for axis in axes { shape[axis] = 1 }
        let result = Tensor(uninitialized: shape, dataType: type)
        let kernel: coppice_reduction =
            switch reduction {
            case .sum: COPPICE_SUM
            case .maximum: COPPICE_REDUCE_MAXIMUM
            case .minimum: COPPICE_REDUCE_MINIMUM
            }
        // One run of neighbouring axes is reduced in place; others are brought to the end first.
        let reduced = axes.sorted()
        var source = convert(x, to: type)
        var (outer, middle, inner) = (1, 1, 1)
        if let first = reduced.first, let last = reduced.last, last - first + 1 == reduced.count {
            outer = x.shape[..<first].reduce(1, *)
            middle = x.shape[first...last].reduce(1, *)
            inner = x.shape[(last + 1)...].reduce(1, *)
        } else {
            let kept = x.shape.indices.filter { !reduced.contains($0) }
            source = permute(source, kept + reduced)
            outer = kept.reduce(1) { $0 * x.shape[$1] }
            middle = reduced.reduce(1) { $0 * x.shape[$1] }
        }
        source = contiguous(source)
        withExtendedLifetime(source) {
            if inner == 1 {
                coppice_reduce_rows(kernel, element, outer, middle, source.basePointer, result.basePointer)
            } else {
                coppice_reduce_middle(kernel, element, outer, middle, inner, source.basePointer, result.basePointer)
            }
        }
        return convert(result, to: x.dataType)
    }

    func cumulativeSum(_ x: Tensor, axis: Int, reverse: Bool) -> Tensor {
        let (element, type) = x.dataType.computed
        let source = contiguous(convert(x, to: type))
        let result = Tensor(uninitialized: x.shape, dataType: type)
        let (outer, middle, inner) = x.extents(around: axis)
        withExtendedLifetime(source) {
            coppice_cumulative_sum(
                element, reverse ? 1 : 0, outer, middle, inner, source.basePointer, result.basePointer)
        }
        return convert(result, to: x.dataType)
    }

    /// Indices (i64) of the first largest or smallest elements of the last axis, which goes away.
    func indexOfExtreme(_ x: Tensor, smallest: Bool) -> Tensor {
        let (element, type) = x.dataType.computed
        let source = contiguous(convert(x, to: type))
        let result = Tensor(uninitialized: Array(x.shape.dropLast()), dataType: .i64)
        withExtendedLifetime(source) {
            coppice_index_of_extreme(
                element, smallest ? 1 : 0, result.count, x.shape[x.rank - 1], source.basePointer, result.pointer())
        }
        return result
    }

    /// The stable order (i64) that sorts the last axis.
    func sortOrder(_ x: Tensor, descending: Bool) -> Tensor {
        let (element, type) = x.dataType.computed
        let source = contiguous(convert(x, to: type))
        let result = Tensor(uninitialized: x.shape, dataType: .i64)
        withExtendedLifetime(source) {
            coppice_sort_order(
                element, descending ? 1 : 0, x.shape.dropLast().reduce(1, *), x.shape[x.rank - 1],
                source.basePointer, result.pointer())
        }
        return result
    }
}
