import CKernels

extension CPUBackend {
    /// The elements in row-major order without gaps: the tensor itself where they lie so.
    func contiguous(_ x: Tensor) -> Tensor { x.isContiguous ? x : copy(x) }

    /// A new contiguous tensor with the same elements.
    func copy(_ x: Tensor) -> Tensor {
        let result = Tensor(uninitialized: x.shape, dataType: x.dataType)
        write(x, over: result)
        return result
    }

    /// Copies the elements of `x` to those of `target`, a view of the same shape that is not read meanwhile.
    func write(_ x: Tensor, over target: Tensor) {
        var space = iterationSpace(x.shape, [x.strides, target.strides])
        withExtendedLifetime((x, target)) {
            coppice_copy_strided(Int32(x.dataType.byteCount), &space, x.basePointer, target.basePointer)
        }
    }

    func permute(_ x: Tensor, _ order: [Int]) -> Tensor {
        Tensor(
            dataType: x.dataType, shape: order.map { x.shape[$0] }, strides: order.map { x.strides[$0] },
            offset: x.offset, storage: x.storage)
    }

    func reshape(_ x: Tensor, _ shape: [Int]) -> Tensor {
        let source = contiguous(x)
        return Tensor(
            dataType: x.dataType, shape: shape, strides: Tensor.contiguousStrides(shape), offset: source.offset,
            storage: source.storage)
    }

    func broadcast(_ x: Tensor, to shape: [Int]) -> Tensor {
        Tensor(
            dataType: x.dataType, shape: shape, strides: x.strides(broadcastTo: shape), offset: x.offset,
            storage: x.storage)
    }

    func slice(_ x: Tensor, _ slices: [AxisSlice]) -> Tensor {
        var offset = x.offset
        for (axis, slice) in slices.enumerated() where slice.count > 0 { offset += slice.start * x.strides[axis] }
        return Tensor(
            dataType: x.dataType, shape: slices.map(\.count),
            strides: zip(slices, x.strides).map { $0.step * $1 }, offset: offset, storage: x.storage)
    }

    func place(_ x: Tensor, _ slices: [AxisSlice], in shape: [Int]) -> Tensor {
        let result = Tensor.zeros(shape, dataType: x.dataType)
        write(x, over: slice(result, slices))
        return result
    }

    func concatenate(_ inputs: [Tensor], axis: Int) -> Tensor {
        var shape = inputs[0].shape
        shape[axis] = inputs.reduce(0) { $0 + $1.shape[axis] }
        let result = Tensor(uninitialized: shape, dataType: inputs[0].dataType)
        var slices = shape.map { AxisSlice(0..<$0) }
        var start = 0
        for input in inputs {
            slices[axis] = AxisSlice(start..<(start + input.shape[axis]))
            write(input, over: slice(result, slices))
            start += input.shape[axis]
        }
        return result
    }

    // MARK: Indexed

    func take(_ x: Tensor, _ indices: Tensor, axis: Int) -> Tensor {
        let (source, index) = (contiguous(x), checked(indices, below: x.shape[axis]))
        var shape = x.shape
        shape[axis] = indices.count
        let result = Tensor(uninitialized: shape, dataType: x.dataType)
        let (outer, extent, inner) = x.extents(around: axis)
        withExtendedLifetime((source, index)) {
            coppice_take(
                Int32(x.dataType.byteCount), outer, extent, indices.count, inner, source.basePointer,
                index.pointer(), result.basePointer)
        }
        return result
    }

    func addAt(_ x: Tensor, _ indices: Tensor, axis: Int, extent: Int) -> Tensor {
        let (element, type) = x.dataType.computed
        let (source, index) = (contiguous(convert(x, to: type)), checked(indices, below: extent))
        var shape = x.shape
        shape[axis] = extent
        let result = Tensor.zeros(shape, dataType: type)
        let (outer, count, inner) = x.extents(around: axis)
        withExtendedLifetime((source, index)) {
            coppice_add_at(
                element, outer, extent, count, inner, source.basePointer, index.pointer(), result.basePointer)
        }
        return convert(result, to: x.dataType)
    }

    func takeAlong(_ x: Tensor, _ indices: Tensor, axis: Int) -> Tensor {
        let (source, index) = (contiguous(x), checked(indices, below: x.shape[axis]))
        let result = Tensor(uninitialized: indices.shape, dataType: x.dataType)
        let (outer, extent, inner) = x.extents(around: axis)
        withExtendedLifetime((source, index)) {
            coppice_take_along(
                Int32(x.dataType.byteCount), outer, extent, indices.shape[axis], inner, source.basePointer,
                index.pointer(), result.basePointer)
        }
        return result
    }

    func addAlong(_ x: Tensor, _ indices: Tensor, axis: Int, extent: Int) -> Tensor {
        let (element, type) = x.dataType.computed
        let (source, index) = (contiguous(convert(x, to: type)), checked(indices, below: extent))
        var shape = x.shape
        shape[axis] = extent
        let result = Tensor.zeros(shape, dataType: type)
        let (outer, count, inner) = x.extents(around: axis)
        withExtendedLifetime((source, index)) {
            coppice_add_along(
                element, outer, extent, count, inner, source.basePointer, index.pointer(), result.basePointer)
        }
        return convert(result, to: x.dataType)
    }

    /// Contiguous i64 indices.
    ///
    /// - Precondition: all are in 0 ..< extent.
    private func checked(_ indices: Tensor, below extent: Int) -> Tensor {
        let result = contiguous(convert(indices, to: .i64))
        precondition(
            coppice_indices_in_range(result.pointer(), result.count, extent) == 1,
            "an index is outside 0 ..< \(extent)")
        return result
    }
}
