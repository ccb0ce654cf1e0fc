/// The sizes of one convolution: what its three operations (forward, gradient of the input, gradient of the weights)
/// have in common.
///
/// x is [images, groups · inputs, rows, columns], w is [groups · outputs, inputs, kernel rows, kernel columns] and y
/// is [images, groups · outputs, output rows, output columns].
struct ConvolutionProblem: Hashable {
    var images: Int
    var groups: Int
    /// Input channels of one group.
    var inputs: Int
    /// Output channels of one group.
    var outputs: Int
    var inputSize: Windows.Axes
    var outputSize: Windows.Axes
    var windows: Windows
    /// What operands of f32 are rounded to. Sums are in f32.
    var precision: OperandPrecision

    /// Which of the three tensors is computed from the other two. Each is linear in both, and the derivatives of each
    /// are the other two: so differentiation never leaves this set.
    enum Operation: Hashable {
        case forward, inputGradient, weightGradient
    }

    var inputShape: [Int] { [images, groups * inputs, inputSize.rows, inputSize.columns] }
    var weightShape: [Int] { [groups * outputs, inputs, windows.kernel.rows, windows.kernel.columns] }
    var outputShape: [Int] { [images, groups * outputs, outputSize.rows, outputSize.columns] }

    /// The shape of what an operation computes.
    func shape(of operation: Operation) -> [Int] {
        switch operation {
        case .forward: outputShape
        case .inputGradient: inputShape
        case .weightGradient: weightShape
        }
    }

    /// Elements of one plane of x, of w and of y.
    var inputPlane: Int { inputSize.rows * inputSize.columns }
    var kernelPlane: Int { windows.kernel.rows * windows.kernel.columns }
    var outputPlane: Int { outputSize.rows * outputSize.columns }

    /// Checks the shapes of x and w.
    ///
    /// - Precondition: four dimensions each, channels that fit the groups, an input not smaller than a window.
    init(input: [Int], weight: [Int], windows: Windows, groups: Int) {
        precondition(input.count == 4, "convolution of shape \(input): [images, channels, rows, columns] expected")
        precondition(weight.count == 4, "weight of shape \(weight): [out, in / groups, rows, columns] expected")
        precondition(groups >= 1, "\(groups) groups")
        precondition(
            input[1] == weight[1] * groups && weight[0] % groups == 0,
            "an input of shape \(input) does not fit a weight of shape \(weight) in \(groups) groups")
        precondition(
            weight[2] == windows.kernel.rows && weight[3] == windows.kernel.columns,
            "a weight of shape \(weight) for windows of \(windows.kernel)")
        images = input[0]
        self.groups = groups
        inputs = weight[1]
        outputs = weight[0] / groups
        inputSize = Windows.Axes(rows: input[2], columns: input[3])
        outputSize = windows.outputSize(for: inputSize)
        self.windows = windows
        precision = .current
    }

    /// Computes one of the tensors from the other two, given in the order x, w, y.
    ///
    /// f32 is computed by oneDNN, f64 by unfolding and matrix products, f16 and bf16 in f32. The result does not
    /// depend on the number of threads. Where images lie with channels last, so do those that are computed.
    func compute(_ operation: Operation, _ first: Tensor, _ second: Tensor) -> Tensor {
        let type = DataType.promoted(first.dataType, second.dataType)
        let computed: DataType = type == .f64 ? .f64 : .f32
        let (a, b) = (first.converted(to: computed), second.converted(to: computed))
        let shape = shape(of: operation)
        if shape.contains(0) || a.count == 0 || b.count == 0 { return .zeros(shape, dataType: type) }
        if computed == .f64 { return unfolded(operation, a, b, Double.self) }
        return fast(operation, rounded(a), rounded(b)).converted(to: type)
    }

    /// Operands as the processor takes them: it rounds itself where it has bf16.
    private func rounded(_ x: Tensor) -> Tensor {
        precision == .bf16 && !OneDNN.hasBF16 ? x.converted(to: .bf16).converted(to: .f32) : x
    }

    /// By oneDNN, where it has an implementation.
    private func fast(_ operation: Operation, _ first: Tensor, _ second: Tensor) -> Tensor {
        var (a, b) = (first, second)
        let images = operation == .forward ? [a] : operation == .inputGradient ? [b] : [a, b]
        let isChannelsLast = images.contains { $0.isChannelsLast && !$0.isContiguous }
        // The weights are contiguous; where they are the result, both operands are images.
        func laidOut(_ x: Tensor, isImage: Bool) -> Tensor {
            isImage && isChannelsLast ? x.channelsLast() : x.contiguous()
        }
        (a, b) = (laidOut(a, isImage: operation != .inputGradient), laidOut(b, isImage: operation != .forward))
        let shape = shape(of: operation)
        let result =
            isChannelsLast && operation != .weightGradient
            ? Tensor(uninitialized: shape, dataType: .f32, strides: Tensor.channelsLastStrides(shape))
            : Tensor(uninitialized: shape)
        var problem = self
        if !OneDNN.hasBF16 { problem.precision = .f32 }
        let done = withExtendedLifetime((a, b)) {
            OneDNNConvolution(problem: problem, isChannelsLast: isChannelsLast).compute(
                operation, a.pointer(Float.self), b.pointer(Float.self), into: result.pointer(Float.self))
        }
        return done ? result : unfolded(operation, first, second, Float.self)
    }

    /// By unfolding and matrix products.
    private func unfolded<Scalar: UnfoldableScalar>(
        _ operation: Operation, _ first: Tensor, _ second: Tensor, _ scalar: Scalar.Type
    ) -> Tensor {
        let (a, b) = (first.contiguous(), second.contiguous())
        let result = Tensor(uninitialized: shape(of: operation), dataType: a.dataType)
        withExtendedLifetime((a, b)) {
            MatrixConvolution<Scalar>(problem: self).compute(
                operation, a.pointer(Scalar.self), b.pointer(Scalar.self), into: result.pointer(Scalar.self))
        }
        return result
    }
}
