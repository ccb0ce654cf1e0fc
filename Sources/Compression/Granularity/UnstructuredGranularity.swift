import CoppiceTensors

/// Any entry may go; all entries of the matrix are compared with each other.
public struct UnstructuredGranularity: Granularity {
    public init() {}

    /// Removes exactly the `count` smallest scores, the earliest first among equals. O(N).
    public func mask(_ scores: Tensor, removing count: Int) -> WeightMask {
        ExactSelection.mask(scores, removing: count)
    }
}
