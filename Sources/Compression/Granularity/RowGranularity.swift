import CoppiceTensors

/// Any entry may go, but entries are compared only within their row: each output loses the same number of inputs.
///
/// The comparison group of Wanda (Sun et al. 2023, section 3).
public struct RowGranularity: Granularity {
    public init() {}

    /// Removes exactly `count` entries, ⌊count / rows⌋ of each row; what does not divide is taken from the first
    /// rows, one each. O(N).
    public func mask(_ scores: Tensor, removing count: Int) -> WeightMask {
        let rows = scores.shape[0]
        guard scores.count > 0 else { return WeightMask(keepingAllOf: rows, scores.shape[1]) }
        return ExactSelection.mask(scores, removing: count / rows, ofEach: scores.shape[1], extra: count % rows)
    }
}
