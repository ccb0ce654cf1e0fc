import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// One arm of the comparison of filters and channels, at one part kept, on one seed.
struct FilterJob: Sendable {
    typealias Arm = FilterComparison.Arm

    struct Outcome: Sendable {
        var accuracy: Double
        /// The part of the dense network's multiplications that is left.
        var multiplications: Double
        /// The most that an output of the cut network differs from the masked one's; nil where there is none.
        var difference: Double?
        var losses: LossCurve
    }

    var study: ImageStudy
    var size: BilevelPruningExperiment.Size
    var dense: BilevelPruningMeasurement.Dense
    var arm: Arm
    /// The part of every group of channels that stays.
    var kept: Double

    func run() throws -> Outcome {
        let network = study.makeNetwork(seed: dense.seed)
        dense.weights.restore(network)
        let groups = try ChannelGroups(of: network, example: study.architecture.tracingInputs)
        return Arm.learned.contains(arm) ? try learn(network, groups) : try chooseAndRetrain(network, groups)
    }

    private var steps: Int { size.retrainingEpochs * study.stepsPerEpoch }

    private func learn(_ network: any VisionNetwork, _ groups: ChannelGroups) throws -> Outcome {
        var options = BilevelPruning.Options(kept: kept, steps: steps)
        options.learningRate = size.rate
        options.maskRate = FilterComparison.maskRate * (Arm.ablations.contains(arm) ? 10 : 1)
        options.unit = arm == .channels || arm == .fastChannels ? .channel : .filter
        let pruning = try BilevelPruning(PrunableNetwork(network), options: options, channels: groups)
        var losses = LossCurve(arm.name, steps: steps)
        try pruning.run(
            lower: study.batches(seed: dense.seed), upper: study.batches(seed: dense.seed &+ 1 << 32)
        ) { losses.add($1, at: $0) }
        guard let channels = pruning.keptChannels else {
            throw CoppiceError(.internal, field: arm.rawValue, "chose no channels")
        }
        let small = try network.removingChannels(of: groups, keeping: channels)
        for own in [network, small] { own.setTraining(false) }
        let gaps = study.inputs(of: study.test, count: 64).map { batch in
            (network.outputs(batch) - small.outputs(batch)).detached().abs().maximum().doubles()[0]
        }
        return outcome(small, groups, channels, difference: gaps.max() ?? .nan, losses)
    }

    private func chooseAndRetrain(_ network: any VisionNetwork, _ groups: ChannelGroups) throws -> Outcome {
        let criterion: any ChannelCriterion = arm == .norm ? ChannelNorm(.l1) : FeatureMapRank()
        let all = KeptChannels(allOf: groups).count
        let pruning = StructuredPruning(
            by: criterion, allocation: UniformChannels(),
            to: .channels(Double(Self.removedCount(of: groups, keeping: kept)) / Double(all)), minimumShare: 0)
        let batches = study.scoredBatches(study.batches(seed: dense.seed))
        let channels = try pruning.choose(of: groups, in: network, on: batches)
        let small = try network.removingChannels(of: groups, keeping: channels)
        var training = study.supervision(epochs: Double(size.retrainingEpochs), peakRate: size.rate)
        training.optimizer = SGD(momentum: 0.9, weightDecay: 1e-4)
        var losses = LossCurve(arm.name, steps: steps)
        try training.run(small, on: study.batches(seed: dense.seed)) { losses.add($1, at: $0) }
        return outcome(small, groups, channels, losses)
    }

    /// How many channels go where ⌈kept · n⌉ of each group's n stay, as bi-level pruning counts.
    static func removedCount(of groups: ChannelGroups, keeping kept: Double) -> Int {
        groups.groups.reduce(0) { sum, group in
            sum + group.count - max(1, Int((kept * Double(group.count) - 1e-9).rounded(.up)))
        }
    }

    private func outcome(
        _ small: any VisionNetwork, _ groups: ChannelGroups, _ channels: KeptChannels, difference: Double? = nil,
        _ losses: LossCurve
    ) -> Outcome {
        Outcome(
            accuracy: study.accuracy(of: small),
            multiplications: Double(groups.cost(keeping: channels).multiplyAccumulates)
                / Double(max(1, groups.cost().multiplyAccumulates)),
            difference: difference, losses: losses)
    }
}
