import CoppiceFormats

/// What a recipe's stages decided about one matrix.
public struct WeightDecision: Sendable, Hashable {
    /// What is kept. Nil: everything.
    public var mask: WeightMask?
    /// The N:M pattern that the mask follows, if a stage chose one.
    public var pattern: SemiStructuredPattern?
    /// The length of the groups, or runs of a row, in which the mask removes entries, if a stage chose one.
    public var groupLength: Int?
    /// The rank of the product that the matrix becomes. Nil: it stays one matrix.
    public var lowRank: LowRankWeight.Target?
    /// How the kept values are quantized. Nil: not at all.
    public var quantization: QuantizeStage?

    /// Nothing is done.
    public static let unchanged = WeightDecision()

    public init(
        mask: WeightMask? = nil, pattern: SemiStructuredPattern? = nil, groupLength: Int? = nil,
        lowRank: LowRankWeight.Target? = nil, quantization: QuantizeStage? = nil
    ) {
        self.lowRank = lowRank
        self.mask = mask
        self.pattern = pattern
        self.groupLength = groupLength
        self.quantization = quantization
    }
}
