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
    }

    /// Computes one of the tensors from the other two, given in the order x, w, y.
    ///
    /// f32 is computed by oneDNN, f64 by unfolding and matrix products, f16 and bf16 in f32. The result does not
    /// depend on the number of threads.
    func compute(_ operation: Operation, _ first: Tensor, _ second: Tensor) -> Tensor {
        let type = DataType.promoted(first.dataType, second.dataType)
        let precision: DataType = type == .f64 ? .f64 : .f32
        let a = first.converted(to: precision).contiguous()
        let b = second.converted(to: precision).contiguous()
        let result = Tensor(uninitialized: shape(of: operation), dataType: precision)
        if result.count == 0 { return result.converted(to: type) }
        if a.count == 0 || b.count == 0 {
            result.basePointer.initializeMemory(as: UInt8.self, repeating: 0, count: result.byteCount)
        } else if precision == .f64 {
            MatrixConvolution<Double>(problem: self).compute(
                operation, a.pointer(Double.self), b.pointer(Double.self), into: result.pointer(Double.self))
        } else {
            OneDNNConvolution(problem: self).compute(
                operation, a.pointer(Float.self), b.pointer(Float.self), into: result.pointer(Float.self))
        }
        withExtendedLifetime((a, b)) {}
        return result.converted(to: type)
    }
}
