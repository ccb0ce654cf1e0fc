import CKernels
import CoppiceTensors

/// Times products of weight formats against a reference, usually dense bf16, in one run.
///
/// Passes are interleaved: each pass multiplies with every weight once, so that a disturbance meets all of them and
/// weights that together exceed the cache are read from memory. The fastest of a weight's passes counts.
///
/// ```swift
/// let results = FormatBenchmark(inputRows: [1, 512]).run(try FormatBenchmark.examples(rows: 4096, columns: 4096))
/// for result in results { print(result.label, result.bytesRatio, result.timings.map(\.timeRatio)) }
/// ```
public struct FormatBenchmark: Sendable {
    /// Rows of activations to time: 1 is decoding, hundreds are reading a prompt.
    public var inputRows: [Int]
    /// Passes for each of them.
    public var passes: Int
    /// Bytes of other memory that are read before each product. More than the caches hold make every product read its
    /// weight from memory, as a model does that is larger than they are.
    public var bytesBetween: Int

    /// - Precondition: there is at least one pass, and every product has at least one row.
    public init(inputRows: [Int] = [1, 8, 512], passes: Int = 10, bytesBetween: Int = 0) {
        precondition(passes > 0 && inputRows.allSatisfy { $0 > 0 }, "\(passes) passes of \(inputRows) rows")
        self.inputRows = inputRows
        self.passes = passes
        self.bytesBetween = max(0, bytesBetween)
    }

    /// One product's speed.
    public struct Timing: Sendable {
        public let inputRows: Int
        public let seconds: Double
        /// `seconds` as a share of the first weight's.
        public let timeRatio: Double
        /// Bytes of the weight per second.
        public let bytesPerSecond: Double
        /// Two for each entry of the matrix and row of activations, whether the entry is stored or not.
        public let operationsPerSecond: Double
    }

    /// What was measured of one weight.
    public struct Result: Sendable {
        /// ``WeightFormat/label``.
        public let label: String
        public let byteCount: Int
        /// `byteCount` as a share of the first weight's.
        public let bytesRatio: Double
        /// ``WeightFormat/sparsity``.
        public let sparsity: Double
        /// In the order of ``FormatBenchmark/inputRows``.
        public let timings: [Timing]

        /// Whether the format has no advantage over the first weight: not smaller, and faster at no number of rows.
        public var isPointless: Bool { bytesRatio >= 1 && timings.allSatisfy { $0.timeRatio >= 1 } }
    }

    /// Times every weight; ratios are to the first.
    ///
    /// - Precondition: weights have the same shape, with at least one entry.
    /// - Complexity: O(passes · rows of activations · entries) for each weight.
    public func run(_ weights: [any WeightFormat]) -> [Result] {
        guard let reference = weights.first else { return [] }
        let (rows, columns) = (reference.rows, reference.columns)
        precondition(rows > 0 && columns > 0, "a weight without entries")
        precondition(weights.allSatisfy { $0.rows == rows && $0.columns == columns }, "weights of several shapes")
        let seconds = inputRows.map { fastest(weights, inputRows: $0) }
        return weights.indices.map { index in
            let weight = weights[index]
            return Result(
                label: weight.label, byteCount: weight.byteCount,
                bytesRatio: Double(weight.byteCount) / Double(max(1, reference.byteCount)),
                sparsity: weight.sparsity,
                timings: zip(inputRows, seconds).map { count, all in
                    Timing(
                        inputRows: count, seconds: all[index], timeRatio: all[index] / all[0],
                        bytesPerSecond: Double(weight.byteCount) / all[index],
                        operationsPerSecond: 2 * Double(rows) * Double(columns) * Double(count) / all[index])
                })
        }
    }

    /// The fastest product of each weight with so many rows.
    private func fastest(_ weights: [any WeightFormat], inputRows count: Int) -> [Double] {
        let (rows, columns) = (weights[0].rows, weights[0].columns)
        var best = [Double](repeating: .infinity, count: weights.count)
        let x = Self.noise(count * columns)
        var y = [Float](repeating: 0, count: count * rows)
        let clock = ContinuousClock()
        let other = [Float](repeating: 1, count: bytesBetween / MemoryLayout<Float>.stride)
        x.withUnsafeBufferPointer { input in
            y.withUnsafeMutableBufferPointer { output in
                guard let from = input.baseAddress, let to = output.baseAddress else { return }
                let activations = ActivationRows(from, rows: count, columns: columns, stride: columns)
                let result = OutputRows(to, rows: count, columns: rows, stride: rows)
                for _ in 0..<passes {
                    for (index, weight) in weights.enumerated() {
                        other.withUnsafeBufferPointer {
                            guard let base = $0.baseAddress, !$0.isEmpty else { return }
                            precondition(coppice_read_sum(base, $0.count) > 0)
                        }
                        let time = clock.measure { weight.multiply(activations, into: result) }
                        let (whole, rest) = time.components
                        // A clock that did not move would make ratios of nothing.
                        best[index] = min(best[index], max(1e-9, Double(whole) + Double(rest) * 1e-18))
                    }
                }
            }
        }
        return best
    }

