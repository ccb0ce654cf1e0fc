import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// One seed of the layer lottery: the whole network, with or without shortcuts, and what is left of it.
struct LayerLotteryTrial: Sendable {
    typealias Arm = LayerLotteryMeasurement.Arm

    let study: ImageStudy
    let seed: UInt64
    let rewindEpoch: Int
    /// Whether the whole network has no shortcuts.
    let isPlain: Bool

    /// A network with all blocks.
    struct Whole: Sendable {
        /// At the end, and at the epoch to rewind to.
        var trained: Snapshot
        var early: Snapshot
        var accuracy: Double
        var losses: LossCurve
    }

    /// The step that ``LayerLotteryMeasurement/Arm/rewound`` goes back to.
    private var rewindStep: Int {
        min(rewindEpoch * study.stepsPerEpoch, study.supervision().rates.totalSteps - 1)
    }

    /// Trains the whole network.
    func whole() throws -> Whole {
        let network: any SupervisedNetwork =
            isPlain ? try PlainNetwork(study.makeNetwork(seed: seed)) : study.makeNetwork(seed: seed)
        let training = study.supervision()
        var state = OptimizerState(training.optimizer, for: network)
        var losses = LossCurve("dense", steps: training.rates.totalSteps)
        func run(_ steps: Range<Int>) throws {
            try training.run(network, on: study.batches(seed: seed), steps: steps, state: &state) {
                losses.add($1, at: $0)
            }
        }
        try run(0..<rewindStep)
        let early = Snapshot(of: network)
        try run(rewindStep..<training.rates.totalSteps)
        return Whole(
            trained: Snapshot(of: network), early: early, accuracy: study.accuracy(of: network), losses: losses)
    }

    /// The blocks of the trained network with the smallest weights.
    func normVictims(_ whole: Whole, count: Int) throws -> [ResidualBlockPlace] {
        let scores = try BlockScores(of: network(whole.trained), by: .l1, removable: .shape)
        let names = try scores.lowest(count)
        return scores.blocks.filter { names.contains($0.name) }
    }

    /// The whole network with its first weights, or with later ones; those without shortcuts fit as well.
    private func network(_ weights: Snapshot? = nil) -> any VisionNetwork {
        let network = study.makeNetwork(seed: seed)
        weights?.restore(network)
        return network
    }

    /// Ten images of each class.
    private func batch() throws -> [LabeledBatch] {
        let count = min(study.training.count, 10 * study.training.classCount)
        return Array(try study.training.sample(count, seed: seed).batches(of: count))
    }

    private func removal(
        _ criterion: BlockCriterion, _ count: Int, from network: any VisionNetwork, seed: UInt64? = nil
    ) throws -> BlockRemoval {
        var lottery = LayerLottery(criterion: criterion, count: count)
        lottery.removable = .shape
        lottery.seed = seed ?? self.seed
        return try lottery.removal(from: network, batches: batch())
    }

    /// Trains and measures what an arm leaves.
    ///
    /// - Parameters:
    ///   - dense: with shortcuts, of the same seed.
    ///   - plain: without.
    /// - Returns: nil where the arm has no such network.
    func run(
        _ arm: Arm, _ count: Int, dense: Whole, plain: Whole
    ) throws -> LayerLotteryMeasurement.Run? {
        guard let left = try left(by: arm, count, dense: dense, plain: plain) else { return nil }
        var losses: LossCurve?
        if arm.isTrained {
            let training = study.supervision()
            var state = OptimizerState(training.optimizer, for: left.network)
            let first = arm == .rewound ? rewindStep : 0
            var curve = LossCurve(arm.rawValue, steps: training.rates.totalSteps)
            try training.run(
                left.network, on: study.batches(seed: seed), steps: first..<training.rates.totalSteps, state: &state
            ) { curve.add($1, at: $0) }
            losses = curve
        }
        let (cost, whole) = (try Self.cost(left.architecture), try Self.cost(study.architecture))
        var run = LayerLotteryMeasurement.Run(
            arm: arm, count: count, seed: seed, accuracy: study.accuracy(of: left.network),
            parameterPart: Double(cost.parameters) / Double(whole.parameters),
            multiplicationPart: Double(cost.multiplyAccumulates) / Double(whole.multiplyAccumulates),
            removed: left.removed)
        run.losses = losses
        return run
    }

    private static func cost(_ architecture: VisionArchitecture) throws -> NetworkCost {
        let structure = try ChannelStructure(architecture)
        return structure.cost(structure.widths)
    }

    // MARK: What is left

    private struct Left {
        var network: any SupervisedNetwork
        /// What costs as much.
        var architecture: VisionArchitecture
        /// Blocks.
        var removed: [String] = []

