import CoppiceTensors

/// How much faster sparse weights decode (one row of activations) than dense ones of the same bits.
///
/// ```swift
/// let benchmark = try SparseDecodingBenchmark(rows: 4096, columns: 4096)
/// for result in benchmark.run() { print(result.name, result.speedUp) }
/// ```
public struct SparseDecodingBenchmark: Sendable {
    /// A sparse weight and the dense one that it is measured against.
    private struct Pair {
        var name: String
        var sparse: any WeightFormat
        /// Its place among ``SparseDecodingBenchmark/dense``.
        var reference: Int
    }

    /// One sparse weight's speed.
    public struct Result: Sendable, Hashable {
        /// The pattern and the values, such as `2:4-bf16`.
        public let name: String
        /// The dense weight's label.
        public let reference: String
        /// The dense weight's time over the sparse one's.
        public let speedUp: Double
        /// The dense weight's bytes over the sparse one's: the speed-up of a product that waits for memory alone.
        public let bytesRatio: Double
    }

    private let dense: [any WeightFormat]
    private let pairs: [Pair]

    /// Makes the weights, of noise: 2:4 and bitmasks with half of the weights over bf16 and 8 bits, 2:4 over 4 bits,
    /// bitmasks with a tenth over bf16, and 4 bits with every second group of 16, 32 or 64 kept.
    ///
    /// - Throws: nothing for a shape of sensible size; the errors of the formats' initializers otherwise.
    /// - Precondition: `columns` is a multiple of 128.
    public init(rows: Int, columns: Int) throws {
        precondition(rows > 0 && columns > 0 && columns.isMultiple(of: 128), "a weight of \(rows) × \(columns)")
        let matrix = Tensor(FormatBenchmark.noise(rows * columns), shape: [rows, columns])
        let bits8 = IntegerQuantization(bits: 8, groupSize: 32), wide4 = IntegerQuantization(bits: 4, groupSize: 128)
        let bits4 = IntegerQuantization(bits: 4, groupSize: 32), middle4 = IntegerQuantization(bits: 4, groupSize: 64)
        var dense: [any WeightFormat] = [try DenseWeight(matrix.converted(to: .bf16))]
        for quantization in [bits8, wide4, bits4, middle4] {
            dense.append(try IntegerGroupWeight(quantizing: matrix, quantization))
        }
        self.dense = dense

        var pairs: [Pair] = []
        let pattern = FormatBenchmark.keeping(2, of: 4, matrix), half = FormatBenchmark.keeping(0.5, matrix)
        let values: [(PackedValueType, String, reference: Int)] = [
            (.float(.bf16), "bf16", 0), (.integer(bits8), "int8", 1), (.integer(wide4), "int4", 2),
        ]
        for (type, name, reference) in values {
            pairs.append(
                Pair(
                    name: "2:4-\(name)",
                    sparse: try SemiStructuredWeight(packing: pattern, kept: 2, of: 4, values: type),
                    reference: reference))
        }
        for (type, name, reference) in values.dropLast() {
            pairs.append(
                Pair(
                    name: "bitmask-50-\(name)", sparse: try BitmaskSparseWeight(packing: half, values: type),
                    reference: reference))
        }
        let tenth = FormatBenchmark.keeping(0.1, matrix)
        pairs.append(
            Pair(
                name: "bitmask-90-bf16", sparse: try BitmaskSparseWeight(packing: tenth, values: .float(.bf16)),
                reference: 0))
        // Dense weights have scales for 32 at least.
        for (size, reference) in [(16, 3), (32, 3), (64, 4)] {
            let kept = FormatBenchmark.keepingHalf(ofGroups: size, matrix)
            let sparse = try GroupSparseWeight(packing: kept, IntegerQuantization(bits: 4, groupSize: size))
            pairs.append(Pair(name: "groups-of-\(size)-50-int4", sparse: sparse, reference: reference))
        }
        self.pairs = pairs
    }

    /// Times all weights in turns; the fastest of a weight's passes counts.
    ///
    /// - Parameter bytesBetween: of other memory, read before each product; see ``FormatBenchmark/bytesBetween``.
    public func run(passes: Int = 20, bytesBetween: Int = 96 << 20) -> [Result] {
        let benchmark = FormatBenchmark(inputRows: [1], passes: passes, bytesBetween: bytesBetween)
        let results = benchmark.run(dense + pairs.map(\.sparse))
        return pairs.enumerated().map { index, pair in
            let (own, reference) = (results[dense.count + index], results[pair.reference])
            return Result(
                name: pair.name, reference: reference.label,
                speedUp: reference.timings[0].seconds / own.timings[0].seconds,
                bytesRatio: Double(reference.byteCount) / Double(max(1, own.byteCount)))
        }
    }
}
