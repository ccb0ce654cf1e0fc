import CKernels

/// Convolution as unfolding and a matrix product for each image and group: the path of f64, and the reference that
/// the fast path is tested against.
struct MatrixConvolution<Scalar: UnfoldableScalar> {
    let problem: ConvolutionProblem

    private typealias Elements = UnsafeMutablePointer<Scalar>

    /// Elements of one unfolded group of an image: [inputs · kernel, output].
    private var unfolded: Int { problem.inputs * problem.kernelPlane * problem.outputPlane }

    /// Computes one of x, w, y from the other two, in that order. All are contiguous and not empty.
    func compute(
        _ operation: ConvolutionProblem.Operation, _ a: UnsafePointer<Scalar>, _ b: UnsafePointer<Scalar>,
        into result: UnsafeMutablePointer<Scalar>
    ) {
        _ = useOneBLASThread
        switch operation {
        case .forward: inParallel(problem.images * problem.groups) { forward($0, a, b, result) }
        case .inputGradient: inParallel(problem.images * problem.groups) { inputGradient($0, a, b, result) }
        case .weightGradient: inParallel(problem.groups) { weightGradient(group: $0, a, b, result) }
        }
    }

    private func x(_ pair: Int) -> Int { pair * problem.inputs * problem.inputPlane }
    private func y(_ pair: Int) -> Int { pair * problem.outputs * problem.outputPlane }
    private func w(_ group: Int) -> Int { group * problem.outputs * problem.inputs * problem.kernelPlane }

    private func withBuffer(_ body: (Elements) -> Void) {
        let buffer = Elements.allocate(capacity: unfolded)
        body(buffer)
        buffer.deallocate()
    }

    /// y = w · unfold(x) for one image and group.
    private func forward(_ pair: Int, _ input: UnsafePointer<Scalar>, _ weight: UnsafePointer<Scalar>, _ out: Elements)
    {
        let inner = problem.inputs * problem.kernelPlane
        withBuffer { columns in
            Scalar.unfold(input + x(pair), problem, columns)
            Scalar.gemm(
                false, false, problem.outputs, problem.outputPlane, inner, weight + w(pair % problem.groups), inner,
                columns, problem.outputPlane, 0, out + y(pair), problem.outputPlane)
        }
    }

    /// dx = fold(wᵀ · dy) for one image and group.
    private func inputGradient(
        _ pair: Int, _ weight: UnsafePointer<Scalar>, _ gradient: UnsafePointer<Scalar>, _ out: Elements
    ) {
        let inner = problem.inputs * problem.kernelPlane
        withBuffer { columns in
            Scalar.gemm(
                true, false, inner, problem.outputPlane, problem.outputs, weight + w(pair % problem.groups), inner,
                gradient + y(pair), problem.outputPlane, 0, columns, problem.outputPlane)
            let own = out + x(pair)
            own.update(repeating: 0, count: problem.inputs * problem.inputPlane)
            Scalar.foldAdd(columns, problem, own)
        }
    }

    /// dw = Σ over images of dy · unfold(x)ᵀ for one group.
    private func weightGradient(
        group: Int, _ input: UnsafePointer<Scalar>, _ gradient: UnsafePointer<Scalar>, _ out: Elements
    ) {
        let inner = problem.inputs * problem.kernelPlane
        withBuffer { columns in
            for image in 0..<problem.images {
                let pair = image * problem.groups + group
                Scalar.unfold(input + x(pair), problem, columns)
                Scalar.gemm(
                    false, true, problem.outputs, inner, problem.outputPlane, gradient + y(pair), problem.outputPlane,
                    columns, problem.outputPlane, image == 0 ? 0 : 1, out + w(group), inner)
            }
        }
    }
}

/// A precision with kernels that unfold planes.
protocol UnfoldableScalar: LAPACKScalar {
    /// Unfolds the input channels of one image and group.
    static func unfold(_ x: UnsafePointer<Self>, _ problem: ConvolutionProblem, _ columns: Elements)
    /// The adjoint of ``unfold(_:_:_:)``, added to x.
    static func foldAdd(_ columns: UnsafePointer<Self>, _ problem: ConvolutionProblem, _ x: Elements)
}

extension ConvolutionProblem {
    fileprivate var kernels: coppice_windows { windows.kernels(input: inputSize, output: outputSize) }
}

extension Double: UnfoldableScalar {
    static func unfold(_ x: UnsafePointer<Double>, _ problem: ConvolutionProblem, _ columns: Elements) {
        coppice_unfold_f64(x, problem.inputs, problem.kernels, columns)
    }

    static func foldAdd(_ columns: UnsafePointer<Double>, _ problem: ConvolutionProblem, _ x: Elements) {
        coppice_fold_add_f64(columns, problem.inputs, problem.kernels, x)
    }
}

extension Float: UnfoldableScalar {
    static func unfold(_ x: UnsafePointer<Float>, _ problem: ConvolutionProblem, _ columns: Elements) {
        coppice_unfold_f32(x, problem.inputs, problem.kernels, columns)
    }

    static func foldAdd(_ columns: UnsafePointer<Float>, _ problem: ConvolutionProblem, _ x: Elements) {
        coppice_fold_add_f32(columns, problem.inputs, problem.kernels, x)
    }
}
