import CSystemDNNL

/// One oneDNN product of two bf16 matrices with sums in f32, made for one thread. Holds no memory: it may run on many
/// threads at once.
final class MatrixPlan: @unchecked Sendable {
    /// How an operand lies.
    struct Layout: Hashable {
        /// Whether columns are without gaps, not rows.
        var isTransposed: Bool
        /// Elements between the starts of neighbouring rows (columns where transposed).
        var leading: Int

        var strides: [Int] { isTransposed ? [1, leading] : [leading, 1] }
    }

    struct Key: Hashable {
        var rows: Int
        var inner: Int
        var columns: Int
        var left: Layout
        var right: Layout
        /// Elements between the result's rows.
        var leading: Int
        /// Whether the product is added to what the result holds.
        var adds: Bool
    }

    /// Whether products of bf16 are faster than of f32 here.
    static var isAvailable: Bool { OneDNN.hasBF16 }

    private let primitive: OpaquePointer
    private let left: dnnl_memory_desc_t
    private let right: dnnl_memory_desc_t
    private let result: dnnl_memory_desc_t
    private let scratchpad: dnnl_memory_desc_t

    private static let cache = PlanCache<Key, MatrixPlan> { MatrixPlan($0) }

    /// The plan of a product. Nil where oneDNN has none, which ``isAvailable`` excludes.
    static func cached(_ key: Key) -> MatrixPlan? { cache.cached(key) }

    private init?(_ key: Key) {
        guard let engine = OneDNN.engine else { return nil }
        OpenMP.useOneThread()
        var left = OneDNN.described([key.rows, key.inner], key.left.strides, dnnl_bf16)
        var right = OneDNN.described([key.inner, key.columns], key.right.strides, dnnl_bf16)
        var result = OneDNN.described([key.rows, key.columns], [key.leading, 1], dnnl_f32)
        var product = dnnl_matmul_desc_t()
        guard dnnl_matmul_desc_init(&product, &left, &right, nil, &result) == dnnl_success else { return nil }
        let attributes = OneDNN.attributes()
        defer { dnnl_primitive_attr_destroy(attributes) }
        if key.adds {
            var operations: OpaquePointer?
            dnnl_post_ops_create(&operations)
            dnnl_post_ops_append_sum(operations, 1)
            dnnl_primitive_attr_set_post_ops(attributes, operations)
            dnnl_post_ops_destroy(operations)
        }
        var description: OpaquePointer?
        guard dnnl_primitive_desc_create(&description, &product, attributes, engine, nil) == dnnl_success,
            let description
        else { return nil }
        defer { dnnl_primitive_desc_destroy(description) }
        var primitive: OpaquePointer?
        guard let scratchpad = description.layout(dnnl_query_scratchpad_md),
            dnnl_primitive_create(&primitive, description) == dnnl_success, let primitive
        else { return nil }
        (self.left, self.right, self.result, self.scratchpad) = (left, right, result, scratchpad)
        self.primitive = primitive
    }

    deinit { dnnl_primitive_destroy(primitive) }

    /// Multiplies, on the calling thread.
    func run(_ a: UnsafeMutableRawPointer, _ b: UnsafeMutableRawPointer, _ out: UnsafeMutablePointer<Float>) {
        let scratch = TensorStorage(byteCount: withUnsafePointer(to: scratchpad) { Int(dnnl_memory_desc_get_size($0)) })
        OneDNN.execute(
            primitive,
            [
                (OneDNN.Argument.source, left, a), (OneDNN.Argument.weights, right, b),
                (OneDNN.Argument.destination, result, UnsafeMutableRawPointer(out)),
                (OneDNN.Argument.scratchpad, scratchpad, scratch.pointer),
            ])
        withExtendedLifetime(scratch) {}
    }
}
