/// A weight that pruning may remove entries of: its name and shape, without its values.
///
/// It is looked at as a matrix: a convolution's kernels of one output are a row.
public struct PrunableWeight: Sendable, Hashable {
    /// The checkpoint's name, such as `model.layers.0.mlp.up_proj.weight`.
    public var name: String
    /// Outputs.
    public var rows: Int
    /// Inputs; of a convolution, input channels of a group times kernel elements.
    public var columns: Int
    /// Extents of a convolution's kernel, such as `[3, 3]`; empty for other weights.
    public var kernel: [Int]

    public init(name: String, rows: Int, columns: Int, kernel: [Int] = []) {
        let elements = kernel.reduce(1, *)
        precondition(elements > 0 && columns % elements == 0, "kernels \(kernel) do not fill \(columns) columns")
        self.name = name
        self.rows = rows
        self.columns = columns
        self.kernel = kernel
    }

    /// A parameter of two or more dimensions, outputs first: `[rows, inputs, kernel...]`.
    public init(name: String, shape: [Int]) {
        precondition(shape.count >= 2, "\(name) of shape \(shape) is not a matrix")
        self.init(name: name, rows: shape[0], columns: shape[1...].reduce(1, *), kernel: Array(shape[2...]))
    }

    /// Elements of a kernel: 1 but for convolutions.
    public var kernelElements: Int { kernel.reduce(1, *) }
    /// Inputs, or input channels of a group of a convolution.
    public var inputs: Int { columns / kernelElements }
    /// Entries.
    public var count: Int { rows * columns }
}
