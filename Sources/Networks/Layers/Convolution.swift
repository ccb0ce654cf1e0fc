import CoppiceTensors

/// Two-dimensional convolution: `[images, in channels, rows, columns]` → `[images, out channels, rows, columns]`.
public final class Conv2d: Module {
    /// [out channels, in channels / groups, kernel rows, kernel columns].
    @Parameter public var weight: Tensor
    /// [out channels].
    public let bias: Parameter?
    public let windows: Windows
    public let groups: Int
    /// Called with every input `[images, in channels, rows, columns]` of the layer.
    public var inputObserver: ((Tensor) -> Void)?

    /// - Parameters:
    ///   - weight: [out channels, in channels / groups, kernel rows, kernel columns].
    ///   - bias: [out channels], or nil for none.
    ///   - windows: its kernel has the weight's extents.
    public init(weight: Tensor, bias: Tensor? = nil, windows: Windows, groups: Int = 1) {
        precondition(
            weight.rank == 4 && weight.shape[2] == windows.kernel.rows && weight.shape[3] == windows.kernel.columns,
            "a convolution's weight of shape \(weight.shape) for windows of \(windows.kernel)")
        precondition(bias == nil || bias?.shape == [weight.shape[0]], "a bias for each output channel expected")
        _weight = Parameter("weight", weight)
        self.bias = bias.map { Parameter("bias", $0) }
        self.windows = windows
        self.groups = groups
    }

    /// Random weights, uniform within 1 / √fan-in (the bound of He et al. 2015 with a = √5, PyTorch's default).
    public convenience init(
        inChannels: Int, outChannels: Int, windows: Windows, groups: Int = 1, hasBias: Bool = true,
        using generator: inout RandomGenerator
    ) {
        precondition(inChannels % groups == 0, "\(inChannels) channels in \(groups) groups")
        let kernel = windows.kernel
        let fanIn = inChannels / groups * kernel.rows * kernel.columns
        let weight = Tensor.uniform(
            fanIn: fanIn, [outChannels, inChannels / groups, kernel.rows, kernel.columns], &generator)
        let bias = hasBias ? Tensor.uniform(fanIn: fanIn, [outChannels], &generator) : nil
        self.init(weight: weight, bias: bias, windows: windows, groups: groups)
    }

    /// Within ``withSparseProducts(_:_:)`` that skips zeros by the kept weights alone.
    public func callAsFunction(_ x: Tensor) -> Tensor {
        inputObserver?(x)
        let y =
            if x.dataType == .f32, let kernel = SparseProducts.current?.kernel(of: $weight) {
                x.convolved(with: kernel, windows: windows, groups: groups)
            } else {
                x.convolved(with: weight, windows: windows, groups: groups)
            }
        guard let bias else { return y }
        return y + bias.wrappedValue.reshaped([1, -1, 1, 1])
    }

    /// The layer's output normalized, plus a residual, then max(·, 0) where asked for: in one pass where the layer skips
    /// zeros and the norm is in use, otherwise one after the other.
    public func callAsFunction(
        _ x: Tensor, normalizedBy norm: BatchNorm, times factors: Tensor? = nil, adding residual: Tensor? = nil,
        rectifies: Bool = false
    ) -> Tensor {
        guard x.dataType == .f32, factors == nil, bias == nil, !norm.isTraining,
            let kernel = SparseProducts.current?.kernel(of: $weight)
        else { return norm(self(x), times: factors, adding: residual, rectifies: rectifies) }
        inputObserver?(x)
        let (scales, shifts) = norm.affine
        return x.convolved(
            with: kernel, windows: windows, groups: groups,
            epilogue: .init(scales: scales, shifts: shifts, residual: residual, rectifies: rectifies))
    }
}

/// One-dimensional convolution: `[sequences, in channels, length]` → `[sequences, out channels, length]`.
public final class Conv1d: Module {
    /// [out channels, in channels / groups, kernel].
    @Parameter public var weight: Tensor
    /// [out channels].
    public let bias: Parameter?
    public let groups: Int
    private let windows: Windows

