import CoppiceTensors

/// The sums that the blocks of a dampened empirical Fisher matrix are made of, taken up as gradients come: no more than
/// a few of these are in memory.
///
/// ```swift
/// var sums = try BlockFisherSums(count: d, blockSize: 128)
/// for batch in batches { try sums.push(gradient(batch)) }      // [d]
/// let inverse = try sums.inverse(dampening: 1e-5)
/// ```
///
/// Memory is 8 b bytes for each of d weights, whatever the number of gradients, and 4 · 32 for the gradients that wait
/// for their turn. In f64 throughout: the sums of f32 would not stay positive definite at a small λ.
public struct BlockFisherSums: Sendable {
    /// Number of weights d.
    public let count: Int
    /// Weights of a block; the last may have fewer.
    public let blockSize: Int
    /// Gradients taken so far.
    public private(set) var gradientCount = 0
    private let dataType: DataType
    private var runs: [Run]
    private var waiting: GradientRows
    private var waitingCount = 0

    /// Gradients whose products are added up together.
    static let together = 32

    /// - Parameters:
    ///   - count: d.
    ///   - blockSize: b; one block where it is at least d.
    ///   - dataType: f32 or f64, of the gradients and of the inverse.
    /// - Throws: `.usage` for a number of weights or a block size that is not positive.
    public init(count: Int, blockSize: Int = 128, dataType: DataType = .f32) throws {
        try checkBlockSize(blockSize)
        guard count > 0 else { throw CoppiceError(.usage, field: "weights", "\(count), expected at least 1") }
        precondition(dataType == .f32 || dataType == .f64, "gradients of \(dataType)")
        self.count = count
        self.blockSize = blockSize
        self.dataType = dataType
        let size = min(blockSize, count)
        runs = Self.ranges(of: count, size: size, numbers: size * size).map { Run(weights: $0.weights, size: $0.size) }
        waiting = GradientRows(.zeros([Self.together, count], dataType: dataType))
    }

    /// Bytes of the sums of d weights in blocks of b.
    public static func byteCount(weights d: Int, blockSize b: Int) -> Int { d * (8 * min(b, d) + 4 * together) }

    /// The most weights of a block whose sums of d weights fit into bytes; below 1 where none do.
    public static func largestBlockSize(weights d: Int, bytes: Int) -> Int { (bytes / d - 4 * together) / 8 }

    /// Takes a gradient. O(d b).
    ///
    /// - Parameter gradient: `[d]`.
    /// - Throws: `.badData` for another length or elements that are not finite; nothing has changed then.
    public mutating func push(_ gradient: Tensor) throws {
        let own = try gradient.asVectors(of: count, dataType)
        guard own.shape[0] == 1 else {
            throw CoppiceError(.badData, field: "gradient", "shape \(gradient.shape), expected [\(count)]")
        }
        waiting.replace(waitingCount, with: own)
        waitingCount += 1
        gradientCount += 1
        if waitingCount == Self.together { addWaiting() }
    }

    private mutating func addWaiting() {
        guard waitingCount > 0 else { return }
        let rows = waiting.values.slice(axis: 0, 0..<waitingCount)
        for index in runs.indices { runs[index].add(rows.slice(axis: 1, runs[index].weights)) }
        waitingCount = 0
    }

    /// The inverse of F = λI + (1/m) Σ gᵢgᵢᵀ in blocks, equal bit for bit to that of all m gradients at once where m is at
    /// least b. O(d b²).
    ///
    /// - Parameter dampening: λ.
    /// - Throws: `.usage` for a λ that is not positive and where no gradient has come; `.badData` for a λ too small for
    ///   the gradients' size.
    public consuming func inverse(dampening: Double) throws -> BlockInverseFisher {
        try checkDampening(dampening)
        guard gradientCount > 0 else { throw CoppiceError(.usage, "no gradient has come, expected at least one") }
        addWaiting()
        waiting = GradientRows(.zeros([1, 1]))
        let m = gradientCount
        var rest = runs
        runs = []
        return try BlockInverseFisher(
            count: count, blockSize: blockSize, dampening: dampening, dataType: dataType, each: rest.indices
        ) { index in
            let run = rest[index]
            rest[index].sums = .zeros([0], dataType: .f64)  // given back before the next inverse
            return try run.inverse(gradients: m, dampening: dampening)
        }
    }

    /// Consecutive weights in blocks of one size, as many as have about so many bytes in f64 together: 64 MB.
    static func ranges(of count: Int, size: Int, numbers: Int) -> [(weights: Range<Int>, size: Int)] {
        let together = max(1, (1 << 23) / numbers)
        var ranges: [(weights: Range<Int>, size: Int)] = []
        var start = 0
        while start < count {
            let whole = (count - start) / size
            let (blocks, width) = whole > 0 ? (min(whole, together), size) : (1, count - start)
            ranges.append((start..<(start + blocks * width), width))
            start += blocks * width
        }
        return ranges
    }

    /// Blocks of one size that lie one after the other.
    struct Run: Sendable {
        let weights: Range<Int>
        let size: Int
        /// Σ gᵢgᵢᵀ in the lower triangles, f64 `[blocks, size, size]`.
        var sums: Tensor

        init(weights: Range<Int>, size: Int) {
            (self.weights, self.size) = (weights, size)
            sums = .zeros([weights.count / size, size, size], dataType: .f64)
        }

        /// - Parameter gradients: of these weights, at most ``BlockFisherSums/together`` rows.
        mutating func add(_ gradients: Tensor) { sums.addGramMatrices(ofColumnBlocks: gradients) }

        /// F⁻¹ of the blocks and its diagonal, in f64.
        func inverse(gradients m: Int, dampening: Double) throws -> BlockInverseFisher.Run {
            let fisher = sums / Double(m) + Tensor.identity(size, dataType: .f64) * dampening
            let factors = try fisher.dampenedFactor(dampening)
            // F⁻¹ = RᵀR with R = L⁻¹: symmetric, and its diagonal is a sum of squares.
            let roots = try factors.solveTriangular(.identity(size, dataType: .f64))
            return BlockInverseFisher.Run(
                weights: weights, size: size, values: roots.transposed().matmul(roots), areInverses: true,
                diagonal: roots.square().sum(axes: [1]).reshaped([weights.count]))
        }
    }
}

/// - Throws: `.usage` where blocks would have no weight.
func checkBlockSize(_ size: Int) throws {
    guard size > 0 else { throw CoppiceError(.usage, field: "block size", "\(size), expected at least 1") }
}

extension Tensor {
    /// L of matrices that a dampening λ has been added to.
    ///
    /// - Throws: `.badData` where they are not positive definite all the same.
    func dampenedFactor(_ dampening: Double) throws -> Tensor {
        do {
            return try choleskyFactor()
        } catch {
            throw CoppiceError(
                .badData, field: "dampening", "\(dampening) is too small for gradients of this size, or they overflow")
        }
    }
}
