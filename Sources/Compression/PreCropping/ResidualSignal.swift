import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Foundation

/// The signal that is expected through a residual network of non-negative random weights whose layers are thinned at
/// random, by their densities p: E[R] = Π_l p_l · Π_b (s_b + c_b Π_{l ∈ b} p_l), the first product over layers outside of
/// blocks, the second over blocks.
///
/// R = 1ᵀ (Π |W ⊙ M|) 1 is the proxy of PreCropping; layers are independent, so its expectation is the product of
/// expectations along each way through the network, summed over the ways. A layer multiplies the mean signal by
/// p · fan-in · E|w|; c is the product of fan-in · E|w| over a block's layers, as the architecture is initialized. s is 1
/// where the block's input is added as it is, else what its projection makes of it.
public struct ResidualSignal: Sendable {
    /// The ways through a block: each multiplies the signal by exp(`gain`) and the densities of its layers.
    struct Block: Sendable {
        var ways: [(gain: Double, layers: [Int])]
    }

    /// Layers outside of blocks.
    private let chain: [Int]
    private let blocks: [Block]
    private let count: Int

    /// - Parameter layers: how many there are.
    init(chain: [Int], blocks: [Block], layers: Int) {
        self.chain = chain
        self.blocks = blocks
        count = layers
    }

    /// The signal of an architecture; layers are its weights in the structure's order.
    ///
    /// - Throws: `.badData` for a network without residual blocks, and for blocks that are no chains of layers.
    public init(_ structure: ChannelStructure) throws {
        let places = try BlockRemoval.blocks(of: structure.architecture)
        guard !(structure.architecture.configuration is VisionTransformer.Configuration) else {
            throw CoppiceError(
                .badData, field: "architecture",
                "\(structure.architecture.name) has attention in its blocks, expected a residual network of convolutions"
            )
        }
        let layers = structure.entries.filter(\.isWeight)
        let network = structure.architecture.makeNetwork(seed: 0)
        let parameters = Dictionary(uniqueKeysWithValues: network.parameters.map { ($0.name, $0.parameter) })
        /// log (fan-in · E|w|).
        func gain(_ layer: Int) -> Double {
            let entry = layers[layer]
            guard let weight = parameters[entry.name]?.wrappedValue.detached() else { return 0 }
            let inputs = entry.count(structure.widths) / max(1, entry.axes[0](structure.widths))
            return log(Double(inputs) * weight.abs().mean().doubles()[0])
        }
        var owned: Set<Int> = []
        let blocks = places.map { place -> Block in
            let own = layers.indices.filter { layers[$0].name.hasPrefix(place.name + ".") }
            owned.formUnion(own)
            let shortcut = own.filter { Self.isShortcut(layers[$0].name) }
            let inner = own.filter { !shortcut.contains($0) }
            // An input whose channels are padded goes through as it is.
            return Block(
                ways: [shortcut, inner].map { way in (way.reduce(0) { $0 + gain($1) }, way) })
        }
        self.init(chain: layers.indices.filter { !owned.contains($0) }, blocks: blocks, layers: layers.count)
    }

    private static func isShortcut(_ name: String) -> Bool {
        name.contains(".downsample.") || name.contains(".convShortcut.")
    }

    /// log E[R] of layers of some densities, 0 for those of all weights.
    ///
    /// - Parameter densities: log p of each layer.
    public func logSignal(_ densities: [Double]) -> Double {
        precondition(densities.count == count, "\(densities.count) densities of \(count) layers")
        return chain.reduce(0) { $0 + densities[$1] }
            + blocks.reduce(0) { $0 + Self.logSum($1, densities) - Self.logSum($1, densities.map { _ in 0 }) }
    }

    /// ∂ log E[R] / ∂ log p of each layer: 1 outside of blocks, the part of the signal that takes its way inside.
    public func slopes(_ densities: [Double]) -> [Double] {
        var slopes = [Double](repeating: 0, count: count)
        for layer in chain { slopes[layer] = 1 }
        for block in blocks {
            let whole = Self.logSum(block, densities)
            for way in block.ways {
                let part = exp(way.layers.reduce(way.gain) { $0 + densities[$1] } - whole)
                for layer in way.layers { slopes[layer] += part }
            }
        }
        return slopes
    }

    /// The logarithm of the sum over a block's ways.
    private static func logSum(_ block: Block, _ densities: [Double]) -> Double {
        let terms = block.ways.map { way in way.layers.reduce(way.gain) { $0 + densities[$1] } }
        let largest = terms.max() ?? 0
        return largest + log(terms.reduce(0) { $0 + exp($1 - largest) })
    }
}
