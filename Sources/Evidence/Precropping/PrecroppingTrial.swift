import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// One network and seed: the dense network, trained, and the weights that methods keep of the initial one.
struct PrecroppingTrial: Sendable {
    typealias Arm = PrecroppedNetwork.Arm
    typealias Run = PrecroppedNetwork.Run

    /// What is left of the initial network's weights.
    private struct Pruned: Sendable {
        var masks: [WeightMask]
        var densities: [String: Double]
    }

    let study: PrecroppingStudy
    let seed: UInt64
    let denseAccuracy: Double
    let denseLosses: LossCurve
    private let trained: Snapshot
    /// By budget.
    private let pruned: [[DensitySource: Pruned]]

    init(_ study: PrecroppingStudy, seed: UInt64) throws {
        self.study = study
        self.seed = seed
        let network = study.images.makeNetwork(seed: seed)
        denseLosses = try Self.train(network, named: "dense", study.images, seed: seed)
        denseAccuracy = study.images.accuracy(of: network)
        trained = Snapshot(of: network)
        pruned = try study.croppings.map { cropping in
            var pruned: [DensitySource: Pruned] = [:]
            for source in [DensitySource.synflow, .snip, .grasp, .erk] {
                pruned[source] = try Self.pruned(by: source, study, parameters: cropping.parameters ?? 0, seed: seed)
            }
            return pruned
        }
    }

    /// Ten images of each class, as SNIP and GraSP see them.
    private static func sample(_ images: ImageStudy, seed: UInt64) throws -> [LabeledBatch] {
        let count = min(images.training.count, 10 * images.training.classCount)
        return Array(try images.training.sample(count, seed: seed).batches(of: count))
    }

    /// Removes weights until those left, with norms and biases, are as many as the budget.
    private static func pruned(
        by source: DensitySource, _ study: PrecroppingStudy, parameters: Int, seed: UInt64
    ) throws -> Pruned {
        let images = study.images
        let network = try PrunableNetwork(images.makeNetwork(seed: seed))
        let others = images.architecture.parameterCount - network.count
        try source.prune(
            network, to: 1 - Double(parameters - others) / Double(network.count),
            inputShape: images.architecture.inputShape,
            batches: source.needsData ? try sample(images, seed: seed) : [], seed: seed)
        return Pruned(masks: network.masks, densities: network.densities)
    }

    /// Makes the network smaller in one way, trains and measures it.
    ///
    /// - Parameter budget: its place among the budgets.
    func run(_ arm: Arm, atBudget budget: Int) throws -> Run {
        if arm.isMask { return try masked(arm, budget) }
        if arm == .normOfTrained { return try narrowed(budget) }
        let (structure, cropping) = (study.structure, study.croppings[budget])
        let plan =
            switch arm {
            case .synexpCrop: study.plans[budget]
            case .uniformCrop: try cropping.plan(for: structure, densities: nil)
            case .layersCrop: try cropping.plan(for: structure, densities: cropping.layerDensities(structure))
            case .residualCrop: try study.residualPlan(cropping)
            case .bothCrop: try study.equallyCheapPlan(cropping)
            default: try cropping.plan(for: structure, densities: followed(by: arm, budget).densities)
            }
        return try finished(
            arm, budget, plan.architecture.makeNetwork(seed: seed), before: plan.before, after: plan.after)
    }

    /// The masks that an arm takes, or follows the densities of.
    private func followed(by arm: Arm, _ budget: Int) -> Pruned {
        let source: DensitySource =
            switch arm {
            case .snip, .snipCrop: .snip
            case .grasp, .graspCrop: .grasp
            case .erk, .erkCrop: .erk
            default: .synflow
            }
        guard let found = pruned[budget][source] else { preconditionFailure("no masks of \(source.rawValue)") }
        return found
    }

    private func masked(_ arm: Arm, _ budget: Int) throws -> Run {
        var masks = followed(by: arm, budget).masks
        if arm == .shuffled {
            var generator = RandomGenerator(seed: seed &+ 1)
            masks = masks.map { $0.shuffled(using: &generator) }
        }
        let network = try PrunableNetwork(study.images.makeNetwork(seed: seed))
        network.setMasks(masks)
        let cost = study.plans[budget].before
        let left = NetworkCost(
            parameters: cost.parameters - network.removedCount, multiplyAccumulates: cost.multiplyAccumulates)
        var run = try finished(
            arm, budget, network.network, before: cost, after: left, hooks: [MaskedTraining(network)])
        let filters = masks.flatMap(\.keptCountsOfRows)
        run.filtersInUse = Double(filters.count { $0 > 0 }) / Double(filters.count)
        return run
    }

    /// The trained network without the channels whose filters are smallest for their group.
    private func narrowed(_ budget: Int) throws -> Run {
        let network = study.images.makeNetwork(seed: seed)
        trained.restore(network)
        let allowed = Double(study.croppings[budget].parameters ?? 0)
        let pruning = StructuredPruning(
            by: ChannelNorm(.l1, isRelative: true),
            to: .parameters(1 - allowed / Double(study.plans[budget].before.parameters)))
        let result = try pruning.prune(network, on: try Self.sample(study.images, seed: seed))
        return try finished(.normOfTrained, budget, result.network, before: result.before, after: result.after)
    }

    /// Trains a smaller network and measures it.
    private func finished(
        _ arm: Arm, _ budget: Int, _ network: any SupervisedNetwork, before: NetworkCost, after: NetworkCost,
        hooks: [any TrainingHook] = []
    ) throws -> Run {
        let losses = try Self.train(network, named: arm.rawValue, study.images, seed: seed, hooks: hooks)
        var run = Run(
            arm: arm, budget: PrecroppingMeasurement.budgets[budget], seed: seed,
            accuracy: study.images.accuracy(of: network),
            parameterPart: Double(after.parameters) / Double(before.parameters),
            multiplicationPart: Double(after.multiplyAccumulates) / Double(before.multiplyAccumulates))
        run.losses = losses
        return run
    }

    /// Trains as all networks of the study.
    private static func train(
        _ network: any SupervisedNetwork, named name: String, _ images: ImageStudy, seed: UInt64,
        hooks: [any TrainingHook] = []
    ) throws -> LossCurve {
        let training = images.supervision()
        var losses = LossCurve(name, steps: training.rates.totalSteps)
        try training.run(network, on: images.batches(seed: seed), hooks: hooks) { losses.add($1, at: $0) }
        return losses
    }
}
