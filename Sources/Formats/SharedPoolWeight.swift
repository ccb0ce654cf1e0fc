import CKernels
import CoppiceTensors

/// A weight whose entries are read from a small pool of shared parameters: w_i = λ · sign(i) · ψ[place(i)].
///
/// Places and signs are hashes of a seed, so a matrix of any size costs the pool alone. Elements are cut into pieces of
/// the pool's length, each laid over the pool with one random rotation by whole cache lines: no two weights of a piece
/// share an entry, entries are shared equally often, and reading is contiguous. With a pool as large as the matrix each
/// weight has an entry of its own.
///
/// ```swift
/// let weight = try SharedPoolWeight(fitting: matrix, poolSize: matrix.count / 10, seed: 7)
/// ```
///
/// Desai and Shrivastava, "In defense of parameter sharing for model-compression" (2023): STABLE-RPS's mapping.
public struct SharedPoolWeight: WeightFormat, RowKernelWeight {
    public static let name = "shared-pool"

    /// Pools are multiples of this many entries: a cache line.
    public static let line = Int(COPPICE_POOL_LINE)

    public let rows: Int
    public let columns: Int
    /// Where places and signs come from.
    public let seed: UInt64
    /// λ.
    public let scale: Float
    /// ψ: f32 `[entries]`.
    public let pool: Tensor

    /// A weight over a pool that exists.
    ///
    /// - Precondition: `pool` is f32, a vector of a positive multiple of ``line`` entries.
    public init(rows: Int, columns: Int, pool: Tensor, scale: Float, seed: UInt64) {
        precondition(
            pool.dataType == .f32 && pool.rank == 1 && pool.count > 0 && pool.count % Self.line == 0,
            "a pool is f32 of a multiple of \(Self.line) entries, this one \(pool.dataType) \(pool.shape)")
        (self.rows, self.columns, self.seed, self.scale) = (rows, columns, seed, scale)
        self.pool = pool.contiguous().aligned(to: 4)
    }

    /// A fresh weight to train: ψ uniform in -s ..< s with s = 0.05, and λ such that entries have the wanted deviation.
    public init(
        initializing rows: Int, _ columns: Int, poolSize: Int, standardDeviation: Float, seed: UInt64
    ) {
        let bound = 0.05
        var generator = RandomGenerator(seed: seed)
        let pool = Tensor.uniform([Self.rounded(poolSize)], using: &generator) * (2 * bound) - bound
        self.init(
            rows: rows, columns: columns, pool: pool, scale: standardDeviation * Float(3.0.squareRoot() / bound),
            seed: seed)
    }

    /// The pool that comes closest to a matrix in the Frobenius norm: each entry is the mean of the weights that share
    /// it, with their signs. Exact where the pool has as many entries as the matrix.
    ///
    /// - Parameter poolSize: rounded up to whole lines.
    /// - Throws: `badData` for NaN or infinity, naming the element.
    /// - Complexity: O(rows · columns).
    public init(fitting matrix: Tensor, poolSize: Int, seed: UInt64) throws {
        precondition(matrix.rank == 2 && poolSize > 0, "a pool of \(poolSize) for a weight of shape \(matrix.shape)")
        let x = matrix.converted(to: .f32).contiguous()
        try IntegerQuantization.requireFinite(x)
        let size = Self.rounded(poolSize)
        var (sums, counts) = ([Double](repeating: 0, count: size), [Int64](repeating: 0, count: size))
        let empty = SharedPoolWeight(
            rows: x.shape[0], columns: x.shape[1], pool: .zeros([size]), scale: 1, seed: seed)
        x.withElements(Float.self) { values in
            guard let base = values.baseAddress, !values.isEmpty else { return }
            empty.withKernel { coppice_pool_add($0, base, &sums, &counts) }
        }
        let pool = zip(sums, counts).map { $1 == 0 ? 0 : Float($0 / Double($1)) }
        self.init(rows: x.shape[0], columns: x.shape[1], pool: Tensor(pool), scale: 1, seed: seed)
    }

    static func rounded(_ size: Int) -> Int { max(1, (size + line - 1) / line) * line }

    public init(stored: StoredWeight) throws {
        let (rows, columns) = try stored.matrixShape()
        guard let text = stored.options["seed"] else { throw stored.failure("options.seed", "is missing") }
        guard let seed = UInt64(text) else {
            throw stored.failure(
                "options.seed", "expected a whole number from 0 to 2^64 - 1, found \"\(text.prefix(40))\"")
        }
        let scale = try stored.part("scale", .f32, [1]).floats()[0]
        guard scale.isFinite else { throw stored.failure("scale", "is \(scale), expected a finite number") }
        let pool = try stored.vectorPart("pool", .f32)
        guard pool.count > 0, pool.count % Self.line == 0, pool.count <= Self.rounded(rows * columns) else {
            throw stored.failure(
                "pool",
                "has \(pool.count) entries, expected a multiple of \(Self.line), at most \(Self.rounded(rows * columns))"
            )
        }
        self.init(rows: rows, columns: columns, pool: pool, scale: scale, seed: seed)
    }

    public var byteCount: Int { pool.byteCount + 4 }
    public var label: String { "\(Self.name)\(pool.count)" }

    private func withKernel<Result>(_ body: (UnsafePointer<coppice_pool_weight>) -> Result) -> Result {
        withExtendedLifetime(pool.storage) {
            let kernel = coppice_pool_weight(
                pool: UnsafePointer(pool.basePointer.assumingMemoryBound(to: Float.self)), size: pool.count, rows: rows,
                columns: columns, scale: scale, seed: seed)
            return withUnsafePointer(to: kernel, body)
        }
    }

    func withRowKernel<Result>(for x: ActivationRows, _ body: (coppice_row_kernel) -> Result) -> Result {
        withKernel { body(coppice_pool_kernel($0, x.rows)) }
    }

    public func copyRow(_ row: Int, into destination: UnsafeMutablePointer<Float>) {
        precondition(row >= 0 && row < rows, "row \(row) of \(rows)")
        withKernel { coppice_pool_columns($0, row, 0, columns, destination) }
    }

    public func stored() -> StoredWeight {
        StoredWeight(
            format: Self.name, shape: [rows, columns], tensors: ["pool": pool, "scale": Tensor([scale])],
            options: ["seed": "\(seed)"])
    }
}
