import CKernels
import CoppiceTensors
import Foundation
import Testing

@Suite("Attention kernels", .serialized)
struct AttentionKernelTests {
    /// A shape and the (start, count) of each row.
    struct Case: Sendable, CustomTestStringConvertible {
        var heads, kvHeads, headSize, window, sinks: Int
        var rows: [(start: Int, count: Int)]
        var testDescription: String {
            "\(heads)/\(kvHeads) heads of \(headSize), window \(window), sinks \(sinks), rows \(rows)"
        }

        func harness(_ element: coppice_cache_element) -> AttentionHarness {
            AttentionHarness(
                heads: heads, kvHeads: kvHeads, headSize: headSize, window: window, sinks: sinks, element: element)
        }
    }

    static let cases = [
        Case(heads: 1, kvHeads: 1, headSize: 2, window: 0, sinks: 0, rows: [(0, 1)]),
        Case(heads: 4, kvHeads: 2, headSize: 6, window: 0, sinks: 0, rows: [(0, 65), (63, 2), (130, 1)]),
        Case(heads: 6, kvHeads: 2, headSize: 16, window: 7, sinks: 0, rows: [(0, 70), (100, 33)]),
        Case(heads: 40, kvHeads: 1, headSize: 10, window: 1, sinks: 0, rows: [(5, 9)]),
        Case(heads: 3, kvHeads: 3, headSize: 80, window: 64, sinks: 0, rows: [(64, 64), (0, 3), (200, 1)]),
        Case(heads: 2, kvHeads: 1, headSize: 512, window: 0, sinks: 0, rows: [(0, 40)]),
        // Sinks alone, sinks that the window still reaches, and sinks over more than a block and a span.
        Case(heads: 4, kvHeads: 2, headSize: 32, window: 20, sinks: 4, rows: [(0, 90), (310, 35), (700, 1)]),
        Case(heads: 2, kvHeads: 2, headSize: 48, window: 100, sinks: 70, rows: [(150, 40), (600, 2)]),
        Case(heads: 8, kvHeads: 1, headSize: 64, window: 33, sinks: 300, rows: [(280, 60), (900, 3)]),
        // Texts of several spans, cut along their length and not.
        Case(heads: 8, kvHeads: 1, headSize: 128, window: 0, sinks: 0, rows: [(1100, 1)]),
        Case(heads: 4, kvHeads: 4, headSize: 64, window: 0, sinks: 0, rows: [(511, 2), (256, 1), (255, 1), (700, 1)]),
        Case(heads: 8, kvHeads: 8, headSize: 32, window: 0, sinks: 0, rows: [(500, 40), (300, 1)]),
    ]

    @Test("Equals its definition in f64 over what is stored, in every variant and cache type", arguments: cases)
    func definition(shape: Case) {
        for element in AttentionHarness.elements { check(shape, element) }
    }

    @Test("Head sizes from 32 to 256", arguments: [32, 33, 40, 64, 72, 80, 96, 112, 120, 128, 160, 192, 256])
    func headSizes(size: Int) {
        let shape = Case(heads: 4, kvHeads: 2, headSize: size, window: 0, sinks: 0, rows: [(0, 5), (290, 2)])
        for element in AttentionHarness.elements { check(shape, element) }
    }

    private func check(_ shape: Case, _ element: coppice_cache_element) {
        let harness = shape.harness(element)
        var generator = RandomGenerator(seed: 11)
        // Integer products round queries and weights to 15 bits.
        let tolerance = element.rawValue < COPPICE_CACHE_INT8.rawValue ? 2e-5 : 5e-4
        let texts = shape.rows.map { AttentionHarness.Text(harness, positions: $0.start + $0.count) }
        let stored = zip(texts, shape.rows).map { text, row in
            let count = (row.start + row.count) * harness.keyWidth
            harness.store(generator.numbers(count), generator.numbers(count), in: text)
            return harness.read(text, positions: row.start + row.count)
        }
        let queries = generator.numbers(shape.rows.reduce(0) { $0 + $1.count } * harness.width)
        let rows = zip(texts, shape.rows).map { (text: $0, start: $1.start, count: $1.count) }
        atEveryLevel { level in
            let outputs = harness.attend(queries, rows: rows)
            var first = 0
            for (row, numbers) in zip(shape.rows, stored) {
                let range = first..<first + row.count * harness.width
                let deviation = harness.deviation(
                    outputs[range], queries: queries[range], start: row.start, keys: numbers.keys,
                    values: numbers.values)
                #expect(deviation < tolerance, "\(harness), row \(row), level \(level.rawValue)")
                first = range.upperBound
            }
        }
    }

