import CKernels
import CoppiceTensors
import Foundation
import Testing

@Suite("What the cache stores", .serialized)
struct CacheStorageTests {
    /// (levels, whether minimum and scale are rounded to f16) of a quantized type.
    private static let levels: [UInt32: Double] = [COPPICE_CACHE_INT8.rawValue: 255, COPPICE_CACHE_INT4.rawValue: 15]

    @Test("Half precision is the nearest number, saturated in f16", arguments: [7, 16, 64])
    func halves(headSize: Int) {
        var generator = RandomGenerator(seed: 4)
        var numbers = generator.numbers(9 * headSize)
        let special: [Float] = [
            0, -0.0, 65503, 65504, 65520, 1e6, -1e6, 6e-8, 3e-8, -1e-7, 1e-38, .infinity, 1.000488,
        ]
        for (index, value) in special.enumerated() where index < numbers.count { numbers[index * 4] = value }
        for element in [COPPICE_CACHE_F16, COPPICE_CACHE_BF16] {
            let harness = AttentionHarness(headSize: headSize, element: element)
            atEveryLevel { level in
                let text = AttentionHarness.Text(harness, positions: 9)
                harness.store(numbers, numbers.reversed(), in: text)
                let found = harness.read(text, positions: 9)
                for (stored, number) in zip(found.keys + found.values, numbers + numbers.reversed()) {
                    let expected =
                        element == COPPICE_CACHE_F16
                        ? Float(Float16(min(65504, max(-65504, number)))) : bfloat16(number)
                    #expect(stored == expected, "\(number) in \(harness), level \(level.rawValue)")
                }
            }
        }
    }

