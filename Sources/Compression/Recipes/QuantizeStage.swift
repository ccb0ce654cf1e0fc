/// The options of a `quantize` stage: round-to-nearest integers with one scale per group of inputs or per output.
public struct QuantizeStage: Sendable, Hashable {
    /// Bits of a code: 4 or 8.
    public var bits: Int
    /// Whether codes are symmetric around zero (no zero point).
    public var isSymmetric: Bool
    /// Consecutive inputs of a row that share a scale; nil: all of the row (per channel).
    public var groupSize: Int?
    public var selection: WeightSelection

    public init(
        bits: Int, isSymmetric: Bool = true, groupSize: Int?, selection: WeightSelection = WeightSelection()
    ) {
        self.bits = bits
        self.isSymmetric = isSymmetric
        self.groupSize = groupSize
        self.selection = selection
    }

    /// The group size when a recipe names none: a scale per row is enough for 8 bits and not for 4. Where a stage before
    /// prunes in groups, that of its groups, so that both fit one format.
    static func defaultGroupSize(bits: Int, prunedGroup: Int?) -> Int? { prunedGroup ?? (bits == 8 ? nil : 32) }

    /// Group sizes that a recipe may name.
    static let groupSizes = [16, 32, 64, 128, 256]
}
