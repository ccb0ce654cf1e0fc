import CKernels

/// The buffers that forward passes work in. They grow to the largest pass seen and stay: a pass of a size seen before
/// allocates nothing.
final class ForwardWorkspace {
    /// Aligned memory for one kind of value.
    struct Buffer<Element> {
        private(set) var base = UnsafeMutablePointer<Element>.allocate(capacity: 1)
        private var capacity = 0

        init() {}

        /// Makes room for `count` elements; what was there is lost when the buffer grows.
        mutating func reserve(_ count: Int) -> UnsafeMutablePointer<Element> {
            guard count > capacity else { return base }
            free()
            base = UnsafeMutableRawPointer.allocate(byteCount: count * MemoryLayout<Element>.stride, alignment: 64)
                .bindMemory(to: Element.self, capacity: count)
            capacity = count
            return base
        }

        func free() {
            if capacity == 0 { base.deallocate() } else { UnsafeMutableRawPointer(base).deallocate() }
        }
    }

    var hidden = Buffer<Float>()
    var normalized = Buffer<Float>()
    var queries = Buffer<Float>()
    var keys = Buffer<Float>()
    var values = Buffer<Float>()
    var attended = Buffer<Float>()
    var gate = Buffer<Float>()
    var up = Buffer<Float>()
    var cosines = Buffer<Float>()
    var sines = Buffer<Float>()
    /// For attention sinks, where a text has outgrown its window.
    var sinkQueries = Buffer<Float>()
    var sinkCosines = Buffer<Float>()
    var sinkSines = Buffer<Float>()
    /// Partial results of attention over long texts.
    var attentionScratch = Buffer<Float>()
    var positions = Buffer<Int32>()
    var rows = Buffer<coppice_attention_row>()
    var logits = Buffer<Float>()
    /// Indices of the tokens whose logits are asked for.
    var selection: [Int] = []

    deinit {
        for buffer in [hidden, normalized, queries, keys, values, attended, gate, up, cosines, sines, logits] {
            buffer.free()
        }
        for buffer in [sinkQueries, sinkCosines, sinkSines, attentionScratch] { buffer.free() }
        positions.free()
        rows.free()
    }
}
