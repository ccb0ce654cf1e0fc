/// How elements lie in memory. The layout is no part of a tensor's meaning: every operation takes every layout.
extension Tensor {
    /// Whether the elements of images `[images, channels, rows, columns]` lie with their channels last, without gaps:
    /// what convolutions of many channels like best. Their results, and those of elementwise operations and batch
    /// normalization, lie as their operands do.
    public var isChannelsLast: Bool {
        guard rank == 4, count > 0 else { return false }
        let layout = Self.channelsLastStrides(shape)
        return zip(zip(strides, layout), shape).allSatisfy { $0.0 == $0.1 || $1 == 1 }
    }

    /// The same images `[images, channels, rows, columns]` with channels last in memory; shares storage where they lie
    /// so already. Gradients flow through it as through ``contiguous()``.
    ///
    /// - Precondition: four dimensions.
    public func channelsLast() -> Tensor {
        precondition(rank == 4, "channels last of shape \(shape): [images, channels, rows, columns] expected")
        if isChannelsLast { return self }
        let result = Tensor(uninitialized: shape, dataType: dataType, strides: Self.channelsLastStrides(shape))
        CPUBackend.shared.write(self, over: result)
        var recorded = result
        recorded.node = node
        return recorded
    }

    static func channelsLastStrides(_ shape: [Int]) -> [Int] {
        let (channels, rows, columns) = (shape[1], shape[2], shape[3])
        return [rows * columns * channels, 1, columns * channels, channels]
    }

    /// A new tensor whose elements lie without gaps in an order of dimensions that its strides give.
    init(uninitialized shape: [Int], dataType: DataType, strides: [Int]) {
        self.init(
            dataType: dataType, shape: shape, strides: strides, offset: 0,
            storage: TensorStorage(byteCount: shape.reduce(1, *) * dataType.byteCount))
    }

    /// The strides that all operands with more than one element share, where these are images of `shape` with channels
    /// last: an elementwise operation on them is one on flat arrays.
    static func commonLayout(_ operands: [Tensor], shape: [Int]) -> [Int]? {
        guard let first = operands.first(where: { $0.count != 1 }), first.shape == shape, !first.isContiguous,
            first.isChannelsLast, operands.allSatisfy({ $0.count == 1 || $0.isChannelsLast && $0.shape == shape })
        else { return nil }
        return channelsLastStrides(shape)
    }

    /// The strides of images of `shape` with channels last, where one operand has them and each of the others too, or is
    /// one number, or one for each image, or for each channel of each image.
    static func commonLayoutOfImages(_ operands: [Tensor], shape: [Int]) -> [Int]? {
        guard shape.count == 4 else { return nil }
        var layout: [Int]?
        for operand in operands where operand.count != 1 {
            let strides = operand.strides(broadcastTo: shape)
            if operand.shape == shape, operand.isChannelsLast, !operand.isContiguous {
                layout = strides
            } else if strides[0] == 0 || strides[2] != 0 || strides[3] != 0 {
                return nil
            }
        }
        return layout
    }
}

extension Tensor {
    /// Whether the elements fill their part of the storage without gaps or repetitions, in whatever order.
    var isDense: Bool {
        if isContiguous { return true }
        var expected = 1
        for axis in shape.indices.sorted(by: { strides[$0] < strides[$1] }) where shape[axis] != 1 {
            if strides[axis] != expected { return false }
            expected *= shape[axis]
        }
        return true
    }
}
