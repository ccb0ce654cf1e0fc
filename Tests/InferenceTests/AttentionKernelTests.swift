import CKernels
import CoppiceTensors
import Foundation
import Testing

@Suite("Attention and layer kernels", .serialized)
struct AttentionKernelTests {
    private static let levels = [COPPICE_CPU_PORTABLE, COPPICE_CPU_AVX2, COPPICE_CPU_AVX512]

    private func atEveryLevel(_ body: (coppice_cpu_level) -> Void) {
        let usual = coppice_cpu_level_in_use()
        defer { coppice_set_cpu_level(usual) }
        for level in Self.levels where coppice_set_cpu_level(level) == level { body(level) }
    }

    private struct Case: CustomStringConvertible {
        var heads, kvHeads, headSize, window: Int
        /// (start, count) of each row.
        var rows: [(Int, Int)]
        var description: String { "\(heads)/\(kvHeads) heads of \(headSize), window \(window), rows \(rows)" }
    }

    @Test("Attention equals its definition in f64 on awkward shapes, in every variant and cache type")
    func attention() {
        let cases = [
            Case(heads: 1, kvHeads: 1, headSize: 2, window: 0, rows: [(0, 1)]),
            Case(heads: 4, kvHeads: 2, headSize: 6, window: 0, rows: [(0, 65), (63, 2), (130, 1)]),
            Case(heads: 6, kvHeads: 2, headSize: 16, window: 7, rows: [(0, 70), (100, 33)]),
            Case(heads: 40, kvHeads: 1, headSize: 10, window: 1, rows: [(5, 9)]),
            Case(heads: 3, kvHeads: 3, headSize: 80, window: 64, rows: [(64, 64), (0, 3), (200, 1)]),
            Case(heads: 2, kvHeads: 1, headSize: 512, window: 0, rows: [(0, 40)]),
        ]
        for shape in cases {
            for (element, tolerance) in [
                (COPPICE_CACHE_F32, 2e-5), (COPPICE_CACHE_F16, 4e-3), (COPPICE_CACHE_BF16, 3e-2),
            ] {
                atEveryLevel { level in
                    let difference = difference(shape, element)
                    #expect(difference < tolerance, "\(shape), element \(element), level \(level)")
                }
            }
        }
    }

    /// The largest deviation of the kernel's outputs from attention in f64.
    private func difference(_ shape: Case, _ element: coppice_cache_element) -> Double {
        var generator = RandomGenerator(seed: 11)
        func numbers(_ count: Int) -> [Float] { (0..<count).map { _ in Float.random(in: -2...2, using: &generator) } }
        let bytes = coppice_cache_layer_bytes(shape.kvHeads, shape.headSize, element)
        let blockSize = Int(COPPICE_CACHE_BLOCK)
        var kernel = coppice_attention_shape()
        kernel.heads = shape.heads
        kernel.kv_heads = shape.kvHeads
        kernel.head_size = shape.headSize
        kernel.window = shape.window
        kernel.layer_offset = bytes
        kernel.element = element
        kernel.scale = 1 / Float(shape.headSize).squareRoot()

        let keyWidth = shape.kvHeads * shape.headSize, width = shape.heads * shape.headSize
        var tables: [UnsafeMutablePointer<UnsafeMutableRawPointer?>] = []
        var keys: [[Float]] = [], values: [[Float]] = []
        for (start, count) in shape.rows {
            let length = start + count, blocks = (length + blockSize - 1) / blockSize
            let table = UnsafeMutablePointer<UnsafeMutableRawPointer?>.allocate(capacity: blocks)
            for index in 0..<blocks {
                // Two layers' worth; whatever the memory held must not matter.
                table[index] = UnsafeMutableRawPointer.allocate(byteCount: 2 * bytes, alignment: 64)
                table[index]?.initializeMemory(as: UInt8.self, repeating: 0xFF, count: 2 * bytes)
            }
            tables.append(table)
            let k = numbers(length * keyWidth), v = numbers(length * keyWidth)
            var all = coppice_attention_row(
                blocks: UnsafePointer(table), first_token: 0, start: 0, count: length)
            coppice_cache_write(&kernel, &all, 1, k, keyWidth, v, keyWidth)
            keys.append(k)
            values.append(v)
        }
        defer {
            for (table, row) in zip(tables, shape.rows) {
                for index in 0..<((row.0 + row.1 + blockSize - 1) / blockSize) { table[index]?.deallocate() }
                table.deallocate()
            }
        }
        let total = shape.rows.reduce(0) { $0 + $1.1 }
        let queries = numbers(total * width)
        var outputs = [Float](repeating: .nan, count: total * width)
        var first = 0
        let rows = zip(tables, shape.rows).map { table, row in
            defer { first += row.1 }
            return coppice_attention_row(
                blocks: UnsafePointer(table), first_token: first, start: row.0, count: row.1)
        }
        coppice_attention(&kernel, rows, rows.count, queries, width, &outputs, width)

        var worst = 0.0
        var token = 0
        for (index, (start, count)) in shape.rows.enumerated() {
            for position in start..<start + count {
                for head in 0..<shape.heads {
                    let expected = definition(
                        shape, head, position, queries[(token * width + head * shape.headSize)...], keys[index],
                        values[index])
                    for (offset, value) in expected.enumerated() {
                        let found = Double(outputs[token * width + head * shape.headSize + offset])
                        worst = max(worst, found.isNaN ? .infinity : abs(found - value))
                    }
                }
                token += 1
            }
        }
        return worst
    }

