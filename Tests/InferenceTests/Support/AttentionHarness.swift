import CKernels
import CoppiceTensors
import Foundation

/// One layer's attention over blocks of its own, called as the forward pass calls it, and its definition in f64.
struct AttentionHarness: CustomStringConvertible {
    var heads = 1
    var kvHeads = 1
    var headSize = 16
    var window = 0
    var sinks = 0
    var element = COPPICE_CACHE_F32

    static let elements = [
        COPPICE_CACHE_F32, COPPICE_CACHE_F16, COPPICE_CACHE_BF16, COPPICE_CACHE_INT8, COPPICE_CACHE_INT4,
    ]

    var description: String {
        "\(heads)/\(kvHeads) heads of \(headSize), window \(window), sinks \(sinks), element \(element.rawValue)"
    }

    var width: Int { heads * headSize }
    var keyWidth: Int { kvHeads * headSize }
    /// The second of two layers.
    var layerBytes: Int { coppice_cache_layer_bytes(kvHeads, headSize, element) }

    var shape: coppice_attention_shape {
        var shape = coppice_attention_shape()
        shape.heads = heads
        shape.kv_heads = kvHeads
        shape.head_size = headSize
        shape.window = window
        shape.sinks = sinks
        shape.layer_offset = layerBytes
        shape.element = element
        shape.scale = 1 / Float(headSize).squareRoot()
        return shape
    }

    func isVisible(_ key: Int, from position: Int) -> Bool {
        key <= position && (window == 0 || key > position - window || key < sinks)
    }

    /// A text's blocks. What the memory held before is `garbage`, as after another text.
    final class Text {
        let table: UnsafeMutablePointer<UnsafeMutableRawPointer?>
        let blocks: Int

        init(_ harness: AttentionHarness, positions: Int, garbage: UInt8 = 0x77) {
            blocks = (positions + Int(COPPICE_CACHE_BLOCK) - 1) / Int(COPPICE_CACHE_BLOCK)
            table = .allocate(capacity: blocks)
            for index in 0..<blocks {
                let memory = UnsafeMutableRawPointer.allocate(byteCount: 2 * harness.layerBytes, alignment: 64)
                memory.initializeMemory(as: UInt8.self, repeating: garbage, count: 2 * harness.layerBytes)
                table[index] = memory
            }
        }

        deinit {
            for index in 0..<blocks { table[index]?.deallocate() }
            table.deallocate()
        }

        func row(first: Int, start: Int, count: Int) -> coppice_attention_row {
            coppice_attention_row(
                blocks: UnsafePointer(table), first_token: first, start: start, count: count)
        }
    }

    /// Stores keys and values `[positions, kv heads · head size]` from position `start` on, in chunks.
    func store(_ keys: [Float], _ values: [Float], in text: Text, start: Int = 0, chunk: Int = .max) {
        var shape = shape
        let end = start + keys.count / keyWidth
        keys.withUnsafeBufferPointer { keys in
            values.withUnsafeBufferPointer { values in
                guard let k = keys.baseAddress, let v = values.baseAddress else { return }
                for position in stride(from: start, to: end, by: min(chunk, end - start)) {
                    let offset = (position - start) * keyWidth
                    var row = text.row(first: 0, start: position, count: min(chunk, end - position))
                    coppice_rotate_and_store(
                        &shape, &row, 1, nil, nil, 0, nil, nil, k + offset, keyWidth, v + offset, keyWidth)
                }
            }
        }
    }

    /// What is stored, as f32.
    func read(_ text: Text, positions: Int) -> (keys: [Float], values: [Float]) {
        var shape = shape
        var keys = [Float](repeating: 0, count: positions * keyWidth), values = keys
        keys.withUnsafeMutableBufferPointer { keys in
            values.withUnsafeMutableBufferPointer { values in
                guard let k = keys.baseAddress, let v = values.baseAddress else { return }
                for position in 0..<positions {
                    coppice_cache_read(
                        &shape, text.table, position, k + position * keyWidth, v + position * keyWidth)
                }
            }
        }
        return (keys, values)
    }

    /// Attention of several rows in one call.
    func attend(
        _ queries: [Float], rows: [(text: Text, start: Int, count: Int)], sinkQueries: [Float]? = nil
    ) -> [Float] {
        var shape = shape
        var first = 0
        let described = rows.map { row in
            defer { first += row.count }
            return row.text.row(first: first, start: row.start, count: row.count)
        }
        var outputs = [Float](repeating: .nan, count: first * width)
        let count = coppice_attention_scratch(&shape, described, described.count)
        var scratch = [Float](repeating: .nan, count: count)
        scratch.withUnsafeMutableBufferPointer { scratch in
            let memory = count > 0 ? scratch.baseAddress : nil
            if let sinkQueries {
                coppice_attention(
                    &shape, described, described.count, queries, width, sinkQueries, &outputs, width, memory)
            } else {
                coppice_attention(&shape, described, described.count, queries, width, nil, &outputs, width, memory)
            }
        }
        return outputs
    }

    /// The definition: the output of one token's head.
    func definition(
        head: Int, position: Int, query: ArraySlice<Float>, sinkQuery: ArraySlice<Float>? = nil, keys: [Float],
        values: [Float]
    ) -> [Double] {
        let offset = head / (heads / kvHeads) * headSize
        let visible = (0...position).filter { isVisible($0, from: position) }
        let scores = visible.map { key in
            let query = key < sinks ? sinkQuery ?? query : query
            return (0..<headSize).reduce(0.0) {
                $0 + Double(query[query.startIndex + $1]) * Double(keys[key * keyWidth + offset + $1])
            } / Double(headSize).squareRoot()
        }
        let highest = scores.max() ?? 0
        let weights = scores.map { exp($0 - highest) }
        let total = weights.reduce(0, +)
        var result = [Double](repeating: 0, count: headSize)
        for (key, weight) in zip(visible, weights) {
            for element in 0..<headSize {
                result[element] += weight / total * Double(values[key * keyWidth + offset + element])
            }
        }
        return result
    }

    /// The largest deviation of outputs `[tokens, heads · head size]` of one text's tokens from the definition.
    func deviation(
        _ outputs: ArraySlice<Float>, queries: ArraySlice<Float>, sinkQueries: [Float]? = nil, start: Int,
        keys: [Float], values: [Float]
    ) -> Double {
        var worst = 0.0
        for token in 0..<outputs.count / width {
            for head in 0..<heads {
                let at = token * width + head * headSize
                let query = queries[(queries.startIndex + at)...]
                let expected = definition(
                    head: head, position: start + token, query: query, sinkQuery: sinkQueries.map { $0[at...] },
                    keys: keys, values: values)
                for (offset, value) in expected.enumerated() {
                    let found = Double(outputs[outputs.startIndex + at + offset])
                    worst = max(worst, found.isNaN ? .infinity : abs(found - value))
                }
            }
        }
        return worst
    }
}

extension RandomGenerator {
    /// Numbers uniform in -2 ... 2.
    mutating func numbers(_ count: Int) -> [Float] { (0..<count).map { _ in Float.random(in: -2...2, using: &self) } }
}

/// Runs a body in each kernel variant that the processor has.
func atEveryLevel(_ body: (coppice_cpu_level) throws -> Void) rethrows {
    let usual = coppice_cpu_level_in_use()
    defer { coppice_set_cpu_level(usual) }
    for level in [COPPICE_CPU_PORTABLE, COPPICE_CPU_AVX2, COPPICE_CPU_AVX512]
    where coppice_set_cpu_level(level) == level {
        try body(level)
    }
}
