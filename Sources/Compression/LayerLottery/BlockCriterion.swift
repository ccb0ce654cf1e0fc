import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

/// What makes a residual block of a network worth keeping.
///
/// Jordao et al., "When layers play the lottery, all tickets win at initialization" (2023), remove the blocks with the
/// lowest scores: at initialization by ``snip`` or ``grasp``, or after training by any of them.
public enum BlockCriterion: String, Sendable, Hashable, CaseIterable {
    /// Σ |w g| over a block's weights (see ``GradientWeightCriterion``).
    case snip
    /// Σ w (H g) over a block's weights (see ``GradientFlowCriterion``): large where the flow of gradients needs the
    /// block.
    case grasp
    /// Seeded: the control.
    case random
    /// Σ |w|. Weights of different stages differ in size, so it takes blocks of one stage; shown to be unsuitable.
    case l1
    /// 1 − the linear CKA of the outputs with and without the block.
    case cka
    /// The mean Kullback-Leibler divergence, in nats, of the classes' probabilities without the block from those with
    /// it.
    case kl

    public var needsData: Bool { self != .random && self != .l1 }

    /// How the scores of a block's weights become the block's.
    public enum Aggregate: String, Sendable, Hashable, CaseIterable {
        case sum, mean
    }
}

/// Scores of residual blocks: the lowest are removed first.
public struct BlockScores: Sendable, Hashable {
    /// All blocks that may be removed, in the network's order.
    public let blocks: [ResidualBlockPlace]
    /// Of each block.
    public let scores: [Double]

    /// - Precondition: a score of each block.
    public init(blocks: [ResidualBlockPlace], scores: [Double]) {
        precondition(blocks.count == scores.count, "\(scores.count) scores of \(blocks.count) blocks")
        self.blocks = blocks
        self.scores = scores
    }

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
        case .random:
            var generator = RandomGenerator(seed: seed)
            scores = blocks.map { _ in Double(generator.next() >> 11) * 0x1p-53 }
        case .snip, .grasp, .l1:
            scores = try Self.sums(over: blocks, of: network, criterion, aggregate, batches)
        case .cka, .kl:
            scores = try blocks.map { block in
                try Self.change(without: block, of: network, architecture, criterion, batches)
            }
        }
        for (block, score) in zip(blocks, scores) where !score.isFinite {
            throw CoppiceError(
                .badData, field: block.name,
                "its score is \(score), expected a number: the weights or the data are not "
                    + "suited to \(criterion.rawValue)")
        }
        self.init(blocks: blocks, scores: scores)
    }

    private static func sums(
        over blocks: [ResidualBlockPlace], of network: any VisionNetwork, _ criterion: BlockCriterion,
        _ aggregate: BlockCriterion.Aggregate, _ batches: [LabeledBatch]
    ) throws -> [Double] {
        let prunable = try PrunableNetwork(network)
        let own: any NetworkCriterion =
            switch criterion {
            case .grasp: GradientFlowCriterion()
            case .l1: .magnitude
            default: GradientWeightCriterion()
            }
        let scores = try network.withTraining(true) { try prunable.scores(by: own, batches: batches) }
        return blocks.map { block in
            var (sum, count) = (0.0, 0)
            for (weight, score) in zip(prunable.weights, scores) where weight.name.hasPrefix(block.name + ".") {
                sum += score.converted(to: .f64).sum().doubles()[0]
                count += weight.count
            }
            return aggregate == .sum ? sum : sum / Double(max(1, count))
        }
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

    /// log softmax, in f64.
    private static func logarithms(_ scores: Tensor) -> Tensor {
        let scores = scores.converted(to: .f64)
        return scores - scores.logSumExp(axis: -1).reshaped([-1, 1])
    }

    /// The names of the blocks with the lowest scores, in the network's order; the earlier among equals.
    ///
    /// - Throws: `.usage` for less than one block or more than may be removed, naming these.
    public func lowest(_ count: Int) throws -> [String] {
        guard (1...max(1, blocks.count)).contains(count), !blocks.isEmpty else {
            throw CoppiceError(
                .usage, field: "count",
                "\(count), expected 1 to the \(blocks.count) blocks that may be removed: "
                    + blocks.map(\.name).joined(separator: ", "))
        }
        let ranked = blocks.indices.sorted { (scores[$0], $0) < (scores[$1], $1) }
        return ranked.prefix(count).sorted().map { blocks[$0].name }
    }
}
