import CoppiceTensors

/// The inverse of a dampened empirical Fisher matrix of which only square blocks along the diagonal are kept: weights
/// are cut into consecutive blocks, and each has the F of its own parts of the gradients.
///
/// Singh and Alistarh, "WoodFisher: Efficient second-order approximation for neural network compression" (2020);
/// M-FAC (2021), section 3.1, for blocks beyond what fits as matrices. A block of b weights keeps its inverse where
/// there are at least b gradients, and the m rows L⁻¹G of ``InverseFisher`` where there are fewer: never more than
/// min(m, b) numbers a weight. ``BlockFisherSums`` takes gradients one after the other instead.
public struct BlockInverseFisher: InverseCurvature {
    /// λ.
    public let dampening: Double
    /// Weights of a block; the last may have fewer.
    public let blockSize: Int
    public let count: Int
    private let dataType: DataType
    private let runs: [Run]
    private let inverseDiagonal: Tensor

    /// Blocks of one size that lie one after the other and were computed together.
    struct Run: Sendable {
        var weights: Range<Int>
        var size: Int
        /// The inverses `[blocks, size, size]`, or L⁻¹G, `[blocks, m, size]`.
        var values: Tensor
        var areInverses: Bool
        /// Of the inverses, f64 `[weights]`.
        var diagonal: Tensor
    }

    /// - Parameter run: the runs by their indices, all weights in order, in f64; they are kept in another type.
    init(
        count: Int, blockSize: Int, dampening: Double, dataType: DataType, each ranges: some Sequence<Int>,
        _ run: (Int) throws -> Run
    ) rethrows {
        (self.count, self.blockSize, self.dampening, self.dataType) = (count, blockSize, dampening, dataType)
        runs = try ranges.map {
            var own = try run($0)
            own.values = own.values.converted(to: dataType)
            return own
        }
        inverseDiagonal = Tensor.concatenated(runs.map(\.diagonal))
    }

    /// O(d · m · min(m, b)) and a factorization of each block, in f64.
    ///
    /// - Parameters:
    ///   - gradients: `[m, d]`; f64 stays f64, others are kept in f32.
    ///   - dampening: λ.
    ///   - blockSize: weights of a block; one block where it is at least d.
    /// - Throws: `.usage` for a λ or a block size that is not positive; `.badData` for another shape, for elements that
    ///   are not finite and for a λ too small for the gradients' size.
    public init(gradients: Tensor, dampening: Double, blockSize: Int = 128) throws {
        try checkDampening(dampening)
        try checkBlockSize(blockSize)
        let own = try gradients.asGradients()
        let (m, d) = (own.shape[0], own.shape[1])
        let size = min(blockSize, d)
        let ranges = BlockFisherSums.ranges(of: d, size: size, numbers: min(m, size) * size)
        try self.init(
            count: d, blockSize: blockSize, dampening: dampening, dataType: own.dataType == .f64 ? .f64 : .f32,
            each: ranges.indices
        ) { index in
            let range = ranges[index]
            let columns = own.slice(axis: 1, range.weights)
            guard m >= range.size else {
                return try Self.rows(of: columns, range.weights, size: range.size, dampening: dampening)
            }
            var sums = BlockFisherSums.Run(weights: range.weights, size: range.size)
            for first in stride(from: 0, to: m, by: BlockFisherSums.together) {
                sums.add(columns.slice(axis: 0, first..<min(m, first + BlockFisherSums.together)))
            }
            return try sums.inverse(gradients: m, dampening: dampening)
        }
    }

    /// L⁻¹G of blocks that are larger than the number of gradients.
    private static func rows(
        of gradients: Tensor, _ weights: Range<Int>, size: Int, dampening: Double
    ) throws -> Run {
        let m = gradients.shape[0]
        // [blocks, m, size]
        let parts = gradients.converted(to: .f64).contiguous().reshaped([m, -1, size]).permuted([1, 0, 2])
            .contiguous()
        let products = parts.matmul(parts.transposed()) + Tensor.identity(m, dataType: .f64) * (Double(m) * dampening)
        let rows = try products.dampenedFactor(dampening).solveTriangular(parts)
        let diagonal = rows.square().sum(axes: [1]).reshaped([weights.count])
            .inverseDiagonal(gradients: m, dampening: dampening) {
                gradients.slice(axis: 1, $0..<($0 + 1)).doubles()
            }
        return Run(weights: weights, size: size, values: rows, areInverses: false, diagonal: diagonal)
    }

    /// F⁻¹ x. O(d · min(m, b)) for each vector.
    public func product(_ vectors: Tensor) throws -> Tensor {
        let own = try vectors.asVectors(of: count, dataType)
        let n = own.shape[0]
        let parts = runs.map { run -> Tensor in
            let blocks = run.weights.count / run.size
            // [blocks, size, n] in f64, where 1/λ may cancel.
            let x = own.slice(axis: 1, run.weights).converted(to: .f64).contiguous().reshaped([n, blocks, run.size])
                .permuted([1, 2, 0]).contiguous()
            let values = run.values.converted(to: .f64)
            let result =
                run.areInverses
                ? values.matmul(x) : (x - values.transposed().matmul(values.matmul(x))) / dampening
            return result.permuted([2, 0, 1]).contiguous().reshaped([n, run.weights.count])
        }
        return Tensor.concatenated(parts, axis: 1).converted(to: dataType).reshaped(vectors.shape)
    }

    public func diagonal() -> Tensor { inverseDiagonal }

    /// [F⁻¹]ₖₗ: 0 for weights of different blocks. O(min(m, b)).
    ///
    /// - Precondition: both below d.
    public func element(_ k: Int, _ l: Int) -> Double {
        precondition((0..<count).contains(k) && (0..<count).contains(l), "weights \(k) and \(l) of \(count)")
        guard k / blockSize == l / blockSize, let run = runs.first(where: { $0.weights.contains(k) }) else { return 0 }
        let place = k - run.weights.lowerBound
        let values = run.values[place / run.size]
        let (i, j) = (place % run.size, (l - run.weights.lowerBound) % run.size)
        if run.areInverses { return values[i].slice(axis: 0, j..<(j + 1)).doubles()[0] }
        let (left, right) = (values.slice(axis: 1, i..<(i + 1)), values.slice(axis: 1, j..<(j + 1)))
        return ((k == l ? 1 : 0) - zip(left.doubles(), right.doubles()).reduce(0) { $0 + $1.0 * $1.1 }) / dampening
    }
}