    private func definition(
        _ shape: Case, _ head: Int, _ position: Int, _ query: ArraySlice<Float>, _ keys: [Float], _ values: [Float]
    ) -> [Double] {
        let keyWidth = shape.kvHeads * shape.headSize
        let offset = head / (shape.heads / shape.kvHeads) * shape.headSize
        let low = shape.window > 0 ? max(0, position - shape.window + 1) : 0
        let scores = (low...position).map { key in
            (0..<shape.headSize).reduce(0.0) {
                $0 + Double(query[query.startIndex + $1]) * Double(keys[key * keyWidth + offset + $1])
            } / Double(shape.headSize).squareRoot()
        }
        let highest = scores.max() ?? 0
        let weights = scores.map { exp($0 - highest) }
        let total = weights.reduce(0, +)
        return (0..<shape.headSize).map { element in
            zip(low...position, weights).reduce(0.0) {
                $0 + $1.1 / total * Double(values[$1.0 * keyWidth + offset + element])
            }
        }
    }

    @Test("Norm, gate, sums and rotation equal f64 for every length around a vector")
    func layers() {
        var generator = RandomGenerator(seed: 3)
        for count in [1, 2, 15, 16, 17, 63, 64, 65, 130, 1030] {
            let x = (0..<2 * count).map { _ in Float.random(in: -3...3, using: &generator) }
            let y = (0..<2 * count).map { _ in Float.random(in: -3...3, using: &generator) }
            atEveryLevel { level in
                var normed = [Float](repeating: 0, count: 2 * count)
                coppice_decoder_rms_norm(x, count, y, 1e-5, &normed, count, 2, count)
                var gate = x
                coppice_decoder_silu_gate(&gate, y, 2, count)
                var sums = [0.0, 0.0]
                coppice_decoder_log_sum_exp(x, count, 2, count, &sums)
                for row in 0..<2 {
                    let part = x[row * count..<(row + 1) * count].map(Double.init)
                    let scale = 1 / (part.reduce(0) { $0 + $1 * $1 } / Double(count) + 1e-5).squareRoot()
                    let sum = log(part.reduce(0) { $0 + exp($1) })
                    #expect(abs(sums[row] - sum) < 1e-5, "log-sum-exp of \(count) at level \(level)")
                    for i in 0..<count {
                        let norm = part[i] * scale * Double(y[i])
                        #expect(
                            abs(Double(normed[row * count + i]) - norm) < 2e-5, "norm of \(count) at level \(level)")
                        let gated = part[i] / (1 + exp(-part[i])) * Double(y[row * count + i])
                        #expect(abs(Double(gate[row * count + i]) - gated) < 2e-5, "gate of \(count) at level \(level)")
                    }
                }
            }
        }
    }

    @Test("Large scores neither overflow nor lose the largest")
    func extremes() {
        atEveryLevel { _ in
            var sum = 0.0
            let large: [Float] = [1000, 999, -1000, -.infinity]
            coppice_decoder_log_sum_exp(large, 4, 1, 4, &sum)
            #expect(abs(sum - (1000 + log(1 + exp(-1.0)))) < 1e-4)
            coppice_decoder_log_sum_exp([Float.nan, 1], 2, 1, 2, &sum)
            #expect(sum.isNaN)
            var gate: [Float] = [-200, 200, 0, -.infinity.nextUp]
            coppice_decoder_silu_gate(&gate, [1, 1, 1, 1], 1, 4)
            #expect(abs(gate[0]) < 1e-30 && gate[1] == 200 && gate[2] == 0)
        }
    }

    @Test("Rotation by pairs and by halves is the rotation by the angles")
    func rotary() {
        let positions: [Int32] = [0, 3, 1000]
        let frequencies: [Float] = [1, 0.1, 0.01]
        var cosines = [Float](repeating: 0, count: 9), sines = cosines
        coppice_rotary_angles(positions, 3, frequencies, 3, 1.5, &cosines, &sines)
        for interleaved in [false, true] {
            var x = (0..<3 * 2 * 8).map { Float($0 % 11) - 5 }
            let before = x
            // Two heads of eight elements, of which the first six turn.
            coppice_rotary_apply(&x, 16, 3, 2, 8, cosines, sines, 3, interleaved ? 1 : 0)
            for token in 0..<3 {
                for head in 0..<2 {
                    let base = token * 16 + head * 8
                    for pair in 0..<3 {
                        let (i, j) = interleaved ? (2 * pair, 2 * pair + 1) : (pair, pair + 3)
                        let angle = Double(positions[token]) * Double(frequencies[pair])
                        let (a, b) = (Double(before[base + i]), Double(before[base + j]))
                        #expect(abs(Double(x[base + i]) - 1.5 * (a * cos(angle) - b * sin(angle))) < 1e-3)
                        #expect(abs(Double(x[base + j]) - 1.5 * (b * cos(angle) + a * sin(angle))) < 1e-3)
                    }
                    #expect(x[base + 6] == before[base + 6] && x[base + 7] == before[base + 7])
                }
            }
        }
    }
}
