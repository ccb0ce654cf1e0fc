import CoppiceTensors

/// What is compared with what inside one matrix, and in which shape entries are removed.
public protocol Granularity: Sendable {
    /// Throws when a matrix cannot be pruned like this, naming it and saying what would do.
    func check(_ weight: PrunableWeight) throws

    /// Throws when scores cannot be compared like this.
    ///
    /// - Parameters:
    ///   - scores: a matrix's, f32 of shape `[rows, columns]`, finite.
    ///   - name: the matrix's.
    /// - Throws: `.usage`.
    func check(_ scores: Tensor, name: String) throws

    /// The mask that removes `count` entries with small scores.
    ///
    /// - Parameter scores: f32 of shape `[rows, columns]`, finite; −∞ where an earlier stage removed an entry.
    func mask(_ scores: Tensor, removing count: Int) -> WeightMask

    /// The scores by which entries of several matrices are compared: those of what goes together are equal.
    func comparable(_ scores: Tensor) -> Tensor
}

extension Granularity {
    public func check(_ weight: PrunableWeight) {}

    public func check(_ scores: Tensor, name: String) {}

    /// Entries go one by one.
    public func comparable(_ scores: Tensor) -> Tensor { scores }
}
