import CoppiceTensors

/// N:M: of each M consecutive inputs of a row the N with the largest scores are kept.
///
/// Mishra et al., "Accelerating Sparse Deep Neural Networks" (2021). N is the number kept, so 2:4 removes two of
/// four and 1:4 removes three.
public struct SemiStructuredGranularity: Granularity {
    public var pattern: SemiStructuredPattern

    public init(_ pattern: SemiStructuredPattern) { self.pattern = pattern }

    public func check(_ weight: PrunableWeight) throws { try pattern.check(name: weight.name, columns: weight.columns) }

    /// Removes M − N of each group, whatever `count` says: the pattern fixes it. O(N·M).
    public func mask(_ scores: Tensor, removing count: Int) -> WeightMask {
        ExactSelection.mask(scores, removing: pattern.groupLength - pattern.kept, ofEach: pattern.groupLength)
    }
}
