import CoppiceFormats
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

extension MaskFile.Entry {
    /// The format that holds a matrix under the mask exactly.
    ///
    /// - Parameters:
    ///   - weights: the model that the mask belongs to.
    ///   - type: the type that its values are stored in, where that is one.
    /// - Throws: `.badData` where the matrix is not finite.
    /// - Complexity: O(weights of the matrix).
    func format(of weights: StoredWeights, type: DataType, planner: FormatPlanner) throws -> any WeightFormat {
        var values = try weights.finiteValues(of: name)
        mask.apply(to: &values)
        let isExact = values.converted(to: type).converted(to: .f32).floats() == values.floats()
        return try planner.format(values, for: WeightDecision(mask: mask), dataType: isExact ? type : .f32)
    }
}

extension MaskFile {
    /// Removes from a network in memory what the masks remove, and gives its norms the running statistics that they have under
    /// the masks.
    ///
    /// - Parameters:
    ///   - network: read from `checkpoint`, with its matrices expanded.
    ///   - source: what errors call the file.
    /// - Throws: `.badData` where the masks belong to other weights than the checkpoint's; the network is as it was then.
    /// - Complexity: O(weights): the digest is of all matrices.
    public func apply(
        to network: any SupervisedNetwork, of checkpoint: AnyCheckpoint, source: String? = nil
    ) throws {
        let weights = try StoredWeights(checkpoint)
        try check(against: weights, source: source)
        let masked = try PrunableNetwork(network, named: Set(entries.map(\.name)))
        guard masked.weights.count == entries.count else {
            let known = Set(masked.weights.map(\.name))
            throw CoppiceError(
                .badData, source: source, field: entries.first { !known.contains($0.name) }?.name,
                "is no weight of the network that \(weights.path) makes")
        }
        try restoreStatistics(network, source: source)
        masked.setMasks(try masked.masks(of: self, source: source ?? "the masks"))
    }
}
