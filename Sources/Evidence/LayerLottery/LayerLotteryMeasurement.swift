import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import OrderedCollections

/// Accuracies of residual networks whose blocks were removed before training, over counts and seeds.
package struct LayerLotteryMeasurement: Sendable {
    /// What is removed.
    package enum Arm: String, Sendable, CaseIterable {
        /// Blocks, by the criterion of this name.
        case grasp, snip, random
        /// Single filters inside blocks, to the size of GraSP's ticket.
        case filters
        /// As many single filters inside blocks as GraSP's ticket lacks, one of each block left at least.
        case filtersByCount = "filters-by-count"
        /// No choice: the usual network with so many blocks less, where there is one.
        case shallower
        /// Blocks of the trained network, which is not trained any more.
        case afterTraining = "after-training"
    }

    /// What was trained.
    package struct Run: Sendable {
        var arm: Arm
        var count: Int
        var seed: UInt64
        var accuracy: Double
        /// For one of the dense network's.
        var parameterPart: Double
        var multiplicationPart: Double
        var removed: [String]
        /// Of its training; nil where nothing was trained.
        var losses: LossCurve?

        package init(
            arm: Arm, count: Int, seed: UInt64, accuracy: Double, parameterPart: Double, multiplicationPart: Double,
            removed: [String]
        ) {
            self.arm = arm
            self.count = count
            self.seed = seed
            self.accuracy = accuracy
            self.parameterPart = parameterPart
            self.multiplicationPart = multiplicationPart
            self.removed = removed
        }
    }

    /// Names of the blocks that may go.
    var removable: [String]
    var counts: [Int]
    var seeds: [UInt64]
    var denseAccuracies: [Double]
    var runs: [Run]
    /// Of each seed, the stages of the blocks that L1 removes from the trained network, at the largest count.
    var normVictims: [[Int]]
    /// Of the first seed's dense network.
    var denseLosses: LossCurve?

    /// What was measured elsewhere.
    package init(
        removable: [String], counts: [Int], seeds: [UInt64], denseAccuracies: [Double], runs: [Run],
        normVictims: [[Int]]
    ) {
        self.removable = removable
        self.counts = counts
        self.seeds = seeds
        self.denseAccuracies = denseAccuracies
        self.runs = runs
        self.normVictims = normVictims
    }

    init(_ study: ImageStudy, counts: [Int], seeds: [UInt64], progress: any ProgressReporter) throws {
        let blocks = try BlockRemoval.blocks(of: study.architecture).filter(RemovableBlocks.shape.contains)
        removable = blocks.map(\.name)
        self.counts = counts.filter { $0 <= blocks.count }
        self.seeds = seeds
        denseAccuracies = []
        runs = []
        normVictims = []
        progress.begin(
            "layer lottery", total: seeds.count * (1 + self.counts.count * Arm.allCases.count), unit: "networks")
        for seed in seeds {
            let trial = try Trial(study, seed: seed)
            if denseLosses == nil { denseLosses = trial.denseLosses }
            denseAccuracies.append(trial.denseAccuracy)
            for count in self.counts {
                for arm in Arm.allCases {
                    guard let run = try trial.run(arm, count) else { continue }
                    runs.append(run)
                    progress.advance(
                        to: seeds.count + runs.count,
                        note: "\(arm.rawValue) \(count): \(MarkupText.percent(run.accuracy))")
                }
            }
            let norms = try BlockScores(of: trial.trained, by: .l1, removable: .shape)
            let victims = try norms.lowest(self.counts.max() ?? 1)
            normVictims.append(victims.compactMap { name in blocks.first { $0.name == name }?.stage })
        }
        progress.end("done")
    }

    func statistics(_ arm: Arm, _ count: Int) -> SeedStatistics {
        SeedStatistics(runs.filter { $0.arm == arm && $0.count == count }.map(\.accuracy))
    }

    /// Mean accuracy over seeds; NaN where the arm was not run.
    func accuracy(_ arm: Arm, _ count: Int) -> Double { statistics(arm, count).mean }

    var denseAccuracy: Double { SeedStatistics(denseAccuracies).mean }
}

/// One seed.
private struct Trial {
    let study: ImageStudy
    let seed: UInt64
    let trained: any VisionNetwork
    let denseAccuracy: Double
    let denseLosses: LossCurve
    private let batch: [LabeledBatch]
    private let dense: NetworkCost