        init(_ network: any VisionNetwork) throws {
            self.network = network
            architecture = try VisionArchitecture(network.configuration)
        }

        init(_ removal: BlockRemoval, of network: any VisionNetwork) {
            self.init(removal, leaving: removal(network))
        }

        init(_ removal: BlockRemoval, leaving network: any SupervisedNetwork) {
            self.network = network
            architecture = removal.architecture
            removed = removal.removed.map(\.name)
        }
    }

    private func left(by arm: Arm, _ count: Int, dense: Whole, plain: Whole) throws -> Left? {
        switch arm {
        case .grasp, .snip, .random:
            let criterion: BlockCriterion = arm == .grasp ? .grasp : arm == .snip ? .snip : .random
            return Left(try removal(criterion, count, from: network()), of: network())
        case .filters:
            let ticket = try removal(.grasp, count, from: network())
            let part = Double(ticket.architecture.parameterCount) / Double(study.architecture.parameterCount)
            return try withoutFilters(to: .parameters(1 - part), by: GradientFlowCriterion())
        case .filtersByCount:
            return try withoutFilters(lackedBy: removal(.grasp, count, from: network()), by: GradientFlowCriterion())
        case .filtersBySNIP:
            return try withoutFilters(lackedBy: removal(.snip, count, from: network()), by: GradientWeightCriterion())
        case .shallower:
            return try shallower(count).map { try Left($0.makeNetwork(seed: seed)) }
        case .rewoundToStart, .rewound, .reinitialized:
            let removal = try removal(.grasp, count, from: network(dense.trained))
            let other = study.makeNetwork(seed: seed &+ 1_000)
            return Left(removal, of: arm == .reinitialized ? other : network(arm == .rewound ? dense.early : nil))
        case .rewoundByKL: return try rewound(by: .kl, count, dense)
        case .rewoundByCKA: return try rewound(by: .cka, count, dense)
        case .rewoundByL1: return try rewound(by: .l1, count, dense)
        case .rewoundAtRandom: return try rewound(by: .random, count, dense)
        case .afterTraining:
            return Left(try removal(.grasp, count, from: network()), of: network(dense.trained))
        case .plainAfterTraining:
            let removal = try removal(.grasp, count, from: network())
            return Left(removal, leaving: try PlainNetwork(removal(network(plain.trained))))
        }
    }

    /// What a criterion leaves of the trained network, with the first weights. Where blocks are drawn it is another
    /// draw than at initialization: the same would be the same network.
    private func rewound(by criterion: BlockCriterion, _ count: Int, _ dense: Whole) throws -> Left {
        Left(try removal(criterion, count, from: network(dense.trained), seed: seed &+ 1_000), of: network())
    }

    /// Outputs of all convolutions.
    private static func filterCount(_ network: any VisionNetwork) -> Int {
        network.parameters.reduce(0) { count, own in
            let shape = own.parameter.wrappedValue.shape
            return count + (shape.count == 4 ? shape[0] : 0)
        }
    }

    /// The network without as many filters inside blocks as a ticket lacks, or as there are but for one of each block.
    private func withoutFilters(lackedBy ticket: BlockRemoval, by criterion: any NetworkCriterion) throws -> Left {
        let network = network()
        let count = Self.filterCount(network) - Self.filterCount(ticket(network))
        let inside = network.parameters.filter { $0.name.hasPrefix("layer") && $0.name.hasSuffix(".conv1.weight") }
        let most = inside.reduce(0) { $0 + $1.parameter.wrappedValue.shape[0] - 1 }
        let example = try batch()[0].inputs.slice(axis: 0, 0..<2).contiguous()
        let all = KeptChannels(allOf: try ChannelGroups(of: network, example: example)).count
        return try withoutFilters(to: .channels(Double(min(count, most)) / Double(max(1, all))), by: criterion)
    }

    private func withoutFilters(
        to goal: StructuredPruning.Target, by criterion: any NetworkCriterion
    ) throws -> Left {
        let pruning = StructuredPruning(
            by: SummedWeights(criterion), granularity: .filters, to: goal, minimumShare: 0)
        return try Left(try pruning.prune(network(), on: batch()).network)
    }

    /// The usual network with equally many blocks less in each stage.
    private func shallower(_ count: Int) throws -> VisionArchitecture? {
        guard var own = study.architecture.configuration as? ResNet.Configuration, count % own.blocks.count == 0,
            own.blocks.allSatisfy({ $0 > count / own.blocks.count })
        else { return nil }
        own.blocks = own.blocks.map { $0 - count / own.blocks.count }
        return try VisionArchitecture(own)
    }
}
