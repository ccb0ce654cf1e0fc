/// A matrix that pruning may remove entries of: its name and shape, without its values.
public struct PrunableWeight: Sendable, Hashable {
    /// The checkpoint's name, such as `model.layers.0.mlp.up_proj.weight`.
    public var name: String
    /// Outputs.
    public var rows: Int
    /// Inputs.
    public var columns: Int

    public init(name: String, rows: Int, columns: Int) {
        self.name = name
        self.rows = rows
        self.columns = columns
    }

    /// Entries.
    public var count: Int { rows * columns }
}