    /// - Parameters:
    ///   - weight: [out channels, in channels / groups, kernel].
    ///   - bias: [out channels], or nil for none.
    ///   - padding: zeros before and after the sequence.
    public init(
        weight: Tensor, bias: Tensor? = nil, stride: Int = 1, padding: Int = 0, dilation: Int = 1, groups: Int = 1
    ) {
        precondition(weight.rank == 3, "a convolution's weight of shape \(weight.shape)")
        precondition(bias == nil || bias?.shape == [weight.shape[0]], "a bias for each output channel expected")
        _weight = Parameter("weight", weight)
        self.bias = bias.map { Parameter("bias", $0) }
        self.groups = groups
        windows = Windows(
            kernel: [1, weight.shape[2]], stride: [1, stride], padding: [0, padding], dilation: [1, dilation])
    }

    /// Random weights, uniform within 1 / √fan-in (the bound of He et al. 2015 with a = √5, PyTorch's default).
    public convenience init(
        inChannels: Int, outChannels: Int, kernel: Int, stride: Int = 1, padding: Int = 0, dilation: Int = 1,
        groups: Int = 1, hasBias: Bool = true, using generator: inout RandomGenerator
    ) {
        precondition(inChannels % groups == 0, "\(inChannels) channels in \(groups) groups")
        let fanIn = inChannels / groups * kernel
        let weight = Tensor.uniform(fanIn: fanIn, [outChannels, inChannels / groups, kernel], &generator)
        let bias = hasBias ? Tensor.uniform(fanIn: fanIn, [outChannels], &generator) : nil
        self.init(
            weight: weight, bias: bias, stride: stride, padding: padding, dilation: dilation, groups: groups)
    }

    public func callAsFunction(_ x: Tensor) -> Tensor {
        let y = x.expanded(at: 2).convolved(with: weight.expanded(at: 2), windows: windows, groups: groups).squeezed(2)
        guard let bias else { return y }
        return y + bias.wrappedValue.reshaped([1, -1, 1])
    }
}

/// Transposed two-dimensional convolution, which takes a convolution's output shape to its input shape:
/// `[images, in channels, rows, columns]` → `[images, out channels, rows, columns]`.
public final class ConvTranspose2d: Module {
    /// [in channels, out channels / groups, kernel rows, kernel columns].
    @Parameter public var weight: Tensor
    /// [out channels].
    public let bias: Parameter?
    public let windows: Windows
    public let outputPadding: Windows.Axes
    public let groups: Int

    /// - Parameters:
    ///   - weight: [in channels, out channels / groups, kernel rows, kernel columns].
    ///   - bias: [out channels], or nil for none.
    ///   - windows: of the convolution that this one transposes.
    ///   - outputPadding: rows and columns added at the end, for strides that leave a rest.
    public init(
        weight: Tensor, bias: Tensor? = nil, windows: Windows, outputPadding: Windows.Axes = 0, groups: Int = 1
    ) {
        precondition(
            weight.rank == 4 && weight.shape[2] == windows.kernel.rows && weight.shape[3] == windows.kernel.columns,
            "a convolution's weight of shape \(weight.shape) for windows of \(windows.kernel)")
        precondition(
            bias == nil || bias?.shape == [weight.shape[1] * groups], "a bias for each output channel expected")
        _weight = Parameter("weight", weight)
        self.bias = bias.map { Parameter("bias", $0) }
        self.windows = windows
        self.outputPadding = outputPadding
        self.groups = groups
    }

    public func callAsFunction(_ x: Tensor) -> Tensor {
        func extent(
            _ input: Int, _ stride: Int, _ low: Int, _ high: Int, _ kernel: Int, _ dilation: Int, _ added: Int
        ) -> Int {
            (input - 1) * stride - low - high + dilation * (kernel - 1) + added + 1
        }
        let w = windows
        let size = Windows.Axes(
            rows: extent(
                x.shape[2], w.stride.rows, w.lowPadding.rows, w.highPadding.rows, w.kernel.rows, w.dilation.rows,
                outputPadding.rows),
            columns: extent(
                x.shape[3], w.stride.columns, w.lowPadding.columns, w.highPadding.columns, w.kernel.columns,
                w.dilation.columns, outputPadding.columns))
        let y = x.convolutionInputGradient(weight: weight, inputSize: size, windows: windows, groups: groups)
        guard let bias else { return y }
        return y + bias.wrappedValue.reshaped([1, -1, 1, 1])
    }
}

extension Tensor {
    /// Uniform within ±1 / √fan-in.
    static func uniform(fanIn: Int, _ shape: [Int], _ generator: inout RandomGenerator) -> Tensor {
        let bound = 1 / Double(Swift.max(1, fanIn)).squareRoot()
        return .uniform(shape, low: -bound, high: bound, using: &generator)
    }
}
