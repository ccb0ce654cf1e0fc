import CSystemDNNL

/// One oneDNN convolution primitive with the reorders around it, for one part of a convolution.
///
/// oneDNN chooses the memory layouts that its kernel likes best; a plan brings our row-major tensors into them and
/// the result back. Plans are made for one thread and hold no memory: they may run on many threads at once.
final class OneDNNPlan: @unchecked Sendable {
    /// What one plan computes: a convolution of `part`, whose tensors lie within larger ones.
    struct Key: Hashable {
        var operation: ConvolutionProblem.Operation
        var part: ConvolutionProblem
        /// Elements between neighbours along each dimension of x, w and y of the part.
        var inputStrides: [Int]
        var weightStrides: [Int]
        var outputStrides: [Int]

        /// Whether all tensors of the part but the weights lie densely with channels last.
        var isChannelsLast: Bool {
            inputStrides == Tensor.channelsLastStrides(part.inputShape)
                && outputStrides == Tensor.channelsLastStrides(part.outputShape)
        }
    }

    /// A tensor as it lies in our memory and as the primitive wants it.
    struct Operand {
        fileprivate(set) var user: dnnl_memory_desc_t
        fileprivate(set) var inner: dnnl_memory_desc_t
        /// Between the two, where they differ. Towards the primitive for operands, from it for the result.
        fileprivate(set) var reorder: OpaquePointer?
        fileprivate(set) var argument: Int32

        /// Bytes in the primitive's layout.
        var innerByteCount: Int { withUnsafePointer(to: inner) { Int(dnnl_memory_desc_get_size($0)) } }
    }

    let first: Operand
    let second: Operand
    let result: Operand
    private let primitive: OpaquePointer
    private let scratchpad: dnnl_memory_desc_t

    /// Nil where oneDNN has no implementation.
    init?(_ key: Key) {
        guard let engine = OneDNN.engine else { return nil }
        let part = key.part
        let grouped = part.groups > 1
        let x = OneDNN.described(part.inputShape, key.inputStrides)
        let y = OneDNN.described(part.outputShape, key.outputStrides)
        let weightShape =
            (grouped ? [part.groups, part.outputs] : [part.outputs])
            + [part.inputs, part.windows.kernel.rows, part.windows.kernel.columns]
        let w = OneDNN.described(weightShape, key.weightStrides)
        // Operands in the precision asked for, the result in f32.
        let type = part.precision == .bf16 ? dnnl_bf16 : dnnl_f32
        func attempt(_ plain: Bool) -> (primitive: OpaquePointer, description: OpaquePointer)? {
            func wanted(_ tensor: dnnl_memory_desc_t, isResult: Bool, plain: Bool) -> dnnl_memory_desc_t {
                var wanted = tensor
                if !isResult { wanted.data_type = type }
                return plain ? wanted : wanted.anyLayout
            }
            return makePrimitive(
                key.operation, part, wanted(x, isResult: key.operation == .inputGradient, plain: plain),
                wanted(w, isResult: key.operation == .weightGradient, plain: false),
                wanted(y, isResult: key.operation == .forward, plain: plain), type, engine)
        }
        // Layouts with channels last are used as they are where there is a fast kernel for them.
        var found = key.isChannelsLast && !part.skipsPixelsOfPartialVectors ? attempt(true) : nil
        if let plain = found, !plain.description.isCompiled {
            dnnl_primitive_destroy(plain.primitive)
            dnnl_primitive_desc_destroy(plain.description)
            found = nil
        }
        guard let made = found ?? attempt(false) else { return nil }
        defer { dnnl_primitive_desc_destroy(made.description) }
        primitive = made.primitive
        guard let scratch = made.description.layout(dnnl_query_scratchpad_md) else { return nil }
        scratchpad = scratch
        let roles: [(md: dnnl_memory_desc_t, query: dnnl_query_t, argument: Int32)] =
            switch key.operation {
            case .forward:
                [
                    (x, dnnl_query_src_md, OneDNN.Argument.source), (w, dnnl_query_weights_md, OneDNN.Argument.weights),
                    (y, dnnl_query_dst_md, OneDNN.Argument.destination),
                ]
            case .inputGradient:
                [
                    (w, dnnl_query_weights_md, OneDNN.Argument.weights),
                    (y, dnnl_query_diff_dst_md, OneDNN.Argument.destinationGradient),
                    (x, dnnl_query_diff_src_md, OneDNN.Argument.sourceGradient),
                ]
            case .weightGradient:
                [
                    (x, dnnl_query_src_md, OneDNN.Argument.source),
                    (y, dnnl_query_diff_dst_md, OneDNN.Argument.destinationGradient),
                    (w, dnnl_query_diff_weights_md, OneDNN.Argument.weightGradient),
                ]
            }
        var operands: [Operand] = []
        for (index, role) in roles.enumerated() {
            guard let inner = made.description.layout(role.query) else { return nil }
            var operand = Operand(user: role.md, inner: inner, reorder: nil, argument: role.argument)
            if !operand.user.isSameLayout(as: operand.inner) {
                let isResult = index == 2
                operand.reorder = OneDNN.makeReorder(isResult ? inner : role.md, isResult ? role.md : inner, engine)
                if operand.reorder == nil { return nil }
            }
            operands.append(operand)
        }
        (first, second, result) = (operands[0], operands[1], operands[2])
    }

