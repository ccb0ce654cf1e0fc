/// A batch of activations in memory that somebody else owns: f32, row-major, `[rows, columns]`.
public struct ActivationRows {
    public let base: UnsafePointer<Float>
    public let rows: Int
    public let columns: Int
    /// Distance between the starts of neighbouring rows, in elements.
    public let stride: Int
    /// Whether products of more than 8 rows with bf16 weights may round them to bf16.
    public let mayNarrow: Bool

    /// - Precondition: no extent is negative, and `stride` is at least `columns`.
    public init(_ base: UnsafePointer<Float>, rows: Int, columns: Int, stride: Int, mayNarrow: Bool = false) {
        precondition(rows >= 0 && columns >= 0 && stride >= columns, "rows overlap or an extent is negative")
        self.base = base
        self.rows = rows
        self.columns = columns
        self.stride = stride
        self.mayNarrow = mayNarrow
    }
}

/// Where a product writes its result: f32, row-major, `[rows, columns]`, in memory that somebody else owns.
public struct OutputRows {
    public let base: UnsafeMutablePointer<Float>
    public let rows: Int
    public let columns: Int
    /// Distance between the starts of neighbouring rows, in elements.
    public let stride: Int

    /// - Precondition: no extent is negative, and `stride` is at least `columns`.
    public init(_ base: UnsafeMutablePointer<Float>, rows: Int, columns: Int, stride: Int) {
        precondition(rows >= 0 && columns >= 0 && stride >= columns, "rows overlap or an extent is negative")
        self.base = base
        self.rows = rows
        self.columns = columns
        self.stride = stride
    }
}

/// Where a product is written, and what becomes of it while it is in the processor's caches.
public struct ProductOutput {
    /// What outputs do to a matrix of their shape.
    public enum Combination {
        case none
        /// Added to what is there: a residual connection.
        case adding(OutputRows)
        /// What is there becomes silu(what is there) · output: the gate of a feed-forward layer, whose outputs are up.
        case gating(OutputRows)
    }

    public var rows: OutputRows
    /// One number for each output, added before anything else; nil for none.
    public var bias: UnsafePointer<Float>?
    public var combination: Combination

    public init(_ rows: OutputRows, bias: UnsafePointer<Float>? = nil, _ combination: Combination = .none) {
        self.rows = rows
        self.bias = bias
        self.combination = combination
    }

    var target: OutputRows? {
        switch combination {
        case .none: nil
        case .adding(let target), .gating(let target): target
        }
    }
}
