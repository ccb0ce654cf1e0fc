import CoppiceTensors

/// How much of what is left goes between two levels of ``IterativePruning``, and where.
public protocol LevelPruning: Sendable {
    /// Removes a part of what a trained network has left.
    ///
    /// - Returns: the weights removed; 0 ends the search.
    /// - Throws: `.badData` for weights that are not finite.
    func removeNext(from network: PrunableNetwork) throws -> Int
}

/// The same part of what is left at each level: ⌈p · count⌉ weights.
public struct ConstantFraction: LevelPruning {
    /// p.
    public let fraction: Double
    public var criterion: any NetworkCriterion
    public var allocation: any Allocation

    /// - Parameter criterion: one that needs no data.
    /// - Throws: `.usage` for a fraction outside (0, 1).
    public init(
        _ fraction: Double = 0.2, criterion: any NetworkCriterion = .magnitude,
        allocation: any Allocation = GlobalAllocation()
    ) throws {
        guard fraction > 0, fraction < 1 else {
            throw CoppiceError(.usage, field: "prune-fraction", "\(fraction), expected a number between 0 and 1")
        }
        self.fraction = fraction
        self.criterion = criterion
        self.allocation = allocation
    }

    /// The weights kept of so many.
    public func keptCount(after count: Int) -> Int { count - WholeShare.up(fraction, of: count) }

    /// Levels until at most `kept` of `count` weights are left, or one. O(levels).
    public func levels(keeping kept: Int, of count: Int) -> Int {
        var (left, levels) = (count, 0)
        while left > max(kept, 1) { (left, levels) = (keptCount(after: left), levels + 1) }
        return levels
    }

    public func removeNext(from network: PrunableNetwork) throws -> Int {
        let before = network.removedCount
        let kept = keptCount(after: network.count - before)
        // The last weights stay: a network of none learns nothing.
        guard kept > 0 else { return 0 }
        try network.prune(
            by: criterion, allocation: allocation, to: Double(network.count - kept) / Double(network.count))
        return network.removedCount - before
    }
}
