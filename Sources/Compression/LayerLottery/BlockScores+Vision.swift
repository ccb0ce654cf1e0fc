import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

extension BlockScores where Place == ResidualBlockPlace {
    /// Scores the removable blocks of a network, which is as it was afterwards.
    ///
    /// One forward and backward pass (and a product with the Hessian for ``BlockCriterion/grasp``) scores all blocks
    /// together; ``BlockCriterion/cka`` and ``BlockCriterion/kl`` take a forward pass for each.
    ///
    /// - Parameters:
    ///   - batches: labelled examples, where the criterion needs them; ten of each class keep the order stable.
    ///   - seed: of ``BlockCriterion/random``.
    /// - Throws: `.badData` for a network without residual blocks or with scores that are not finite; `.usage` where
    /// data
    ///   are needed and there are none.
    public init(
        of network: any VisionNetwork, by criterion: BlockCriterion, removable: RemovableBlocks = .strict,
        aggregate: BlockCriterion.Aggregate = .sum, batches: [LabeledBatch] = [], seed: UInt64 = 0
    ) throws {
        let architecture = try VisionArchitecture(network.configuration)
        let blocks = try BlockRemoval.blocks(of: architecture).filter(removable.contains)
        if criterion.needsData, batches.isEmpty {
            throw CoppiceError(
                .usage, field: criterion.rawValue, "needs calibration data with labels, and there is none")
        }
        let scores: [Double]
        switch criterion {
        case .random: scores = Self.random(blocks, seed: seed)
        case .snip, .grasp, .l1:
            scores = try Self.sums(over: blocks, of: PrunableNetwork(network), criterion, aggregate, batches)
        case .cka, .kl:
            scores = try blocks.map { block in
                try Self.change(without: block, of: network, architecture, criterion, batches)
            }
        }
        try self.init(blocks: blocks, scores: Self.checked(scores, of: blocks, by: criterion))
    }

    /// How much the outputs change without a block.
    private static func change(
        without block: ResidualBlockPlace, of network: any VisionNetwork, _ architecture: VisionArchitecture,
        _ criterion: BlockCriterion, _ batches: [LabeledBatch]
    ) throws -> Double {
        let removal = try BlockRemoval(of: [block.name], from: architecture)
        let shallow = removal(network)
        func outputs(_ network: any VisionNetwork) -> Tensor {
            network.inUse { .concatenated(batches.map { network.outputs($0.inputs) }, axis: 0) }
        }
        let (whole, part) = (outputs(network), outputs(shallow))
        if criterion == .cka { return 1 - LinearCKA.similarity(whole, part) }
        let (p, q) = (logarithms(whole), logarithms(part))
        return (p.exp() * (p - q)).sum(axes: [-1]).mean().doubles()[0]
    }
}
