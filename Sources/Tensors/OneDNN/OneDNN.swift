import CSystemDNNL

/// What all uses of oneDNN share. Primitives run on the thread that calls them; threads come from the one pool.
enum OneDNN {
    /// Runs a primitive on memory in the layouts that it was made for.
    ///
    /// - Parameter arguments: the number of each argument, its layout and its first byte.
    static func execute(
        _ primitive: OpaquePointer, _ arguments: [(Int32, dnnl_memory_desc_t, UnsafeMutableRawPointer)]
    ) {
        OpenMP.useOneThread()
        var stream: OpaquePointer?
        var bound: [dnnl_exec_arg_t] = []
        dnnl_stream_create(&stream, engine, dnnl_stream_default_flags.rawValue)
        for (argument, description, pointer) in arguments {
            var memory: OpaquePointer?
            withUnsafePointer(to: description) { _ = dnnl_memory_create(&memory, $0, engine, pointer) }
            bound.append(dnnl_exec_arg_t(arg: argument, memory: memory))
        }
        let status = dnnl_primitive_execute(primitive, stream, Int32(bound.count), bound)
        precondition(status == dnnl_success, "oneDNN: status \(status.rawValue)")
        dnnl_stream_wait(stream)
        for argument in bound { dnnl_memory_destroy(argument.memory) }
        dnnl_stream_destroy(stream)
    }

    /// The processor, as oneDNN's engine. Nil where oneDNN refuses.
    nonisolated(unsafe) static let engine: OpaquePointer? = {
        var engine: OpaquePointer?
        return dnnl_engine_create(&engine, dnnl_cpu, 0) == dnnl_success ? engine : nil
    }()

    /// Whether the processor multiplies bf16 (AVX512_BF16 or AMX): elsewhere oneDNN would emulate it slowly.
    static let hasBF16: Bool = {
        let needed = dnnl_cpu_isa_avx512_core_bf16.rawValue
        return engine != nil && dnnl_get_effective_cpu_isa().rawValue & needed == needed
    }()

    /// The numbers that oneDNN's macros give to arguments.
    enum Argument {
        static let source: Int32 = 1
        static let destination: Int32 = 17
        static let weights: Int32 = 33
        static let scratchpad: Int32 = 80
        static let sourceGradient: Int32 = 129
        static let destinationGradient: Int32 = 145
        static let weightGradient: Int32 = 161
    }

    /// A tensor of a shape and strides in memory.
    static func described(
        _ shape: [Int], _ strides: [Int], _ type: dnnl_data_type_t = dnnl_f32
    ) -> dnnl_memory_desc_t {
        var description = dnnl_memory_desc_t()
        let status = dnnl_memory_desc_init_by_strides(
            &description, Int32(shape.count), shape.map(Int64.init), type, strides.map(Int64.init))
        precondition(status == dnnl_success, "oneDNN does not take shape \(shape)")
        return description
    }

    /// A primitive that brings memory from one layout or element type to another. Nil where oneDNN has none.
    static func makeReorder(
        _ from: dnnl_memory_desc_t, _ to: dnnl_memory_desc_t, _ engine: OpaquePointer
    ) -> OpaquePointer? {
        OpenMP.useOneThread()
        var description: OpaquePointer?
        let status = withUnsafePointer(to: from) { from in
            withUnsafePointer(to: to) {
                dnnl_reorder_primitive_desc_create(&description, from, engine, $0, engine, nil)
            }
        }
        guard status == dnnl_success, let description else { return nil }
        defer { dnnl_primitive_desc_destroy(description) }
        var primitive: OpaquePointer?
        return dnnl_primitive_create(&primitive, description) == dnnl_success ? primitive : nil
    }

    /// Attributes by which callers give primitives their scratch memory. The caller destroys them.
    static func attributes() -> OpaquePointer? {
        var attributes: OpaquePointer?
        dnnl_primitive_attr_create(&attributes)
        dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user)
        return attributes
    }
}

extension dnnl_memory_desc_t {
    /// The same tensor in a layout that the primitive chooses.
    var anyLayout: dnnl_memory_desc_t {
        var description = dnnl_memory_desc_t()
        var dims = self.dims
        withUnsafeBytes(of: &dims) { bytes in
            _ = dnnl_memory_desc_init_by_tag(
                &description, ndims, bytes.bindMemory(to: Int64.self).baseAddress, data_type, dnnl_format_tag_any)
        }
        return description
    }

    func isSameLayout(as other: dnnl_memory_desc_t) -> Bool {
        withUnsafePointer(to: self) { a in withUnsafePointer(to: other) { dnnl_memory_desc_equal(a, $0) != 0 } }
    }
}

extension OpaquePointer {
    /// What a primitive description says about the layout of one of its tensors.
    func layout(_ query: dnnl_query_t) -> dnnl_memory_desc_t? {
        dnnl_primitive_desc_query_md(self, query, 0)?.pointee
    }
}