    private func bfloat16(_ number: Float) -> Float {
        guard number.isFinite else { return number }
        let bits = number.bitPattern
        return Float(bitPattern: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) & 0xFFFF_0000)
    }

    @Test("Quantized values and turned keys are within half a step", arguments: [4, 16, 33, 64, 80, 96, 112, 128, 256])
    func bounds(headSize: Int) {
        var generator = RandomGenerator(seed: 9)
        let positions = 70
        var numbers = generator.numbers(positions * headSize)
        // Large, tiny, constant and saturated positions.
        for index in 0..<headSize {
            numbers[headSize + index] *= 1000
            numbers[2 * headSize + index] *= 1e-4
            numbers[3 * headSize + index] = 0.3333
            numbers[4 * headSize + index] = index == 0 ? 1e9 : 5
            numbers[5 * headSize + index] = 0
            numbers[6 * headSize + index] = 100 + 0.01 * Float(index % 7)
        }
        for element in [COPPICE_CACHE_INT8, COPPICE_CACHE_INT4] {
            let harness = AttentionHarness(headSize: headSize, element: element)
            atEveryLevel { level in
                let text = AttentionHarness.Text(harness, positions: positions)
                harness.store(numbers, numbers, in: text)
                let found = harness.read(text, positions: positions)
                for position in 0..<positions {
                    let range = position * headSize..<(position + 1) * headSize
                    let values = numbers[range].map { Double(min(65504, max(-65504, $0))) }
                    expectWithin(found.values[range].map(Double.init), values, harness, "value \(position)")
                    // Turning both gives the turned key and what is stored of it; only its first stage saturates.
                    guard position != 4 else { continue }
                    let turned = turn(numbers[range].map(Double.init)), back = turn(found.keys[range].map(Double.init))
                    expectWithin(back, turned, harness, "key \(position), level \(level.rawValue)")
                }
            }
        }
    }

    private func expectWithin(
        _ found: [Double], _ expected: [Double], _ harness: AttentionHarness, _ what: Comment
    ) {
        let levels = Self.levels[harness.element.rawValue] ?? 1
        // Turning keys, reading them back and turning them again round in f32, relative to the largest channel.
        let rounding = 4e-6 * (expected.map { abs($0) }.max() ?? 0)
        for first in stride(from: 0, to: expected.count, by: 32) {
            let group = first..<min(first + 32, expected.count)
            // Channels that only fill up the group are zeros.
            let multiple = harness.element == COPPICE_CACHE_INT4 ? 32 : 16
            let padding = group.count.isMultiple(of: multiple) ? [] : [0.0]
            let smallest = (expected[group] + padding).min() ?? 0, largest = (expected[group] + padding).max() ?? 0
            let step =
                (largest - smallest) / levels * (1 + 0x1p-9) + 0x1p-10 * abs(smallest) / levels + 0x1p-24
            for index in group {
                let difference = abs(found[index] - expected[index])
                #expect(difference <= step / 2 * (1 + 0x1p-10) + rounding, "\(what): \(harness)")
            }
        }
    }

    /// The orthonormal Hadamard transform of runs of the largest power of two that divides the size.
    private func turn(_ x: [Double]) -> [Double] {
        let run = x.count & -x.count
        return x.indices.map { index in
            let first = index / run * run
            let sum = (0..<run).reduce(0.0) {
                $0 + (((index - first) & $1).nonzeroBitCount.isMultiple(of: 2) ? 1 : -1) * x[first + $1]
            }
            return sum / Double(run).squareRoot()
        }
    }

    @Test("Few large channels of keys do not cost the others their precision in int4")
    func outliers() {
        let harness = AttentionHarness(headSize: 128, element: COPPICE_CACHE_INT4)
        var generator = RandomGenerator(seed: 21)
        let positions = 200
        var keys = generator.numbers(positions * 128)
        for position in 0..<positions { for channel in [3, 40, 77, 101] { keys[position * 128 + channel] += 30 } }
        let text = AttentionHarness.Text(harness, positions: positions)
        harness.store(keys, keys, in: text)
        let found = harness.read(text, positions: positions)
        func error(_ stored: [Float]) -> Float { zip(stored, keys).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) } }
        // Values are stored as they are: the same numbers without the transform.
        #expect(error(found.keys) < 0.5 * error(found.values))
    }

    @Test("NaN is kept, and only in its group")
    func notANumber() {
        for element in [COPPICE_CACHE_INT8, COPPICE_CACHE_INT4] {
            let harness = AttentionHarness(headSize: 96, element: element)
            var numbers = [Float](repeating: 1, count: 3 * 96)
            numbers[96 + 40] = .nan
            atEveryLevel { _ in
                let text = AttentionHarness.Text(harness, positions: 3)
                harness.store(numbers, numbers, in: text)
                let values = harness.read(text, positions: 3).values
                for (index, value) in values.enumerated() {
                    #expect(value.isNaN == (96 + 32..<96 + 64).contains(index))
                }
            }
        }
    }

    @Test("Queries and keys turn by the rotary angles; keys on their way into the cache, sinks' queries by their own")
    func rotation() {
        let positions: [Int32] = [0, 1, 2], headSize = 8, pairs = 3
        let frequencies: [Float] = [1, 0.1, 0.01]
        func tables(_ positions: [Int32], _ exact: Int32) -> (cosines: [Float], sines: [Float]) {
            var cosines = [Float](repeating: 0, count: 9), sines = cosines
            coppice_rotary_angles(positions, 3, frequencies, pairs, 1.5, exact, &cosines, &sines)
            return (cosines, sines)
        }
        let angles = tables(positions, 0), sinkAngles = tables([7, 8, 1000], 1)
        let harness = AttentionHarness(heads: 4, kvHeads: 2, headSize: headSize, element: COPPICE_CACHE_F32)
        var generator = RandomGenerator(seed: 3)
        let before = generator.numbers(3 * harness.width), keys = generator.numbers(3 * harness.keyWidth)
        for interleaved in [false, true] {
            func expectRotated(_ x: [Float], _ source: [Float], _ heads: Int, _ positions: [Int32], _ what: Comment) {
                for token in 0..<3 {
                    for head in 0..<heads {
                        let base = (token * heads + head) * headSize
                        for pair in 0..<pairs {
                            let (i, j) = interleaved ? (2 * pair, 2 * pair + 1) : (pair, pair + pairs)
                            let angle = Double(positions[token]) * Double(frequencies[pair])
                            let (a, b) = (Double(source[base + i]), Double(source[base + j]))
                            #expect(abs(Double(x[base + i]) - 1.5 * (a * cos(angle) - b * sin(angle))) < 1e-5, what)
                            #expect(abs(Double(x[base + j]) - 1.5 * (b * cos(angle) + a * sin(angle))) < 1e-5, what)
                        }
                        #expect(x[base + 6] == source[base + 6] && x[base + 7] == source[base + 7], what)
                    }
                }
            }
            atEveryLevel { _ in
                var queries = before, sinkQueries = [Float](repeating: .nan, count: before.count)
                let text = AttentionHarness.Text(harness, positions: 3)
                var shape = harness.shape, row = text.row(first: 0, start: 0, count: 3)
                angles.cosines.withUnsafeBufferPointer { cosines in
                    angles.sines.withUnsafeBufferPointer { sines in
                        sinkAngles.cosines.withUnsafeBufferPointer { sinkCosines in
                            sinkAngles.sines.withUnsafeBufferPointer { sinkSines in
                                var tables = coppice_rotary_tables(
                                    cosines: cosines.baseAddress, sines: sines.baseAddress, pairs: pairs,
                                    interleaved: interleaved ? 1 : 0)
                                var sinkTables = coppice_rotary_tables(
                                    cosines: sinkCosines.baseAddress, sines: sinkSines.baseAddress, pairs: pairs,
                                    interleaved: interleaved ? 1 : 0)
                                coppice_rotate_and_store(
                                    &shape, &row, 1, &tables, &queries, harness.width, &sinkTables, &sinkQueries, keys,
                                    harness.keyWidth, keys, harness.keyWidth)
                            }
                        }
                    }
                }
                let stored = harness.read(text, positions: 3)
                expectRotated(queries, before, 4, positions, "queries")
                expectRotated(sinkQueries, before, 4, [7, 8, 1000], "sinks' queries")
                expectRotated(stored.keys, keys, 2, positions, "keys")
                #expect(stored.values == keys)
            }
        }
    }

    @Test("A block takes what the header says: 9 and 5 bits a channel")
    func sizes() {
        for (element, bits) in [
            (COPPICE_CACHE_F32, 32), (COPPICE_CACHE_F16, 16), (COPPICE_CACHE_INT8, 9), (COPPICE_CACHE_INT4, 5),
        ] {
            #expect(coppice_cache_layer_bytes(2, 128, element) == 2 * 2 * 128 * 64 * bits / 8)
        }
        #expect(coppice_cache_layer_bytes(1, 80, COPPICE_CACHE_INT8) == 2 * (80 * 64 + 3 * 256))
        #expect(coppice_cache_layer_bytes(1, 80, COPPICE_CACHE_INT4) == 2 * (96 * 32 + 3 * 256))
    }
}