    deinit {
        for operand in [first, second, result] {
            if let reorder = operand.reorder { dnnl_primitive_destroy(reorder) }
        }
        dnnl_primitive_destroy(primitive)
    }

    /// `operand` in the primitive's layout: itself, or in new memory that the second result keeps.
    func inner(_ operand: Operand, _ pointer: UnsafePointer<Float>) -> (UnsafeMutableRawPointer, TensorStorage?) {
        let user = UnsafeMutableRawPointer(mutating: pointer)
        guard let reorder = operand.reorder else { return (user, nil) }
        let storage = TensorStorage(byteCount: operand.innerByteCount)
        OneDNN.execute(
            reorder,
            [
                (OneDNN.Argument.source, operand.user, user),
                (OneDNN.Argument.destination, operand.inner, storage.pointer),
            ])
        return (storage.pointer, storage)
    }

    /// Runs the primitive. All pointers are to the primitive's layouts.
    func run(_ a: UnsafeMutableRawPointer, _ b: UnsafeMutableRawPointer, _ out: UnsafeMutableRawPointer) {
        let scratch = TensorStorage(byteCount: withUnsafePointer(to: scratchpad) { Int(dnnl_memory_desc_get_size($0)) })
        OneDNN.execute(
            primitive,
            [
                (first.argument, first.inner, a), (second.argument, second.inner, b),
                (result.argument, result.inner, out), (OneDNN.Argument.scratchpad, scratchpad, scratch.pointer),
            ])
        withExtendedLifetime(scratch) {}
    }

    /// Writes a result in the primitive's layout to our memory.
    func writeResult(_ inner: UnsafeMutableRawPointer, to user: UnsafeMutablePointer<Float>) {
        guard let reorder = result.reorder else { return }
        OneDNN.execute(
            reorder,
            [
                (OneDNN.Argument.source, result.inner, inner),
                (OneDNN.Argument.destination, result.user, UnsafeMutableRawPointer(user)),
            ])
    }
}

