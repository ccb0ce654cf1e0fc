import CKernels

/// How windows slide over the last two dimensions of a tensor: the geometry of convolution and pooling.
///
/// Output element (r, c) sees the input elements (r · stride - lowPadding + i · dilation, …) for i below the kernel's
/// extent; those outside the input are padding.
public struct Windows: Sendable, Hashable {
    /// Extents of the kernel: rows, columns.
    public var kernel: Axes
    /// Distance between the windows of neighbouring outputs.
    public var stride: Axes
    /// Padding before the first row and column.
    public var lowPadding: Axes
    /// Padding after the last row and column.
    public var highPadding: Axes
    /// Distance between neighbouring elements of a window.
    public var dilation: Axes
    /// Whether a last window that begins inside the input (or its low padding) but reaches beyond the high padding
    /// still counts (PyTorch's `ceil_mode`).
    public var includesPartialWindows: Bool

    /// One number for rows and one for columns.
    public struct Axes: Sendable, Hashable, ExpressibleByIntegerLiteral, ExpressibleByArrayLiteral {
        public var rows: Int
        public var columns: Int

        public init(rows: Int, columns: Int) {
            self.rows = rows
            self.columns = columns
        }

        /// The same number for both.
        public init(integerLiteral value: Int) { self.init(rows: value, columns: value) }

        /// `[rows, columns]`.
        public init(arrayLiteral elements: Int...) {
            precondition(elements.count == 2, "two numbers expected: rows and columns")
            self.init(rows: elements[0], columns: elements[1])
        }

        /// The same number for both.
        public init(_ both: Int) { self.init(rows: both, columns: both) }
    }

    /// - Precondition: extents, strides and dilations are at least 1, paddings at least 0.
    public init(
        kernel: Axes, stride: Axes = 1, padding: Axes = 0, dilation: Axes = 1, includesPartialWindows: Bool = false
    ) {
        self.init(
            kernel: kernel, stride: stride, lowPadding: padding, highPadding: padding, dilation: dilation,
            includesPartialWindows: includesPartialWindows)
    }

    /// - Precondition: extents, strides and dilations are at least 1, paddings at least 0.
    public init(
        kernel: Axes, stride: Axes, lowPadding: Axes, highPadding: Axes, dilation: Axes = 1,
        includesPartialWindows: Bool = false
    ) {
        for (name, axes, least) in [
            ("kernel", kernel, 1), ("stride", stride, 1), ("padding", lowPadding, 0), ("padding", highPadding, 0),
            ("dilation", dilation, 1),
        ] {
            precondition(
                min(axes.rows, axes.columns) >= least, "\(name) \(axes.rows) × \(axes.columns): at least \(least)")
        }
        self.kernel = kernel
        self.stride = stride
        self.lowPadding = lowPadding
        self.highPadding = highPadding
        self.dilation = dilation
        self.includesPartialWindows = includesPartialWindows
    }

    /// The number of windows on an input of `size`.
    ///
    /// - Precondition: the padded input is at least as large as a window.
    public func outputSize(for size: Axes) -> Axes {
        Axes(
            rows: outputs(
                size.rows, kernel.rows, stride.rows, lowPadding.rows, highPadding.rows, dilation.rows),
            columns: outputs(
                size.columns, kernel.columns, stride.columns, lowPadding.columns, highPadding.columns,
                dilation.columns))
    }

    private func outputs(
        _ extent: Int, _ kernel: Int, _ stride: Int, _ low: Int, _ high: Int, _ dilation: Int
    ) -> Int {
        let room = extent + low + high - dilation * (kernel - 1) - 1
        precondition(room >= 0, "an input of \(extent) with padding \(low) and \(high) is smaller than a window")
        guard includesPartialWindows else { return room / stride + 1 }
        let outputs = (room + stride - 1) / stride + 1
        // The last window must begin inside the input or its low padding.
        return (outputs - 1) * stride >= extent + low ? outputs - 1 : outputs
    }

    /// The description that the kernels take.
    func kernels(input size: Axes, output: Axes) -> coppice_windows {
        coppice_windows(
            height: size.rows, width: size.columns, kernel_height: kernel.rows, kernel_width: kernel.columns,
            out_height: output.rows, out_width: output.columns, stride_y: stride.rows, stride_x: stride.columns,
            dilation_y: dilation.rows, dilation_x: dilation.columns, top: lowPadding.rows, left: lowPadding.columns)
    }
}
