extension Tensor {
    /// The cross-correlation of images with a weight, as neural networks call convolution.
    ///
    /// y[n, o, r, c] = Σ x[n, i, r · stride - padding + a · dilation, …] · w[o, i, a, b] over the channels i of the
    /// group of o and the places (a, b) of the kernel. Differentiable to any order: the derivatives of convolution,
    /// ``convolutionInputGradient(weight:inputSize:windows:groups:)`` and
    /// ``convolutionWeightGradient(input:windows:groups:)`` are each other.
    ///
    /// f32 is computed by oneDNN, f64 by matrix products, f16 and bf16 in f32; results do not depend on the number of
    /// threads.
    ///
    /// - Parameters:
    ///   - weight: [out channels, in channels / groups, kernel rows, kernel columns].
    ///   - windows: stride, padding and dilation; its kernel has the weight's extents.
    ///   - groups: channels are cut into this many groups, which do not see each other.
    /// - Returns: [images, out channels, rows, columns].
    /// - Precondition: this tensor is [images, in channels, rows, columns] and fits the weight and the windows.
    public func convolved(with weight: Tensor, windows: Windows, groups: Int = 1) -> Tensor {
        let problem = ConvolutionProblem(input: shape, weight: weight.shape, windows: windows, groups: groups)
        return Self.apply(.convolution(problem, .forward), [self, weight])
    }

    /// The gradient by the input of a convolution whose output has this tensor as its gradient. It is also the
    /// transposed convolution of this tensor.
    ///
    /// - Parameters:
    ///   - weight: [out channels, in channels / groups, kernel rows, kernel columns].
    ///   - inputSize: rows and columns of the input, which the output's do not tell where the stride leaves a rest.
    /// - Returns: [images, in channels, rows, columns].
    /// - Precondition: this tensor is [images, out channels, output rows, output columns] of such a convolution.
    public func convolutionInputGradient(
        weight: Tensor, inputSize: Windows.Axes, windows: Windows, groups: Int = 1
    ) -> Tensor {
        precondition(rank == 4 && weight.rank == 4, "shapes \(shape) and \(weight.shape): four dimensions expected")
        let problem = ConvolutionProblem(
            input: [shape[0], weight.shape[1] * groups, inputSize.rows, inputSize.columns], weight: weight.shape,
            windows: windows, groups: groups)
        precondition(shape == problem.outputShape, "an output of shape \(shape), \(problem.outputShape) expected")
        return Self.apply(.convolution(problem, .inputGradient), [weight, self])
    }

    /// The gradient by the weight of a convolution whose output has this tensor as its gradient.
    ///
    /// - Parameter input: [images, in channels, rows, columns].
    /// - Returns: [out channels, in channels / groups, kernel rows, kernel columns].
    /// - Precondition: this tensor is [images, out channels, output rows, output columns] of such a convolution.
    public func convolutionWeightGradient(input: Tensor, windows: Windows, groups: Int = 1) -> Tensor {
        precondition(rank == 4 && input.rank == 4, "shapes \(shape) and \(input.shape): four dimensions expected")
        precondition(groups >= 1 && input.shape[1] % groups == 0, "\(input.shape[1]) channels in \(groups) groups")
        let problem = ConvolutionProblem(
            input: input.shape,
            weight: [shape[1], input.shape[1] / groups, windows.kernel.rows, windows.kernel.columns],
            windows: windows, groups: groups)
        precondition(shape == problem.outputShape, "an output of shape \(shape), \(problem.outputShape) expected")
        return Self.apply(.convolution(problem, .weightGradient), [input, self])
    }
}

extension ConvolutionProblem {
    /// The derivatives of an operation: the gradient by each of its two inputs (nil where not wanted), given the
    /// gradient `g` by its result. All of them are operations of the same convolution.
    func gradients(
        of operation: Operation, _ first: Tensor, _ second: Tensor, seed g: Tensor
    ) -> [Tensor?] {
        func part(_ wanted: Tensor, _ operation: Operation, _ a: Tensor, _ b: Tensor) -> Tensor? {
            guard wanted.isTracked else { return nil }
            return Tensor.apply(.convolution(self, operation), [a, b]).converted(to: wanted.dataType)
        }
        switch operation {
        case .forward:  // x, w
            return [part(first, .inputGradient, second, g), part(second, .weightGradient, first, g)]
        case .inputGradient:  // w, dy
            return [part(first, .weightGradient, g, second), part(second, .forward, g, first)]
        case .weightGradient:  // x, dy
            return [part(first, .inputGradient, g, second), part(second, .forward, first, g)]
        }
    }
}
