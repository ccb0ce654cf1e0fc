import CoppiceTensors

extension WeightMask {
    /// A mask that keeps as many weights, at random places: the control of what a mask knows.
    ///
    /// A function of the generator alone. O(N).
    public func shuffled(using generator: inout RandomGenerator) -> WeightMask {
        ExactSelection.mask(.uniform([rows, columns], using: &generator), removing: removedCount)
    }
}
