import CoppiceNetworks
import CoppiceTensors

/// One block of a residual network, by its stage and its place in it, both from zero.
public struct BlockPlace: Sendable, Hashable, Comparable, CustomStringConvertible {
    public var stage: Int
    public var index: Int

    public init(stage: Int, index: Int) {
        self.stage = stage
        self.index = index
    }

    /// The name of the block's module: `layer2.1`.
    public var description: String { "layer\(stage + 1).\(index)" }

    public static func < (a: BlockPlace, b: BlockPlace) -> Bool { (a.stage, a.index) < (b.stage, b.index) }
}

extension ResNet {
    /// Blocks that add to their input as it is, and so can be left out: all but the first of each stage that changes
    /// the shape.
    public var removableBlocks: [BlockPlace] {
        configuration.blocks.indices.flatMap { stage in
            let isPlain = stage == 0 && configuration.block == .basic
            return (0..<configuration.blocks[stage]).map { BlockPlace(stage: stage, index: $0) }
                .filter { isPlain || $0.index > 0 }
        }
    }

    /// The network without some blocks: their input goes on as it is. Those that are left are counted anew.
    ///
    /// - Returns: a network in the same mode (training or use).
    /// - Throws: `.usage` naming a block that changes the shape or is not there.
    public func removingBlocks(_ blocks: Set<BlockPlace>) throws -> any VisionNetwork {
        let removable = Set(removableBlocks)
        if let other = blocks.subtracting(removable).min() {
            throw CoppiceError(
                .usage, field: other.description, "cannot be left out: it changes the shape, or there is no such block")
        }
        let gone = blocks.map { "\($0)." }
        let tensors = tensorsByName.filter { own in !gone.contains { own.name.hasPrefix($0) } }
        var own = configuration
        for block in blocks { own.blocks[block.stage] -= 1 }
        own.options.widths = [:]
        let names = Configuration.canonicalNames(tensors.map(\.name))
        return try VisionArchitecture(own).network(
            of: zip(names, tensors).map { ($0, $1.tensor) }, isTraining: trainingMode)
    }
}
