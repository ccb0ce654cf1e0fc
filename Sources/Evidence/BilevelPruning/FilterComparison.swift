import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Half of the channels of a residual network with batch norm, chosen by bi-level pruning while it retrains, or by norms
/// before it does.
package struct FilterComparison: Sendable {
    package enum Arm: String, Sendable, Hashable, CaseIterable {
        /// With scores at the paper's rate for convolutional networks, and at that of the perceptron.
        case bilevel, fastMasks
        case norm

        var name: String {
            switch self {
            case .bilevel: "BiP, filters"
            case .fastMasks: "BiP, filters, ten times the scores' rate"
            case .norm: "L1 norm of filters + retraining"
            }
        }
    }

    /// The part of every group of channels that stays.
    package static let kept = 0.5
    /// β of the paper.
    static let maskRate = 0.1

    /// Test accuracies of the dense networks.
    package var dense: [Double]
    /// At ``kept``.
    package var accuracies: ArmAccuracies<Arm>
    /// The part of multiplications that is left in the network that is cut out: the mean over seeds.
    package var multiplications: [Arm: Double]
    /// The most that an output of the cut network differs from the masked one's, in any seed.
    package var difference: Double
    /// Of the first seed.
    var losses: [LossCurve] = []

    package init(
        dense: [Double], accuracies: ArmAccuracies<Arm>, multiplications: [Arm: Double] = [:], difference: Double = 0
    ) {
        self.dense = dense
        self.accuracies = accuracies
        self.multiplications = multiplications
        self.difference = difference
    }

    init(
        _ study: ImageStudy, size: BilevelPruningExperiment.Size, seeds: [UInt64], progress: any ProgressReporter
    ) throws {
        self.init(dense: [], accuracies: ArmAccuracies())
        progress.begin("filters", total: seeds.count, unit: "seeds")
        let outcomes = try sideBySide(seeds) { seed in try FilterTrial(study: study, size: size, seed: seed).run() }
        progress.end("done")
        losses = outcomes.first?.losses ?? []
        for outcome in outcomes {
            dense.append(outcome.dense)
            for arm in Arm.allCases {
                accuracies.add(outcome.accuracies[arm] ?? .nan, of: arm, at: Self.kept)
                multiplications[arm, default: 0] += (outcome.multiplications[arm] ?? .nan) / Double(seeds.count)
            }
            difference = max(difference, outcome.difference)
        }
    }

    var table: ExperimentReport.Table {
        let rows = Arm.allCases.map { arm in
            [
                arm.name, accuracies.statistics(arm, at: Self.kept).percent,
                MarkupText.percent(multiplications[arm] ?? .nan),
            ]
        }
        return .init(
            title: "Half of the filters of a residual network, dense \(SeedStatistics(dense).percent) %",
            HTMLTable(head: ["", "test accuracy, %", "multiplications left"], rows: rows, numericColumns: [1, 2]))
    }

    var json: JSON {
        .object([
            "dense": .array(dense.map { .number($0) }),
            "accuracies": accuracies.json(
                arms: Arm.allCases.map { (arm: $0, name: $0.rawValue) }, settings: [Self.kept]),
            "multiplications": .object(
                .init(uniqueKeysWithValues: Arm.allCases.map { ($0.rawValue, .number(multiplications[$0] ?? .nan)) })),
            "difference": .number(difference),
        ])
    }
}

/// One seed.
private struct FilterTrial {
    struct Outcome {
        var dense: Double
        var accuracies: [FilterComparison.Arm: Double] = [:]
        var multiplications: [FilterComparison.Arm: Double] = [:]
        var difference = 0.0
        var losses: [LossCurve] = []
    }

    let study: ImageStudy
    let size: BilevelPruningExperiment.Size
    let seed: UInt64

    private var steps: Int { size.retrainingEpochs * study.stepsPerEpoch }
    private var example: Tensor { study.architecture.tracingInputs }

    func run() throws -> Outcome {
        let trained = try study.trained(seed: seed)
        var outcome = Outcome(dense: study.accuracy(of: trained))
        let weights = Snapshot(of: trained)
        try chooseByBilevelPruning(weights, .bilevel, &outcome)
        try chooseByBilevelPruning(weights, .fastMasks, &outcome)
        try chooseByNorm(weights, &outcome)
        return outcome
    }

    private func network(_ weights: Snapshot) -> any VisionNetwork {
        let network = study.makeNetwork(seed: seed)
        weights.restore(network)
        return network
    }

    private func chooseByBilevelPruning(
        _ weights: Snapshot, _ arm: FilterComparison.Arm, _ outcome: inout Outcome
    ) throws {
        let network = network(weights)
        let groups = try ChannelGroups(of: network, example: example)
        var options = BilevelPruning.Options(kept: FilterComparison.kept, steps: steps)
        options.learningRate = size.rate
        options.maskRate = FilterComparison.maskRate * (arm == .fastMasks ? 10 : 1)
        options.unit = .filter
        let pruning = try BilevelPruning(PrunableNetwork(network), options: options, channels: groups)
        var losses = LossCurve(arm.name, steps: steps)
        try pruning.run(lower: study.batches(seed: seed), upper: study.batches(seed: seed &+ 1 << 32)) {
            losses.add($1, at: $0)
        }
        network.setTraining(false)
        guard let kept = pruning.keptChannels else { return }
        let small = try network.removingChannels(of: groups, keeping: kept)
        small.setTraining(false)
        let inputs = study.inputs(of: study.test, count: 64)
        for batch in inputs {
            let gap = (network.outputs(batch) - small.outputs(batch)).detached().abs()
            outcome.difference = max(outcome.difference, gap.doubles().max() ?? .nan)
        }
        record(arm, small, groups, kept, losses, &outcome)
    }

    private func chooseByNorm(_ weights: Snapshot, _ outcome: inout Outcome) throws {
        let pruning = StructuredPruning(
            by: ChannelNorm(.l1), allocation: UniformChannels(), granularity: .channels,
            to: .channels(1 - FilterComparison.kept), minimumShare: 0)
        let dense = network(weights)
        let groups = try ChannelGroups(of: dense, example: example)
        let kept = try pruning.choose(of: groups, in: dense, on: [])
        let small = try dense.removingChannels(of: groups, keeping: kept)
        var training = study.supervision(epochs: Double(size.retrainingEpochs), peakRate: size.rate)
        training.optimizer = SGD(momentum: 0.9, weightDecay: 1e-4)
        var losses = LossCurve(FilterComparison.Arm.norm.name, steps: steps)
        try training.run(small, on: study.batches(seed: seed)) { losses.add($1, at: $0) }
        record(.norm, small, groups, kept, losses, &outcome)
    }

    private func record(
        _ arm: FilterComparison.Arm, _ network: any VisionNetwork, _ groups: ChannelGroups, _ kept: KeptChannels,
        _ losses: LossCurve, _ outcome: inout Outcome
    ) {
        outcome.accuracies[arm] = study.accuracy(of: network)
        outcome.multiplications[arm] =
            Double(groups.cost(keeping: kept).multiplyAccumulates) / Double(max(1, groups.cost().multiplyAccumulates))
        outcome.losses.append(losses)
    }
}
