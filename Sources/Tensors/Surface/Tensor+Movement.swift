extension Tensor {
    /// Axes with negative ones counted from the end, in increasing order.
    ///
    /// - Precondition: they exist and none is named twice.
    func resolved(_ axes: [Int]) -> [Int] {
        let result = axes.map { $0 < 0 ? $0 + rank : $0 }.sorted()
        precondition(
            result.allSatisfy { (0..<rank).contains($0) } && Set(result).count == result.count,
            "axes \(axes) of a tensor of rank \(rank)")
        return result
    }

    /// The elements in row-major order without gaps; shares storage where they lie so already.
    public func contiguous() -> Tensor {
        if isContiguous { return self }
        var result = CPUBackend.shared.copy(self)
        result.node = node
        return result
    }

    /// A tensor with its own copy of the elements and no record.
    public func copied() -> Tensor { CPUBackend.shared.copy(self) }

    /// The same elements in row-major order under another shape; one extent may be -1.
    ///
    /// - Precondition: as many elements. A view where the elements are contiguous, else a copy.
    public func reshaped(_ newShape: [Int]) -> Tensor {
        var target = newShape
        if let unknown = target.firstIndex(of: -1) {
            let known = target.reduce(1, *) * -1
            precondition(known > 0 && count % known == 0, "shape \(shape) cannot become \(newShape)")
            target[unknown] = count / known
        }
        precondition(target.reduce(1, *) == count, "shape \(shape) cannot become \(newShape)")
        return target == shape ? self : Self.apply(.reshape(target), [self])
    }

    /// Dimensions in another order: result axis i is axis `order[i]`. A view.
    public func permuted(_ order: [Int]) -> Tensor {
        precondition(order.sorted() == Array(shape.indices), "\(order) is no order of \(rank) dimensions")
        return order == Array(shape.indices) ? self : Self.apply(.permute(order), [self])
    }

    /// Two axes exchanged, the last two by default. A view.
    public func transposed(_ a: Int = -2, _ b: Int = -1) -> Tensor {
        var order = Array(shape.indices)
        order.swapAt(a < 0 ? a + rank : a, b < 0 ? b + rank : b)
        return permuted(order)
    }

    /// Repetition along new or unit dimensions. A view.
    public func broadcast(to target: [Int]) -> Tensor {
        if target == shape { return self }
        precondition(Self.broadcastShape(shape, target) == target, "shape \(shape) does not broadcast to \(target)")
        return Self.apply(.broadcast(target), [self])
    }

    /// A new axis of extent 1 before `axis`.
    public func expanded(at axis: Int) -> Tensor {
        var target = shape
        target.insert(1, at: axis < 0 ? axis + rank + 1 : axis)
        return reshaped(target)
    }

    /// Without an axis of extent 1.
    public func squeezed(_ axis: Int) -> Tensor {
        var target = shape
        let removed = target.remove(at: resolved([axis])[0])
        precondition(removed == 1, "axis \(axis) of \(shape) has not extent 1")
        return reshaped(target)
    }

    /// What `slices` keep, one for each axis. A view.
    public func slice(_ slices: [AxisSlice]) -> Tensor {
        precondition(slices.count == rank, "\(slices.count) slices of a tensor of rank \(rank)")
        for (slice, extent) in zip(slices, shape) {
            let last = slice.start + (slice.count - 1) * slice.step
            precondition(
                slice.count == 0
                    || slice.step != 0 && (0..<extent).contains(slice.start) && (0..<extent).contains(last),
                "slice \(slice) is outside an axis of extent \(extent)")
        }
        return slices == shape.map { AxisSlice(0..<$0) } ? self : Self.apply(.slice(slices), [self])
    }

    /// A range of one axis. A view.
    public func slice(axis: Int, _ range: Range<Int>) -> Tensor {
        var slices = shape.map { AxisSlice(0..<$0) }
        slices[resolved([axis])[0]] = AxisSlice(range)
        return slice(slices)
    }

    /// One entry of the first axis. A view.
    public subscript(index: Int) -> Tensor {
        slice(axis: 0, index..<(index + 1)).reshaped(Array(shape.dropFirst()))
    }

    /// An axis in reverse. A view.
    public func flipped(axis: Int) -> Tensor {
        var slices = shape.map { AxisSlice(0..<$0) }
        let axis = resolved([axis])[0]
        slices[axis] = AxisSlice(start: max(0, shape[axis] - 1), count: shape[axis], step: -1)
        return slice(slices)
    }

    /// Zeros added before and after the entries of each axis.
    public func padded(_ amounts: [(before: Int, after: Int)]) -> Tensor {
        precondition(amounts.count == rank && amounts.allSatisfy { $0.before >= 0 && $0.after >= 0 }, "bad padding")
        let target = zip(shape, amounts).map { $0 + $1.before + $1.after }
        let slices = zip(shape, amounts).map { AxisSlice(start: $1.before, count: $0) }
        return target == shape ? self : Self.apply(.place(slices, shape: target), [self])
    }

    /// Tensors one after another along an axis.
    public static func concatenated(_ tensors: [Tensor], axis: Int = 0) -> Tensor {
        precondition(!tensors.isEmpty, "nothing to concatenate")
        let axis = tensors[0].resolved([axis])[0]
        let type = tensors.map(\.dataType).reduce(tensors[0].dataType, DataType.promoted)
        for tensor in tensors {
            var (a, b) = (tensor.shape, tensors[0].shape)
            precondition(a.count == b.count, "ranks \(a) and \(b) differ")
            (a[axis], b[axis]) = (0, 0)
            precondition(a == b, "shapes \(tensor.shape) and \(tensors[0].shape) differ beside axis \(axis)")
        }
        return tensors.count == 1 ? tensors[0] : apply(.concatenate(axis: axis), tensors.map { $0.converted(to: type) })
    }

    /// Tensors of one shape along a new axis.
    public static func stacked(_ tensors: [Tensor], axis: Int = 0) -> Tensor {
        concatenated(tensors.map { $0.expanded(at: axis) }, axis: axis)
    }

    // MARK: Indexing

    /// Entries of an axis at indices; the axis becomes the indices' dimensions. Embedding lookup is `take` of axis 0.
    ///
    /// - Precondition: indices are integers in range.
    public func take(_ indices: Tensor, axis: Int = 0) -> Tensor {
        let axis = resolved([axis])[0]
        let flat = indices.detached().converted(to: .i64).reshaped([indices.count])
        let result = Self.apply(.take(axis: axis), [self, flat])
        return result.reshaped(Array(shape[..<axis]) + indices.shape + Array(shape[(axis + 1)...]))
    }

    /// Sums entries of axis 0 into `extent` places: result[indices[j]] += self[j].
    public func scatteredAdd(_ indices: Tensor, extent: Int) -> Tensor {
        let flat = indices.detached().converted(to: .i64).reshaped([indices.count])
        let rows = reshaped([indices.count] + shape.dropFirst(indices.rank))
        return Self.apply(.addAt(axis: 0, extent: extent), [rows, flat])
    }

    /// For each element of the indices, the element at that place along the axis; other dimensions equal.
    public func takeAlong(_ indices: Tensor, axis: Int) -> Tensor {
        let axis = resolved([axis])[0]
        var (a, b) = (shape, indices.shape)
        precondition(a.count == b.count, "indices of shape \(b) along an axis of \(a)")
        (a[axis], b[axis]) = (0, 0)
        precondition(a == b, "indices of shape \(indices.shape) along axis \(axis) of \(shape)")
        return Self.apply(.takeAlong(axis: axis), [self, indices.detached().converted(to: .i64)])
    }

    /// Sums elements to places along an axis of a tensor of zeros: the adjoint of ``takeAlong(_:axis:)``.
    public func scatteredAddAlong(_ indices: Tensor, axis: Int, extent: Int) -> Tensor {
        precondition(indices.shape == shape, "indices of shape \(indices.shape) for \(shape)")
        let axis = resolved([axis])[0]
        return Self.apply(.addAlong(axis: axis, extent: extent), [self, indices.detached().converted(to: .i64)])
    }

    // MARK: Products

    /// [..., m, k] · [..., k, n] → [..., m, n], leading dimensions broadcast. Accumulates in the elements' type (f32
    /// for bf16, f16 and integers).
    public func matmul(_ other: Tensor) -> Tensor {
        precondition(
            rank >= 2 && other.rank >= 2 && shape[rank - 1] == other.shape[other.rank - 2],
            "a product of shapes \(shape) and \(other.shape)")
        let common = DataType.promoted(dataType, other.dataType)
        let type = common.isFloatingPoint ? common : .f32
        return multiplied(by: other, type, precision: OperandPrecision.current)
    }

    /// The product in a stated precision of its operands. Both are converted to `type` first.
    func multiplied(by other: Tensor, _ type: DataType, precision: OperandPrecision) -> Tensor {
        Self.apply(.matmul(precision), [converted(to: type), other.converted(to: type)])
    }
}