    @Test("Sinks can be seen by other queries than the window")
    func sinkQueries() {
        for element in AttentionHarness.elements {
            let harness = AttentionHarness(
                heads: 4, kvHeads: 2, headSize: 32, window: 50, sinks: 5, element: element)
            var generator = RandomGenerator(seed: 5)
            let start = 600, count = 3
            let text = AttentionHarness.Text(harness, positions: start + count)
            let numbers = (start + count) * harness.keyWidth
            harness.store(generator.numbers(numbers), generator.numbers(numbers), in: text)
            let stored = harness.read(text, positions: start + count)
            let queries = generator.numbers(count * harness.width), sinkQueries = generator.numbers(queries.count)
            atEveryLevel { level in
                let outputs = harness.attend(
                    queries, rows: [(text: text, start: start, count: count)], sinkQueries: sinkQueries)
                let deviation = harness.deviation(
                    outputs[...], queries: queries[...], sinkQueries: sinkQueries, start: start, keys: stored.keys,
                    values: stored.values)
                #expect(deviation < 5e-4, "\(harness), level \(level.rawValue)")
            }
        }
    }

    @Test("Chunks, other rows, threads and what blocks held before do not change a bit")
    func invariance() {
        let usual = coppice_thread_count()
        defer { coppice_set_thread_count(usual) }
        for element in AttentionHarness.elements {
            for (window, sinks) in [(0, 0), (90, 6)] {
                let harness = AttentionHarness(
                    heads: 6, kvHeads: 2, headSize: 48, window: window, sinks: sinks, element: element)
                var generator = RandomGenerator(seed: 2)
                let positions = 700
                let keys = generator.numbers(positions * harness.keyWidth)
                let values = generator.numbers(positions * harness.keyWidth)
                let queries = generator.numbers(positions * harness.width)
                atEveryLevel { level in
                    coppice_set_thread_count(1)
                    let whole = AttentionHarness.Text(harness, positions: positions, garbage: 0)
                    harness.store(keys, values, in: whole)
                    let expected = harness.attend(queries, rows: [(text: whole, start: 0, count: positions)])
                    for (threads, chunk) in [(3, 1), (2, 7), (4, 64), (2, 257)] {
                        coppice_set_thread_count(Int32(threads))
                        let text = AttentionHarness.Text(harness, positions: positions)
                        var outputs: [Float] = []
                        for start in stride(from: 0, to: positions, by: chunk) {
                            let count = min(chunk, positions - start)
                            let part = start * harness.keyWidth..<(start + count) * harness.keyWidth
                            harness.store(Array(keys[part]), Array(values[part]), in: text, start: start)
                            // The other row is the same text somewhere else.
                            let queried = queries[start * harness.width..<(start + count) * harness.width]
                            let both = queries[..<harness.width] + queried
                            let found = harness.attend(
                                Array(both),
                                rows: [(text: whole, start: 0, count: 1), (text: text, start: start, count: count)])
                            outputs += found[harness.width...]
                        }
                        #expect(outputs == expected, "\(harness), level \(level.rawValue), chunks of \(chunk)")
                    }
                }
            }
        }
    }

    @Test("Scores far below zero in a masked block's neighbour still make weights")
    func lowScores() {
        // The first block is hidden from the tile's last queries, whose own scores are all below -100.
        for element in AttentionHarness.elements {
            let harness = AttentionHarness(headSize: 16, window: 3, element: element)
            let text = AttentionHarness.Text(harness, positions: 80)
            let keys = [Float](repeating: -25, count: 80 * 16), values = [Float](repeating: 3, count: 80 * 16)
            harness.store(keys, values, in: text)
            let outputs = harness.attend(
                [Float](repeating: 4, count: 20 * 16), rows: [(text: text, start: 60, count: 20)])
            let furthest = outputs.map { $0.isNaN ? .infinity : abs($0 - 3) }.max() ?? 0
            #expect(furthest < 0.05, "\(harness)")
        }
    }

    @Test("NaN in a query, a key or a value reaches the outputs that see it, and no other head")
    func nonFinite() {
        for element in AttentionHarness.elements {
            let harness = AttentionHarness(heads: 2, kvHeads: 2, headSize: 32, element: element)
            var generator = RandomGenerator(seed: 8)
            let keys = generator.numbers(10 * 64), values = generator.numbers(10 * 64)
            let queries = generator.numbers(10 * 64)
            atEveryLevel { level in
                for place in 0..<3 {
                    var numbers = [queries, keys, values]
                    numbers[place][6 * 64 + 5] = .nan  // head 0 at position 6
                    let text = AttentionHarness.Text(harness, positions: 10)
                    harness.store(numbers[1], numbers[2], in: text)
                    let outputs = harness.attend(numbers[0], rows: [(text: text, start: 0, count: 10)])
                    for position in 0..<10 {
                        let isHit = place == 0 ? position == 6 : position >= 6
                        let first = outputs[position * 64..<position * 64 + 32]
                        let second = outputs[position * 64 + 32..<position * 64 + 64]
                        let isFound = first.contains { $0.isNaN }, hasSpread = second.contains { $0.isNaN }
                        // Products of floating-point values take hidden positions in with a weight of zero.
                        let mayBeHit = place == 2 && element.rawValue < COPPICE_CACHE_INT8.rawValue
                        #expect(isFound == isHit || mayBeHit && isFound, "\(harness), level \(level.rawValue)")
                        #expect(!hasSpread)
                    }
                }
            }
        }
    }
}