    init(_ study: ImageStudy, seed: UInt64) throws {
        self.study = study
        self.seed = seed
        trained = study.makeNetwork(seed: seed)
        let training = study.supervision()
        var losses = LossCurve("dense", steps: training.rates.totalSteps)
        try training.run(trained, on: study.batches(seed: seed)) { losses.add($1, at: $0) }
        denseLosses = losses
        denseAccuracy = study.accuracy(of: trained)
        let count = min(study.training.count, 10 * study.training.classCount)
        batch = Array(try study.training.sample(count, seed: seed).batches(of: count))
        dense = try Self.cost(study.architecture)
    }

    private static func cost(_ architecture: VisionArchitecture) throws -> NetworkCost {
        let structure = try ChannelStructure(architecture)
        return structure.cost(structure.widths)
    }

    private func lottery(_ criterion: BlockCriterion, _ count: Int) -> LayerLottery {
        var lottery = LayerLottery(criterion: criterion, count: count)
        lottery.removable = .shape
        lottery.seed = seed
        return lottery
    }

    /// Nil where the arm has no such network.
    func run(_ arm: LayerLotteryMeasurement.Arm, _ count: Int) throws -> LayerLotteryMeasurement.Run? {
        let network: any VisionNetwork
        var removed: [String] = []
        let initial = study.makeNetwork(seed: seed)
        switch arm {
        case .grasp, .snip, .random:
            let criterion: BlockCriterion = arm == .grasp ? .grasp : arm == .snip ? .snip : .random
            let removal = try lottery(criterion, count).removal(from: initial, batches: batch)
            removed = removal.removed.map(\.name)
            network = removal(initial)
        case .filters:
            let ticket = try lottery(.grasp, count).removal(from: initial, batches: batch)
            let part = Double(ticket.architecture.parameterCount) / Double(initial.parameterCount)
            let pruning = StructuredPruning(
                by: SummedWeights(GradientFlowCriterion()), granularity: .filters, to: .parameters(1 - part),
                minimumShare: 0)
            network = try pruning.prune(initial, on: batch).network
        case .filtersByCount:
            let ticket = try lottery(.grasp, count).removal(from: initial, batches: batch)
            network = try withoutFilters(Self.filterCount(initial) - Self.filterCount(ticket(initial)), initial)
        case .shallower:
            guard let own = try shallower(count) else { return nil }
            network = own.makeNetwork(seed: seed)
        case .afterTraining:
            let removal = try lottery(.grasp, count).removal(from: trained, batches: batch)
            removed = removal.removed.map(\.name)
            network = removal(trained)
        }
        var losses: LossCurve?
        if arm != .afterTraining {
            let training = study.supervision()
            var curve = LossCurve(arm.rawValue, steps: training.rates.totalSteps)
            try training.run(network, on: study.batches(seed: seed)) { curve.add($1, at: $0) }
            losses = curve
        }
        let cost = try Self.cost(VisionArchitecture(network.configuration))
        var run = LayerLotteryMeasurement.Run(
            arm: arm, count: count, seed: seed, accuracy: study.accuracy(of: network),
            parameterPart: Double(cost.parameters) / Double(dense.parameters),
            multiplicationPart: Double(cost.multiplyAccumulates) / Double(dense.multiplyAccumulates), removed: removed)
        run.losses = losses
        return run
    }

    /// Outputs of all convolutions.
    private static func filterCount(_ network: any VisionNetwork) -> Int {
        network.parameters.reduce(0) { count, own in
            let shape = own.parameter.wrappedValue.shape
            return count + (shape.count == 4 ? shape[0] : 0)
        }
    }

    /// The network without so many filters inside blocks, or as many as there are but for one of each block.
    private func withoutFilters(_ count: Int, _ network: any VisionNetwork) throws -> any VisionNetwork {
        let inside = network.parameters.filter { $0.name.hasPrefix("layer") && $0.name.hasSuffix(".conv1.weight") }
        let most = inside.reduce(0) { $0 + $1.parameter.wrappedValue.shape[0] - 1 }
        let groups = try ChannelGroups(of: network, example: batch[0].inputs.slice(axis: 0, 0..<2).contiguous())
        let all = KeptChannels(allOf: groups).count
        let pruning = StructuredPruning(
            by: SummedWeights(GradientFlowCriterion()), granularity: .filters,
            to: .channels(Double(min(count, most)) / Double(max(1, all))), minimumShare: 0)
        return try pruning.prune(network, on: batch).network
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