private func makePrimitive(
    _ operation: ConvolutionProblem.Operation, _ part: ConvolutionProblem, _ x: dnnl_memory_desc_t,
    _ w: dnnl_memory_desc_t, _ y: dnnl_memory_desc_t,
    _ type: dnnl_data_type_t, _ engine: OpaquePointer
) -> (primitive: OpaquePointer, description: OpaquePointer)? {
    OpenMP.useOneThread()
    let windows = part.windows
    func pair(_ axes: Windows.Axes) -> [Int64] { [Int64(axes.rows), Int64(axes.columns)] }
    let (strides, low) = (pair(windows.stride), pair(windows.lowPadding))
    let dilations = pair(windows.dilation).map { $0 - 1 }
    // What the last window really reaches, which is less than the padding where the stride leaves a rest.
    func reach(_ outputs: Int, _ stride: Int, _ kernel: Int, _ dilation: Int, _ extent: Int, _ low: Int) -> Int64 {
        Int64((outputs - 1) * stride + (kernel - 1) * dilation + 1 - extent - low)
    }
    let high = [
        reach(
            part.outputSize.rows, windows.stride.rows, windows.kernel.rows, windows.dilation.rows, part.inputSize.rows,
            windows.lowPadding.rows),
        reach(
            part.outputSize.columns, windows.stride.columns, windows.kernel.columns, windows.dilation.columns,
            part.inputSize.columns, windows.lowPadding.columns),
    ]
    let attributes = OneDNN.attributes()
    defer { dnnl_primitive_attr_destroy(attributes) }
    var (x, w, y) = (x, w, y)

    func describe(_ operation: ConvolutionProblem.Operation, hint: OpaquePointer?) -> OpaquePointer? {
        var convolution = dnnl_convolution_desc_t()
        let status =
            switch operation {
            case .forward:
                dnnl_dilated_convolution_forward_desc_init(
                    &convolution, dnnl_forward_training, dnnl_convolution_direct, &x, &w, nil, &y, strides, dilations,
                    low, high)
            case .inputGradient:
                dnnl_dilated_convolution_backward_data_desc_init(
                    &convolution, dnnl_convolution_direct, &x, &w, &y, strides, dilations, low, high)
            case .weightGradient:
                dnnl_dilated_convolution_backward_weights_desc_init(
                    &convolution, dnnl_convolution_direct, &x, &w, nil, &y, strides, dilations, low, high)
            }
        guard status == dnnl_success else { return nil }
        var description: OpaquePointer?
        let made = dnnl_primitive_desc_create(&description, &convolution, attributes, engine, hint)
        return made == dnnl_success ? description : nil
    }

    var description: OpaquePointer?
    if operation == .forward {
        description = describe(.forward, hint: nil)
    } else {
        // A forward convolution of the same layouts, all in the operands' type, tells the gradients what to fit.
        let own = (x, w, y)
        (x.data_type, w.data_type, y.data_type) = (type, type, type)
        guard let forward = describe(.forward, hint: nil) else { return nil }
        (x, w, y) = own
        description = describe(operation, hint: forward)
        dnnl_primitive_desc_destroy(forward)
    }
    guard let description else { return nil }
    var primitive: OpaquePointer?
    guard dnnl_primitive_create(&primitive, description) == dnnl_success, let primitive else {
        dnnl_primitive_desc_destroy(description)
        return nil
    }
    return (primitive, description)
}

extension ConvolutionProblem {
    /// Whether pixels are gathered that hold no whole vectors of channels: oneDNN 2.6's kernels for windows of one pixel
    /// with a stride do so in whole vectors, and with channels last that of the weights' gradient for AVX2 writes beyond
    /// its memory.
    fileprivate var skipsPixelsOfPartialVectors: Bool {
        windows.kernel.rows == 1 && windows.kernel.columns == 1
            && (windows.stride.rows > 1 || windows.stride.columns > 1)
            && inputs % 16 != 0
    }
}

extension OpaquePointer {
    /// Whether a primitive description's kernel is compiled for its sizes, not one of the slow ones for all sizes.
    fileprivate var isCompiled: Bool {
        var name: UnsafePointer<CChar>?
        guard dnnl_primitive_desc_query(self, dnnl_query_impl_info_str, 0, &name) == dnnl_success, let name else {
            return false
        }
        let text = String(cString: name)
        return !text.hasPrefix("ref") && !text.contains("gemm")
    }
}
