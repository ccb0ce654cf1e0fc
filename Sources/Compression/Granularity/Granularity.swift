import CoppiceTensors

/// What is compared with what inside one matrix, and in which shape entries are removed.
public protocol Granularity: Sendable {
    /// Throws when a matrix cannot be pruned like this, naming it and saying what would do.
    func check(_ weight: PrunableWeight) throws

    /// The mask that removes `count` entries with small scores.
    ///
    /// - Parameter scores: f32 of shape `[rows, columns]`, finite.
    func mask(_ scores: Tensor, removing count: Int) -> WeightMask

    /// The scores by which entries of several matrices are compared: those of what goes together are equal.
    func comparable(_ scores: Tensor) -> Tensor
}

extension Granularity {
    public func check(_ weight: PrunableWeight) {}

    /// Entries go one by one.
    public func comparable(_ scores: Tensor) -> Tensor { scores }
}
