import CoppiceTensors

/// The same part of what each layer has left, its smallest: ⌈p · count⌉ weights of each, but never a layer's last one.
public struct LayerFraction: LevelPruning {
    /// p.
    public let fraction: Double

    /// - Throws: `.usage` for a fraction outside (0, 1).
    public init(_ fraction: Double = 0.2) throws {
        self.fraction = try ConstantFraction(fraction).fraction
    }

    /// The weights that a layer of so many keeps.
    public func keptCount(after count: Int) -> Int {
        max(min(1, count), count - WholeShare.up(fraction, of: count))
    }

    public func removeNext(from network: PrunableNetwork) throws -> Int {
        let before = network.removedCount
        network.setMasks(
            try zip(network.weights.indices, network.masks).map { place, mask in
                var magnitudes = network.values(place).abs()
                try ExactSelection.checkFinite(magnitudes, name: network.weights[place].name)
                mask.fillRemoved(of: &magnitudes, with: -1)  // before all others
                return ExactSelection.mask(magnitudes, removing: mask.count - keptCount(after: mask.keptCount))
            })
        return network.removedCount - before
    }
}
