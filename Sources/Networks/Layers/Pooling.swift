import CoppiceTensors

/// The largest element of each window: `[..., rows, columns]` → `[..., rows, columns]`.
public final class MaxPool2d: Module {
    public let windows: Windows

    /// - Parameter windows: PyTorch's default stride is the kernel's extents; here it is stated.
    public init(_ windows: Windows) { self.windows = windows }

    public func callAsFunction(_ x: Tensor) -> Tensor { x.maxPooled(windows) }
}

/// The mean of each window: `[..., rows, columns]` → `[..., rows, columns]`.
public final class AvgPool2d: Module {
    public let windows: Windows
    /// Whether padding counts as zeros, or not at all.
    public let countsPadding: Bool

    public init(_ windows: Windows, countsPadding: Bool = true) {
        self.windows = windows
        self.countsPadding = countsPadding
    }

    public func callAsFunction(_ x: Tensor) -> Tensor { x.averagePooled(windows, countsPadding: countsPadding) }
}

/// Means of nearly equal parts: `[..., rows, columns]` → `[..., output rows, output columns]`, whatever the input's size.
public final class AdaptiveAvgPool2d: Module {
    public let output: Windows.Axes

    public init(_ output: Windows.Axes) { self.output = output }

    public func callAsFunction(_ x: Tensor) -> Tensor { x.adaptiveAveragePooled(to: output) }
}

/// The largest element of each window of sequences: `[..., length]` → `[..., length]`.
public final class MaxPool1d: Module {
    private let windows: Windows

    public init(kernel: Int, stride: Int? = nil, padding: Int = 0, dilation: Int = 1) {
        windows = Windows(
            kernel: [1, kernel], stride: [1, stride ?? kernel], padding: [0, padding], dilation: [1, dilation])
    }

    public func callAsFunction(_ x: Tensor) -> Tensor { x.expanded(at: -2).maxPooled(windows).squeezed(-2) }
}

/// The mean of each window of sequences: `[..., length]` → `[..., length]`.
public final class AvgPool1d: Module {
    private let windows: Windows
    /// Whether padding counts as zeros, or not at all.
    public let countsPadding: Bool

    public init(kernel: Int, stride: Int? = nil, padding: Int = 0, countsPadding: Bool = true) {
        windows = Windows(kernel: [1, kernel], stride: [1, stride ?? kernel], padding: [0, padding])
        self.countsPadding = countsPadding
    }

    public func callAsFunction(_ x: Tensor) -> Tensor {
        x.expanded(at: -2).averagePooled(windows, countsPadding: countsPadding).squeezed(-2)
    }
}
