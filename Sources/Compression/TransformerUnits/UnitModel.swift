import CoppiceTensors

/// A model that whole heads and neurons are removed from, stage after stage.
protocol UnitModel {
    /// A matrix's values, f32 `[rows, columns]`.
    func values(of name: String) throws -> Tensor

    /// The shape of a tensor; nil when there is none of this name.
    func shape(of name: String) -> [Int]?

    /// The model as blocks that run one after the other.
    func blocks() throws -> any BlockwiseModel

    /// The squared change of the loss as the output of each unit goes to zero, by block, then by unit.
    ///
    /// - Parameters:
    ///   - zeros: what earlier stages removed of matrices.
    ///   - progress: told the windows done.
    /// - Throws: `.badData` naming the block whose scores are not numbers.
    func taylorScores(
        _ units: TransformerUnits, zeros: (_ name: String) -> WeightMask?, on windows: CalibrationWindows,
        progress: (_ done: Int) -> Void
    ) throws -> [[Double]]

    /// Leaves some units of each block.
    ///
    /// - Parameter kept: by block, as many of each, in their order.
    mutating func cut(_ units: TransformerUnits, keeping kept: [[Int]])
}

extension NarrowedCheckpoint: UnitModel {
    func shape(of name: String) -> [Int]? { checkpoint.shape(of: name) }

    func blocks() throws -> any BlockwiseModel { try DecoderBlocks(self) }

    /// All of the model is in memory as f32, with the gradients of what reads units.
    func taylorScores(
        _ units: TransformerUnits, zeros: (_ name: String) -> WeightMask?, on windows: CalibrationWindows,
        progress: (_ done: Int) -> Void
    ) throws -> [[Double]] {
        try units.taylorScores(of: network(under: zeros), on: windows.windows, progress: progress)
    }
}
