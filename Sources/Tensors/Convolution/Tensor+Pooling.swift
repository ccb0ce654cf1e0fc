import CKernels

/// Pooling over the last two dimensions [..., rows, columns]. Differentiable to any order.
extension Tensor {
    /// The largest element of each window; NaN where a window has one.
    ///
    /// Padding never wins. The gradient goes to the first of equal elements.
    ///
    /// - Returns: [..., output rows, output columns].
    /// - Precondition: at least two dimensions; padding of at most half a window.
    public func maxPooled(_ windows: Windows) -> Tensor {
        let (size, output) = poolingSizes(windows)
        for (low, high, kernel, dilation) in [
            (windows.lowPadding.rows, windows.highPadding.rows, windows.kernel.rows, windows.dilation.rows),
            (windows.lowPadding.columns, windows.highPadding.columns, windows.kernel.columns, windows.dilation.columns),
        ] {
            precondition(
                2 * Swift.max(low, high) <= dilation * (kernel - 1) + 1, "padding of more than half a window")
        }
        let planes = shape.dropLast(2).reduce(1, *)
        let places = Tensor(uninitialized: [planes, output.rows * output.columns], dataType: .i64)
        let kernels = windows.kernels(input: size, output: output)
        let source = detached().converted(to: dataType == .f64 ? .f64 : .f32).contiguous()
        withExtendedLifetime(source) {
            if source.dataType == .f64 {
                coppice_max_pool_f64(source.pointer(Double.self), planes, kernels, places.pointer(Int64.self))
            } else {
                coppice_max_pool_f32(source.pointer(Float.self), planes, kernels, places.pointer(Int64.self))
            }
        }
        return reshaped([planes, size.rows * size.columns]).takeAlong(places, axis: 1)
            .reshaped(shape.dropLast(2) + [output.rows, output.columns])
    }

    /// The sum of each window, padding counting as zero.
    ///
    /// - Returns: [..., output rows, output columns].
    /// - Precondition: at least two dimensions, floating point.
    public func sumPooled(_ windows: Windows) -> Tensor {
        precondition(dataType.isFloatingPoint, "pooling of type \(dataType)")
        let (size, output) = poolingSizes(windows)
        return Self.apply(.sumPool(Pooling(windows: windows, input: size, output: output), adjoint: false), [self])
    }

    /// The mean of each window.
    ///
    /// - Parameter countsPadding: whether the padding counts as zeros, or not at all. (The part of a window beyond the
    ///   high padding, where `includesPartialWindows` allows it, never counts.)
    /// - Returns: [..., output rows, output columns].
    /// - Precondition: at least two dimensions, floating point.
    public func averagePooled(_ windows: Windows, countsPadding: Bool = true) -> Tensor {
        let (size, output) = poolingSizes(windows)
        func counts(
            _ outputs: Int, _ extent: Int, _ kernel: Int, _ stride: Int, _ low: Int, _ high: Int, _ dilation: Int
        ) -> [Double] {
            let valid = countsPadding ? -low..<extent + high : 0..<extent
            return (0..<outputs).map { output in
                Double((0..<kernel).count { valid.contains(output * stride - low + $0 * dilation) })
            }
        }
        let w = windows
        let rows = counts(
            output.rows, size.rows, w.kernel.rows, w.stride.rows, w.lowPadding.rows, w.highPadding.rows, w.dilation.rows
        )
        let columns = counts(
            output.columns, size.columns, w.kernel.columns, w.stride.columns, w.lowPadding.columns,
            w.highPadding.columns, w.dilation.columns)
        let sums = sumPooled(windows)
        if Set(rows).count == 1, Set(columns).count == 1, let row = rows.first, let column = columns.first {
            return sums / (row * column)
        }
        let scale = rows.flatMap { row in columns.map { 1 / (row * $0) } }
        return sums * Tensor(scale, shape: [rows.count, columns.count]).converted(to: dataType)
    }

    /// The mean of each of `output` nearly equal parts of the rows and columns: part i of n covers
    /// ⌊i · extent / n⌋ ..< ⌈(i + 1) · extent / n⌉.
    ///
    /// - Returns: [..., output rows, output columns].
    /// - Precondition: at least two dimensions, neither of the last two empty; floating point.
    public func adaptiveAveragePooled(to output: Windows.Axes) -> Tensor {
        precondition(rank >= 2 && dataType.isFloatingPoint, "pooling of shape \(shape), type \(dataType)")
        let (rows, columns) = (shape[rank - 2], shape[rank - 1])
        precondition(rows > 0 && columns > 0, "adaptive pooling of shape \(shape)")
        precondition(output.rows > 0 && output.columns > 0, "adaptive pooling to \(output)")
        if output == 1 { return mean(axes: [-2, -1], keepingDimensions: true) }
        if rows % output.rows == 0, columns % output.columns == 0 {
            let kernel = Windows.Axes(rows: rows / output.rows, columns: columns / output.columns)
            return averagePooled(Windows(kernel: kernel, stride: kernel))
        }
        // Averaging along each axis is a small matrix.
        func averages(_ parts: Int, of extent: Int) -> Tensor {
            var elements = [Double](repeating: 0, count: parts * extent)
            for part in 0..<parts {
                let range = part * extent / parts..<((part + 1) * extent + parts - 1) / parts
                for place in range { elements[part * extent + place] = 1 / Double(range.count) }
            }
            return Tensor(elements, shape: [parts, extent]).converted(to: dataType)
        }
        return averages(output.rows, of: rows).matmul(self).matmul(averages(output.columns, of: columns).transposed())
    }

    private func poolingSizes(_ windows: Windows) -> (input: Windows.Axes, output: Windows.Axes) {
        precondition(rank >= 2, "pooling of shape \(shape): at least two dimensions expected")
        let size = Windows.Axes(rows: shape[rank - 2], columns: shape[rank - 1])
        return (size, windows.outputSize(for: size))
    }
}

/// Sums over windows, or their adjoint, on planes of one size: each is the other's derivative.
struct Pooling: Sendable, Hashable {
    var windows: Windows
    var input: Windows.Axes
    var output: Windows.Axes

    /// f16 and bf16 are computed in f32.
    func evaluate(_ x: Tensor, adjoint: Bool) -> Tensor {
        let source = x.converted(to: x.dataType == .f64 ? .f64 : .f32).contiguous()
        let size = adjoint ? input : output
        let result = Tensor(
            uninitialized: x.shape.dropLast(2) + [size.rows, size.columns], dataType: source.dataType)
        let planes = x.shape.dropLast(2).reduce(1, *)
        let kernels = windows.kernels(input: input, output: output)
        withExtendedLifetime(source) {
            switch (source.dataType, adjoint) {
            case (.f64, false):
                coppice_sum_pool_f64(source.pointer(Double.self), planes, kernels, result.pointer(Double.self))
            case (.f64, true):
                coppice_sum_pool_adjoint_f64(source.pointer(Double.self), planes, kernels, result.pointer(Double.self))
            case (_, false):
                coppice_sum_pool_f32(source.pointer(Float.self), planes, kernels, result.pointer(Float.self))
            case (_, true):
                coppice_sum_pool_adjoint_f32(source.pointer(Float.self), planes, kernels, result.pointer(Float.self))
            }
        }
        return result.converted(to: x.dataType)
    }
}
