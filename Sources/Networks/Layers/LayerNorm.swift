import CoppiceTensors

/// Normalization of the last dimensions of each element of a batch (Ba, Kiros and Hinton, "Layer normalization", 2016).
public final class LayerNorm: Module {
    /// The normalized dimensions' shape; nil where the layer does not scale.
    public let weight: Parameter?
    /// The normalized dimensions' shape; nil where the layer does not shift.
    public let bias: Parameter?
    public let shape: [Int]
    public let epsilon: Double

    /// - Parameter shape: extents of the last dimensions, which are normalized together.
    public init(
        shape: [Int], epsilon: Double = 1e-5, scales: Bool = true, shifts: Bool = true, dataType: DataType = .f32
    ) {
        precondition(!shape.isEmpty, "layer normalization of no dimension")
        weight = scales ? Parameter("weight", .ones(shape, dataType: dataType)) : nil
        bias = shifts ? Parameter("bias", .zeros(shape, dataType: dataType)) : nil
        self.shape = shape
        self.epsilon = epsilon
    }

    /// `[..., shape]` → the same shape.
    public func callAsFunction(_ x: Tensor) -> Tensor {
        precondition(
            x.shape.suffix(shape.count) == shape[...],
            "layer normalization of shape \(x.shape), [..., \(shape)] expected")
        // The normalized dimensions are one to the kernel.
        let size = [shape.reduce(1, *)]
        let scale = weight?.wrappedValue.reshaped(size) ?? .ones(size, dataType: x.dataType)
        let shift = bias?.wrappedValue.reshaped(size) ?? .zeros(size, dataType: x.dataType)
        return x.reshaped(x.shape.dropLast(shape.count) + size)
            .layerNormalized(weight: scale, bias: shift, epsilon: epsilon).reshaped(x.shape)
    }
}

/// Normalization of groups of channels of each image (Wu and He, "Group normalization", 2018).
public final class GroupNorm: Module {
    /// [channels]; nil where the layer does not scale.
    public let weight: Parameter?
    /// [channels]; nil where the layer does not shift.
    public let bias: Parameter?
    public let groups: Int
    public let channels: Int
    public let epsilon: Double

    public init(
        groups: Int, channels: Int, epsilon: Double = 1e-5, scalesAndShifts: Bool = true, dataType: DataType = .f32
    ) {
        precondition(groups >= 1 && channels % groups == 0, "\(channels) channels in \(groups) groups")
        weight = scalesAndShifts ? Parameter("weight", .ones([channels], dataType: dataType)) : nil
        bias = scalesAndShifts ? Parameter("bias", .zeros([channels], dataType: dataType)) : nil
        self.groups = groups
        self.channels = channels
        self.epsilon = epsilon
    }

    /// `[images, channels, ...]` → the same shape.
    public func callAsFunction(_ x: Tensor) -> Tensor {
        precondition(
            x.rank >= 2 && x.shape[1] == channels, "group normalization of shape \(x.shape) for \(channels) channels")
        let elements = channels / groups * x.shape.dropFirst(2).reduce(1, *)
        var y = x.reshaped([x.shape[0], groups, elements]).standardized(axes: [2], epsilon: epsilon).reshaped(x.shape)
        let perChannel = x.shape.indices.map { $0 == 1 ? channels : 1 }
        if let weight { y = y * weight.wrappedValue.reshaped(perChannel) }
        if let bias { y = y + bias.wrappedValue.reshaped(perChannel) }
        return y
    }
}

extension Tensor {
    /// (x - mean) / √(variance + ε) over axes.
    func standardized(axes: [Int], epsilon: Double) -> Tensor {
        let deviation = self - mean(axes: axes, keepingDimensions: true)
        let variance = deviation.square().mean(axes: axes, keepingDimensions: true)
        return deviation * (variance + epsilon).reciprocalSquareRoot()
    }
}
