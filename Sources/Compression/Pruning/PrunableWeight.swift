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
    /// Elements of a kernel: 1 but for convolutions.
    public var kernelElements: Int

    public init(name: String, rows: Int, columns: Int, kernelElements: Int = 1) {
        precondition(kernelElements > 0 && columns % kernelElements == 0, "kernels do not fill \(columns) columns")
        self.name = name
        self.rows = rows
        self.columns = columns
        self.kernelElements = kernelElements
    }

    /// A parameter of two or more dimensions, outputs first: `[rows, ...]`.
    public init(name: String, shape: [Int]) {
        precondition(shape.count >= 2, "\(name) of shape \(shape) is not a matrix")
        self.init(
            name: name, rows: shape[0], columns: shape[1...].reduce(1, *),
            kernelElements: max(1, shape[2...].reduce(1, *)))
    }

    /// Entries.
    public var count: Int { rows * columns }
}
