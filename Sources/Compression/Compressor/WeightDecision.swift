import CoppiceFormats
import CoppiceTensors

/// What a recipe's stages decided about one matrix.
public struct WeightDecision: Sendable, Hashable {
    /// What is kept. Nil: everything.
    public var mask: WeightMask?
    /// The N:M pattern that the mask follows, if a stage chose one.
    public var pattern: SemiStructuredPattern?
    /// The length of the groups, or runs of a row, in which the mask removes entries, if a stage chose one.
    public var groupLength: Int?
    /// Whether zeros are left out wherever that is smaller, as in the weight that there was.
    public var isStoredSparsely = false
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

extension WeightDecision {
    /// Goes on in the structure that a weight was stored in: what was sparse stays so.
    ///
    /// - Parameters:
    ///   - format: the weight as it was.
    ///   - values: what it is now, f32 `[rows, columns]`, removed entries zero.
    mutating func adoptStructure(of format: any WeightFormat, values: Tensor) {
        guard format is BitmaskSparseWeight || format is SemiStructuredWeight || format is GroupSparseWeight else {
            return
        }
        let kept = mask ?? WeightMask(keepingNonZerosOf: values)
        mask = kept
        isStoredSparsely = true
        guard pattern == nil, groupLength == nil else { return }
        if let own = format as? SemiStructuredWeight {
            let own = SemiStructuredPattern(kept: own.kept, of: own.groupLength)
            if kept.satisfies(own) { pattern = own }
        }
        if let own = format as? GroupSparseWeight { groupLength = own.quantization.groupSize }
    }
}
