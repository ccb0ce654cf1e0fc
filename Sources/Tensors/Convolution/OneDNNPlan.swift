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
        guard let engine = oneDNNEngine else { return nil }
        let part = key.part
        let grouped = part.groups > 1
        let x = described(part.inputShape, key.inputStrides)
        let y = described(part.outputShape, key.outputStrides)
        let weightShape =
            (grouped ? [part.groups, part.outputs] : [part.outputs])
            + [part.inputs, part.windows.kernel.rows, part.windows.kernel.columns]
        let w = described(weightShape, key.weightStrides)
        guard let made = makePrimitive(key.operation, part, x.anyLayout, w.anyLayout, y.anyLayout, engine) else {
            return nil
        }
        defer { dnnl_primitive_desc_destroy(made.description) }
        primitive = made.primitive
        guard let scratch = made.description.layout(dnnl_query_scratchpad_md) else { return nil }
        scratchpad = scratch
        let roles: [(md: dnnl_memory_desc_t, query: dnnl_query_t, argument: Int32)] =
            switch key.operation {
            case .forward:
                [
                    (x, dnnl_query_src_md, Argument.source), (w, dnnl_query_weights_md, Argument.weights),
                    (y, dnnl_query_dst_md, Argument.destination),
                ]
            case .inputGradient:
                [
                    (w, dnnl_query_weights_md, Argument.weights),
                    (y, dnnl_query_diff_dst_md, Argument.destinationGradient),
                    (x, dnnl_query_diff_src_md, Argument.sourceGradient),
                ]
            case .weightGradient:
                [
                    (x, dnnl_query_src_md, Argument.source),
                    (y, dnnl_query_diff_dst_md, Argument.destinationGradient),
                    (w, dnnl_query_diff_weights_md, Argument.weightGradient),
                ]
            }
        var operands: [Operand] = []
        for (index, role) in roles.enumerated() {
            guard let inner = made.description.layout(role.query) else { return nil }
            var operand = Operand(user: role.md, inner: inner, reorder: nil, argument: role.argument)
            if !operand.user.isSameLayout(as: operand.inner) {
                let isResult = index == 2
                operand.reorder = makeReorder(isResult ? inner : role.md, isResult ? role.md : inner, engine)
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
        execute(
            reorder, [(Argument.source, operand.user, user), (Argument.destination, operand.inner, storage.pointer)])
        return (storage.pointer, storage)
    }

    /// Runs the primitive. All pointers are to the primitive's layouts.
    func run(_ a: UnsafeMutableRawPointer, _ b: UnsafeMutableRawPointer, _ out: UnsafeMutableRawPointer) {
        let scratch = TensorStorage(byteCount: withUnsafePointer(to: scratchpad) { Int(dnnl_memory_desc_get_size($0)) })
        execute(
            primitive,
            [
                (first.argument, first.inner, a), (second.argument, second.inner, b),
                (result.argument, result.inner, out), (Argument.scratchpad, scratchpad, scratch.pointer),
            ])
        withExtendedLifetime(scratch) {}
    }

    /// Writes a result in the primitive's layout to our memory.
    func writeResult(_ inner: UnsafeMutableRawPointer, to user: UnsafeMutablePointer<Float>) {
        guard let reorder = result.reorder else { return }
        execute(
            reorder,
            [
                (Argument.source, result.inner, inner),
                (Argument.destination, result.user, UnsafeMutableRawPointer(user)),
            ])
    }

    private func execute(
        _ primitive: OpaquePointer, _ arguments: [(Int32, dnnl_memory_desc_t, UnsafeMutableRawPointer)]
    ) {
        OpenMP.useOneThread()
        var stream: OpaquePointer?
        var bound: [dnnl_exec_arg_t] = []
        dnnl_stream_create(&stream, oneDNNEngine, dnnl_stream_default_flags.rawValue)
        for (argument, description, pointer) in arguments {
            var memory: OpaquePointer?
            withUnsafePointer(to: description) { _ = dnnl_memory_create(&memory, $0, oneDNNEngine, pointer) }
            bound.append(dnnl_exec_arg_t(arg: argument, memory: memory))
        }
        let status = dnnl_primitive_execute(primitive, stream, Int32(bound.count), bound)
        precondition(status == dnnl_success, "oneDNN: status \(status.rawValue)")
        dnnl_stream_wait(stream)
        for argument in bound { dnnl_memory_destroy(argument.memory) }
        dnnl_stream_destroy(stream)
    }
}