    // MARK: Weights to time

    /// A random matrix in the formats that a compression chooses from; dense bf16 is the first.
    ///
    /// - Throws: nothing for a shape of sensible size; the errors of the formats' initializers otherwise.
    public static func examples(rows: Int, columns: Int) throws -> [any WeightFormat] {
        let values = noise(rows * columns)
        let matrix = Tensor(values, shape: [rows, columns])
        var weights: [any WeightFormat] = [try DenseWeight(matrix.converted(to: .bf16))]
        let int8 = IntegerQuantization(bits: 8, groupSize: 32)
        let int4 = IntegerQuantization(bits: 4, groupSize: 128)
        let quantizations = [
            IntegerQuantization(bits: 8), int8, IntegerQuantization(bits: 4, groupSize: 32), int4,
            IntegerQuantization(bits: 4, groupSize: 128, isSymmetric: false),
        ]
        for quantization in quantizations {
            weights.append(try IntegerGroupWeight(quantizing: matrix, quantization))
        }
        for quantization in [
            BitPlaneQuantization(bits: 1, codes: .bipolar), .ternary(groupSize: 128), BitPlaneQuantization(bits: 2),
            BitPlaneQuantization(bits: 2, groupSize: 64, codes: .asymmetric), BitPlaneQuantization(bits: 3),
            BitPlaneQuantization(bits: 3, groupSize: 128),
            BitPlaneQuantization(bits: 3, groupSize: 64, codes: .bipolar),
            BitPlaneQuantization(bits: 5, groupSize: 128), BitPlaneQuantization(bits: 6),
            BitPlaneQuantization(bits: 6, groupSize: 64),
        ] { weights.append(try BitPlaneWeight(quantizing: matrix, quantization)) }
        for quantization in [
            CodebookQuantization(bits: 4, groupSize: 64), CodebookQuantization(bits: 4, tables: .row),
            CodebookQuantization(bits: 3, groupSize: 128, tables: .group),
            CodebookQuantization(bits: 4, curve: .power(exponent: nil)),
        ] { weights.append(try CodebookWeight(quantizing: matrix, quantization)) }
        let types: [PackedValueType] = [.float(.bf16), .integer(int8), .integer(int4)]
        for (kept, length) in [(2, 4), (1, 4), (2, 8), (4, 8)]
        where SemiStructuredWeight.supports(kept: kept, of: length, columns: columns) {
            let pruned = keeping(kept, of: length, matrix)
            for type in types {
                weights.append(try SemiStructuredWeight(packing: pruned, kept: kept, of: length, values: type))
            }
        }
        for (size, bits) in [(16, 4), (32, 4), (64, 4), (32, 8)] {
            let pruned = keepingHalf(ofGroups: size, matrix)
            weights.append(try GroupSparseWeight(packing: pruned, IntegerQuantization(bits: bits, groupSize: size)))
        }
        for kept in [Float(0.5), 0.3, 0.1] {
            let pruned = keeping(kept, matrix)
            for type in types { weights.append(try BitmaskSparseWeight(packing: pruned, values: type)) }
        }
        return weights
    }

    /// Entries at `kept` places of each `length`, which differ from group to group; zeros elsewhere.
    static func keeping(_ kept: Int, of length: Int, _ noise: Tensor) -> Tensor {
        masked(noise) { index, _ in (index + index / length * 3) % length < kept }
    }

    /// The share of entries of the largest magnitude, as noise is uniform in -1 ..< 1; zeros elsewhere.
    static func keeping(_ share: Float, _ noise: Tensor) -> Tensor {
        masked(noise) { _, value in abs(value) >= 1 - share }
    }

    /// Every second group of a row, by a hash of its place; zeros elsewhere.
    static func keepingHalf(ofGroups size: Int, _ noise: Tensor) -> Tensor {
        let columns = noise.shape[1]
        let chances = self.noise((noise.count + size - 1) / size)
        return masked(noise) { index, _ in
            let group = index / columns * (columns / size) + index % columns / size
            return chances[min(group, chances.count - 1)] >= 0
        }
    }

    private static func masked(_ matrix: Tensor, _ isKept: (_ index: Int, _ value: Float) -> Bool) -> Tensor {
        matrix.withElements(Float.self) { values in
            Tensor(values.indices.map { isKept($0, values[$0]) ? values[$0] : 0 }, shape: matrix.shape)
        }
    }

    /// Uniform in -1 ..< 1, the same in every run: a hash of each position.
    static func noise(_ count: Int) -> [Float] {
        (0..<count).map { index in
            var bits = UInt64(index) &* 0x9E37_79B9_7F4A_7C15
            bits = (bits ^ bits >> 30) &* 0xBF58_476D_1CE4_E5B9
            bits = (bits ^ bits >> 27) &* 0x94D0_49BB_1331_11EB
            return Float(Int32(truncatingIfNeeded: bits >> 40) - (1 << 23)) / Float(1 << 23)
        }
    }
}
