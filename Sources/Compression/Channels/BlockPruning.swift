import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Removes whole residual blocks: the network that is left is less deep, its layers as wide as before.
///
/// ```swift
/// let shallow = try BlockPruning(by: .lossChange, removing: 3).prune(network, on: [batch])
/// ```
public struct BlockPruning: Sendable {
    /// Which block goes next.
    public enum Criterion: Sendable, Hashable {
        /// The one without which the loss on the batches is least, the network in use; measured anew after each block
        /// (greedy backward elimination).
        case lossChange
        /// The one whose convolutions have the smallest mean squared weight.
        case norm
        /// Any: the control.
        case random(seed: UInt64)
    }

    public var criterion: Criterion
    /// How many blocks go.
    public var count: Int

    public init(by criterion: Criterion = .lossChange, removing count: Int) {
        self.criterion = criterion
        self.count = count
    }

    /// Makes a network with fewer blocks; the one that is given stays as it is.
    ///
    /// - Throws: as ``choose(from:on:)``.
    public func prune(_ network: ResNet, on batches: [LabeledBatch] = []) throws -> any VisionNetwork {
        try network.removingBlocks(Set(choose(from: network, on: batches)))
    }

    /// The blocks that go, in the order in which they do.
    ///
    /// - Throws: `.usage` for more blocks than can be left out, and for a criterion that needs data and has none.
    /// - Complexity: by loss, count × blocks passes over the batches.
    public func choose(from network: ResNet, on batches: [LabeledBatch] = []) throws -> [BlockPlace] {
        let removable = network.removableBlocks
        guard (0...removable.count).contains(count) else {
            throw CoppiceError(
                .usage, field: "blocks",
                "\(count) to remove, expected 0 to \(removable.count) of \(network.configuration.name)")
        }
        switch criterion {
        case .random(let seed):
            var generator = RandomGenerator(seed: seed)
            let draws = Tensor.uniform([max(1, removable.count)], low: 0, high: 1, using: &generator)
            return draws.argsort().integers().prefix(count).map { removable[$0] }
        case .norm:
            let sizes = Dictionary(uniqueKeysWithValues: removable.map { ($0, Self.meanSquare(of: $0, in: network)) })
            return Array(removable.sorted { (sizes[$0] ?? 0, $0) < (sizes[$1] ?? 0, $1) }.prefix(count))
        case .lossChange:
            guard !batches.isEmpty else {
                throw CoppiceError(.usage, field: "blocks", "are chosen by the loss on batches, and there are none")
            }
            var chosen: [BlockPlace] = []
            for _ in 0..<count {
                let losses = try removable.filter { !chosen.contains($0) }.map { block in
                    (try Self.loss(network.removingBlocks(Set(chosen + [block])), on: batches), block)
                }
                if let least = losses.min(by: { $0 < $1 }) { chosen.append(least.1) }
            }
            return chosen
        }
    }

    private static func meanSquare(of block: BlockPlace, in network: ResNet) -> Double {
        let weights = network.parameters.filter {
            $0.name.hasPrefix("\(block).") && $0.parameter.wrappedValue.rank >= 2
        }.map { $0.parameter.wrappedValue.detached() }
        let total = weights.reduce(0.0) { $0 + $1.square().sum().doubles()[0] }
        return total / Double(max(1, weights.reduce(0) { $0 + $1.count }))
    }

    private static func loss(_ network: any SupervisedNetwork, on batches: [LabeledBatch]) -> Double {
        Classification(of: network, on: batches).loss
    }
}
