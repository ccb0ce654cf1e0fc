import CoppiceTensors

/// A weight as a product of two thin ones, W = U V with U `[rows, rank]` and V `[rank, columns]`, plus a residual where
/// there is one: W = U V + R. Each of the three is in a format of its own.
///
/// ```swift
/// let weight = try LowRankWeight(factoring: matrix, .energy(0.9), values: .integer(IntegerQuantization(bits: 8)))
/// ```
///
/// A product is two: h = x Vᵀ, y = h Uᵀ. It costs rank · (rows + columns) multiplications a row instead of
/// rows · columns. Where a factor's kernel rounds activations to 8 bits, V rounds x and U rounds h:
/// y[i][r] is then off by at most Σ_k |U[r][k]| (Σ_c |V[k][c]| m / 254) + Σ_k |U[r][k]| n / 254, with m and n the largest
/// magnitudes of the blocks of 32 that x and h are rounded in, and by what the residual adds.
///
/// Truncated singular value decomposition is the best approximation of its rank in the Frobenius norm (Eckart and Young,
/// "The Approximation of One Matrix by Another of Lower Rank", 1936).
public struct LowRankWeight: WeightFormat {
    public static let name = "low-rank"

    /// How large the rank is.
    public enum Target: Sendable, Hashable {
        /// So many columns of U.
        case rank(Int)
        /// As many as make both factors together have this share of the matrix's entries.
        case ratio(Double)
        /// The fewest that keep this share of ‖W‖² (Frobenius norm).
        case energy(Double)
    }

    /// U `[rows, rank]`.
    public let left: any WeightFormat
    /// V `[rank, columns]`.
    public let right: any WeightFormat
    /// R `[rows, columns]`, added to U V.
    public let residual: (any WeightFormat)?

    public var rows: Int { left.rows }
    public var columns: Int { right.columns }
    public var rank: Int { right.rows }

    public var byteCount: Int { left.byteCount + right.byteCount + (residual?.byteCount ?? 0) }
    public var label: String {
        let factors = left.label == right.label ? left.label : "\(left.label),\(right.label)"
        return "\(Self.name)\(rank)-\(factors)" + (residual.map { "+\($0.label)" } ?? "")
    }

    /// - Precondition: U has as many columns as V has rows, and R the shape of U V.
    public init(left: any WeightFormat, right: any WeightFormat, residual: (any WeightFormat)? = nil) {
        precondition(left.columns == right.rows, "U has \(left.columns) columns, V has \(right.rows) rows")
        precondition(
            residual.map { $0.rows == left.rows && $0.columns == right.columns } ?? true,
            "the residual has another shape than U V")
        (self.left, self.right, self.residual) = (left, right, residual)
    }

    /// Approximates a matrix by its largest singular values: U = Û √Σ, V = √Σ V̂ᵀ.
    ///
    /// - Parameters:
    ///   - matrix: `[rows, columns]`.
    ///   - target: the rank, at most min(rows, columns); at least 1.
    ///   - values: how the factors' entries are stored.
    /// - Throws: `badData` for NaN or infinity, naming the element.
    /// - Precondition: `matrix` has entries; the target is positive, a share at most 1.
    /// - Complexity: O(rows · columns · min(rows, columns)).
    public init(factoring matrix: Tensor, _ target: Target, values: PackedValueType) throws {
        precondition(matrix.rank == 2 && matrix.count > 0, "a weight of shape \(matrix.shape)")
        let x = matrix.converted(to: .f32).contiguous()
        try IntegerQuantization.requireFinite(x)
        let decomposition = try x.singularValueDecomposition()
        let singular = decomposition.values.doubles()
        let rank = Self.rank(target, rows: x.shape[0], columns: x.shape[1], singularValues: singular)
        let roots = Tensor(singular.prefix(rank).map { Float($0.squareRoot()) })
        let left = decomposition.left.slice(axis: 1, 0..<rank) * roots
        let right = decomposition.rightTransposed.slice(axis: 0, 0..<rank) * roots.reshaped([rank, 1])
        self.init(
            left: try Self.stored(left.contiguous(), values), right: try Self.stored(right.contiguous(), values))
    }

    /// The rank that a target stands for, 1 to the number of singular values.
    static func rank(_ target: Target, rows: Int, columns: Int, singularValues: [Double]) -> Int {
        let wanted: Int
        switch target {
        case .rank(let rank): wanted = rank
        case .ratio(let ratio):
            precondition(ratio > 0 && ratio <= 1, "a ratio of \(ratio)")
            wanted = Int((ratio * Double(rows) * Double(columns) / Double(rows + columns)).rounded(.down))
        case .energy(let energy):
            precondition(energy > 0 && energy <= 1, "an energy of \(energy)")
            let all = singularValues.reduce(0) { $0 + $1 * $1 }
            var kept = 0.0
            wanted =
                singularValues.firstIndex {
                    kept += $0 * $0
                    return kept >= energy * all
                }.map { $0 + 1 } ?? singularValues.count
        }
        return max(1, min(wanted, singularValues.count))
    }

    private static func stored(_ factor: Tensor, _ values: PackedValueType) throws -> any WeightFormat {
        switch values {
        case .float(let type): try DenseWeight(factor.converted(to: type))
        case .integer(let quantization): try IntegerGroupWeight(quantizing: factor, quantization)
        }
    }

