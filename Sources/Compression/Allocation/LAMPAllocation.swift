import CoppiceTensors

/// One threshold for all matrices on scores that each matrix makes comparable with the others: layer-adaptive
/// magnitude-based pruning (LAMP).
///
/// With a matrix's weights in ascending order, score(u) = w_u² / Σ_{v ≥ u} w_v²: what removing u costs of what is left
/// of the matrix then. The largest weight of a matrix scores one, so that none is emptied. Lee, Park, Mo, Ahn and Shin,
/// "Layer-adaptive sparsity for the magnitude-based pruning" (2021), equation 4.
///
/// The squares are those of the criterion's scores, of |w| for ``MagnitudeCriterion``.
public struct LAMPAllocation: Allocation {
    public init() {}

    public var needsScores: Bool { true }

    /// The counts removed add up to exactly ⌊s·N⌋.
    ///
    /// - Throws: `.usage` for negative scores, whose squares would not sort as they do.
    /// - Complexity: O(N) in three passes, each of which sorts a matrix at a time by digits; three times the memory of a
    ///   matrix.
    public func removedCounts(
        _ weights: [PrunableWeight], sparsity: Double, scores: (Int) throws -> Tensor
    ) throws -> [Int] {
        let counts = weights.map(\.count)
        let removed = ExactSelection.removedCount(counts.reduce(0, +), sparsity: sparsity)
        return try SharedThreshold.removedCounts(counts, floors: counts.map { _ in 0 }, removing: removed) { index in
            try Self.ascendingScores(scores(index), name: weights[index].name)
        }
    }

    /// The LAMP scores of a matrix in ascending order, which is that of its magnitudes. O(n).
    ///
    /// - Parameter magnitudes: f32, not negative; −∞ for what is removed already, which keeps that score.
    /// - Throws: `.usage` naming the matrix for a negative score.
    public static func ascendingScores(_ magnitudes: Tensor, name: String) throws -> Tensor {
        var result = Tensor(uninitialized: magnitudes.shape)
        var negative: Float?
        magnitudes.withElements(Float.self) { values in
            result.withMutableElements(Float.self) { out in
                negative = values.first { $0 < 0 && $0 != -.infinity }
                guard negative == nil else { return }
                sort(values, into: out)
                // From the largest down, so that what is left of the matrix is at hand.
                var rest = 0.0
                for index in out.indices.reversed() {
                    guard out[index] >= 0 else { break }
                    let square = Double(out[index]) * Double(out[index])
                    rest += square
                    // A matrix of zeros has no better place for the score that saves it than its last.
                    out[index] = index == out.count - 1 ? 1 : rest > 0 ? Float(square / rest) : 0
                }
            }
        }
        if let negative {
            throw CoppiceError(
                .usage, field: "allocation",
                "lamp squares scores, and \(name) has one of \(negative); expected a criterion without negative scores")
        }
        return result
    }

    /// Sorts ascending by the digits of order keys: three passes of 11, 11 and 10 bits.
    private static func sort(_ values: UnsafeBufferPointer<Float>, into out: UnsafeMutableBufferPointer<Float>) {
        let scratch = UnsafeMutableBufferPointer<Float>.allocate(capacity: values.count)
        defer { scratch.deallocate() }
        pass(values, into: out, shift: 0)
        pass(UnsafeBufferPointer(out), into: scratch, shift: 11)
        pass(UnsafeBufferPointer(scratch), into: out, shift: 22)
    }

    private static func pass(
        _ values: UnsafeBufferPointer<Float>, into out: UnsafeMutableBufferPointer<Float>, shift: UInt32
    ) {
        func digit(_ value: Float) -> Int {
            // The order key of scores without NaN: negative ones flipped, the sign bit set on the others.
            let bits = (value + 0).bitPattern
            let key = bits ^ (UInt32(bitPattern: Int32(bitPattern: bits) >> 31) | 0x8000_0000)
            return Int(key >> shift & 2047)
        }
        withUnsafeTemporaryAllocation(of: Int.self, capacity: 2048) { places in
            places.initialize(repeating: 0)
            for value in values { places[digit(value)] += 1 }
            var start = 0
            for index in places.indices { (places[index], start) = (start, start + places[index]) }
            for value in values {
                let bucket = digit(value)
                out[places[bucket]] = value
                places[bucket] += 1
            }
        }
    }
}
