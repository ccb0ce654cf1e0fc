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