/// The numbers that oneDNN's macros give to arguments.
private enum Argument {
    static let source: Int32 = 1
    static let destination: Int32 = 17
    static let weights: Int32 = 33
    static let scratchpad: Int32 = 80
    static let sourceGradient: Int32 = 129
    static let destinationGradient: Int32 = 145
    static let weightGradient: Int32 = 161
}

private func described(_ shape: [Int], _ strides: [Int]) -> dnnl_memory_desc_t {
    var description = dnnl_memory_desc_t()
    let status = dnnl_memory_desc_init_by_strides(
        &description, Int32(shape.count), shape.map(Int64.init), dnnl_f32, strides.map(Int64.init))
    precondition(status == dnnl_success, "oneDNN does not take shape \(shape)")
    return description
}

extension dnnl_memory_desc_t {
    /// The same tensor in a layout that the primitive chooses.
    fileprivate var anyLayout: dnnl_memory_desc_t {
        var description = dnnl_memory_desc_t()
        var dims = self.dims
        withUnsafeBytes(of: &dims) { bytes in
            _ = dnnl_memory_desc_init_by_tag(
                &description, ndims, bytes.bindMemory(to: Int64.self).baseAddress, data_type, dnnl_format_tag_any)
        }
        return description
    }

    fileprivate func isSameLayout(as other: dnnl_memory_desc_t) -> Bool {
        withUnsafePointer(to: self) { a in withUnsafePointer(to: other) { dnnl_memory_desc_equal(a, $0) != 0 } }
    }
}

extension OpaquePointer {
    /// What a primitive description says about the layout of one of its tensors.
    fileprivate func layout(_ query: dnnl_query_t) -> dnnl_memory_desc_t? {
        dnnl_primitive_desc_query_md(self, query, 0)?.pointee
    }
}

private func makeReorder(
    _ from: dnnl_memory_desc_t, _ to: dnnl_memory_desc_t, _ engine: OpaquePointer
) -> OpaquePointer? {
    OpenMP.useOneThread()
    var description: OpaquePointer?
    let status = withUnsafePointer(to: from) { from in
        withUnsafePointer(to: to) { dnnl_reorder_primitive_desc_create(&description, from, engine, $0, engine, nil) }
    }
    guard status == dnnl_success, let description else { return nil }
    defer { dnnl_primitive_desc_destroy(description) }
    var primitive: OpaquePointer?
    return dnnl_primitive_create(&primitive, description) == dnnl_success ? primitive : nil
}

private func makePrimitive(
    _ operation: ConvolutionProblem.Operation, _ part: ConvolutionProblem, _ x: dnnl_memory_desc_t,
    _ w: dnnl_memory_desc_t, _ y: dnnl_memory_desc_t, _ engine: OpaquePointer
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
    var attributes: OpaquePointer?
    dnnl_primitive_attr_create(&attributes)
    dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user)
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

    guard let forward = describe(.forward, hint: nil) else { return nil }
    var description: OpaquePointer? = forward
    if operation != .forward {
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

/// The processor, as oneDNN's engine. Nil where oneDNN refuses.
nonisolated(unsafe) let oneDNNEngine: OpaquePointer? = {
    var engine: OpaquePointer?
    return dnnl_engine_create(&engine, dnnl_cpu, 0) == dnnl_success ? engine : nil
}()