    // MARK: Products

    /// Rows of activations that are multiplied together, so that h stays small.
    private static let rowsAtOnce = 256

    public func multiply(_ x: ActivationRows, into y: OutputRows) {
        checkShapes(x, y)
        let chunk = min(x.rows, Self.rowsAtOnce)
        withUnsafeTemporaryAllocation(of: Float.self, capacity: max(1, chunk * max(rank, residual == nil ? 0 : rows))) {
            guard let base = $0.baseAddress else { return }
            for start in stride(from: 0, to: x.rows, by: max(1, chunk)) {
                let count = min(chunk, x.rows - start)
                let input = ActivationRows(
                    x.base + start * x.stride, rows: count, columns: columns, stride: x.stride,
                    mayNarrow: x.mayNarrow)
                let output = OutputRows(y.base + start * y.stride, rows: count, columns: rows, stride: y.stride)
                right.multiply(input, into: OutputRows(base, rows: count, columns: rank, stride: rank))
                left.multiply(
                    ActivationRows(base, rows: count, columns: rank, stride: rank, mayNarrow: x.mayNarrow),
                    into: output)
                guard let residual else { continue }
                residual.multiply(input, into: OutputRows(base, rows: count, columns: rows, stride: rows))
                for row in 0..<count {
                    for column in 0..<rows { output.base[row * y.stride + column] += base[row * rows + column] }
                }
            }
        }
    }

    /// U V + R in f32.
    public func dense() -> Tensor {
        let product = left.dense().matmul(right.dense())
        return residual.map { product + $0.dense() } ?? product
    }

    /// O(rank · columns).
    public func copyRow(_ row: Int, into destination: UnsafeMutablePointer<Float>) {
        precondition(row >= 0 && row < rows, "row \(row) of \(rows)")
        var factors = Tensor(uninitialized: [1, rank])
        factors.withMutableElements(Float.self) { if let base = $0.baseAddress { left.copyRow(row, into: base) } }
        let product = factors.matmul(right.dense())
        withUnsafeTemporaryAllocation(of: Float.self, capacity: max(1, columns)) { buffer in
            guard let base = buffer.baseAddress else { return }
            if let residual { residual.copyRow(row, into: base) } else { base.update(repeating: 0, count: columns) }
            product.withElements(Float.self) { values in
                for column in 0..<columns { destination[column] = values[column] + base[column] }
            }
        }
    }

    /// Entries of U V + R that are not zero.
    public var nonZeroCount: Int { dense().withElements(Float.self) { $0.count { $0 != 0 } } }

    /// Multiplications of a product with one row of activations: entries of the factors and of R that are not zero.
    public var multiplicationCount: Int {
        left.nonZeroCount + right.nonZeroCount + (residual?.nonZeroCount ?? 0)
    }

    // MARK: Checkpoints

    /// Formats that a factor cannot have: those that are made of weights themselves.
    private static let composed = [name, ColumnPermutedWeight.name]

    public init(stored: StoredWeight) throws {
        let (rows, columns) = try stored.matrixShape()
        let rank = try stored.integerOption("rank", in: 0...StoredWeight.largestExtent)
        let hasResidual = try stored.option("residual", oneOf: ["true", "false"]) == "true"
        left = try Self.member("left", of: stored, shape: [rows, rank])
        right = try Self.member("right", of: stored, shape: [rank, columns])
        residual = hasResidual ? try Self.member("residual", of: stored, shape: [rows, columns]) : nil
    }

    public func stored() -> StoredWeight {
        var result = StoredWeight(
            format: Self.name, shape: [rows, columns], tensors: [:],
            options: ["rank": "\(rank)", "residual": "\(residual != nil)"])
        for (key, member) in [("left", left), ("right", right), ("residual", residual)] {
            guard let member else { continue }
            let stored = member.stored()
            result.options["\(key)_format"] = stored.format
            for (option, value) in stored.options { result.options["\(key)_\(option)"] = value }
            for (part, tensor) in stored.tensors { result.tensors[part.isEmpty ? key : "\(key)_\(part)"] = tensor }
        }
        return result
    }

    /// The factor or residual `key`: its parts and options are those that begin with its key.
    private static func member(_ key: String, of stored: StoredWeight, shape: [Int]) throws -> any WeightFormat {
        var member = StoredWeight(name: "\(stored.name).\(key)", format: "", shape: shape, tensors: [:])
        member.tensors[""] = stored.tensors[key]
        for (part, tensor) in stored.tensors where part.hasPrefix("\(key)_") {
            member.tensors[String(part.dropFirst(key.count + 1))] = tensor
        }
        for (option, value) in stored.options where option.hasPrefix("\(key)_") {
            member.options[String(option.dropFirst(key.count + 1))] = value
        }
        guard let format = member.options.removeValue(forKey: "format") else {
            throw stored.failure("options.\(key)_format", "is missing")
        }
        guard !composed.contains(format) else {
            throw stored.failure(
                "options.\(key)_format", "is \"\(format)\", expected a format that is not made of others")
        }
        member.format = format
        let weight = try WeightFormats.decode(member)
        guard weight.rows == shape[0], weight.columns == shape[1] else {
            throw stored.failure(key, "expected \(shape), found [\(weight.rows), \(weight.columns)]")
        }
        return weight
    }
}
