import CoppiceTensors

/// The inverse of a dampened empirical Fisher matrix of which only square blocks along the diagonal are kept: weights
/// are cut into consecutive blocks, and each has the F of its own parts of the gradients.
///
/// Singh and Alistarh, "WoodFisher: Efficient second-order approximation for neural network compression" (2020);
/// M-FAC (2021), section 3.1, for blocks beyond what fits as matrices. A block of b weights keeps its inverse where
/// there are at least b gradients, and the m rows L⁻¹G of ``InverseFisher`` where there are fewer: never more than
/// min(m, b) numbers a weight.
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
    private struct Run: Sendable {
        var weights: Range<Int>
        var size: Int
        /// The inverses `[blocks, size, size]`, or L⁻¹G, `[blocks, m, size]`.
        var values: Tensor
        var areInverses: Bool
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
        guard blockSize > 0 else {
            throw CoppiceError(.usage, field: "block size", "\(blockSize), expected at least 1")
        }
        let own = try gradients.asGradients()
        self.dampening = dampening
        self.blockSize = blockSize
        (count, dataType) = (own.shape[1], own.dataType)
        var (runs, diagonals): ([Run], [Tensor]) = ([], [])
        let size = min(blockSize, count)
        // Blocks that are in f64 at once: about 64 MB.
        let together = max(1, (1 << 23) / (own.shape[0] * size))
        var start = 0
        while start < count {
            let whole = (count - start) / size
            let (blocks, width) = whole > 0 ? (min(whole, together), size) : (1, count - start)
            let range = start..<(start + blocks * width)
            let (values, diagonal) = try Self.invert(
                own.slice(axis: 1, range), blocks: blocks, size: width, dampening: dampening)
            runs.append(
                Run(
                    weights: range, size: width, values: values.converted(to: own.dataType),
                    areInverses: own.shape[0] >= width))
            diagonals.append(diagonal)
            start = range.upperBound
        }
        self.runs = runs
        inverseDiagonal = Tensor.concatenated(diagonals)
    }

    /// What a run of blocks keeps, and the diagonal of their inverses, in f64.
    private static func invert(
        _ gradients: Tensor, blocks: Int, size: Int, dampening: Double
    ) throws -> (values: Tensor, diagonal: Tensor) {
        let m = gradients.shape[0]
        // [blocks, m, size]
        let parts = gradients.converted(to: .f64).contiguous().reshaped([m, blocks, size]).permuted([1, 0, 2])
            .contiguous()
        func factor(_ product: Tensor, _ dampening: Double, _ extent: Int) throws -> Tensor {
            do {
                return try (product + Tensor.identity(extent, dataType: .f64) * dampening).choleskyFactor()
            } catch {
                throw CoppiceError(
                    .badData, field: "dampening",
                    "\(dampening) is too small for gradients of this size, or they overflow")
            }
        }
        if m >= size {
            let factors = try factor(parts.transposed().matmul(parts) / Double(m), dampening, size)
            // F⁻¹ = RᵀR with R = L⁻¹: symmetric, and its diagonal is a sum of squares.
            let roots = try factors.solveTriangular(.identity(size, dataType: .f64))
            return (roots.transposed().matmul(roots), roots.square().sum(axes: [1]).reshaped([blocks * size]))
        }
        let factors = try factor(parts.matmul(parts.transposed()), Double(m) * dampening, m)
        let rows = try factors.solveTriangular(parts)
        return (rows, ((1 - rows.square().sum(axes: [1])) / dampening).reshaped([blocks * size]))
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
