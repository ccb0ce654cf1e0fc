import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import OrderedCollections

/// Accuracies of a network that was pruned before training in several ways, over budgets and seeds.
package struct PrecroppingMeasurement: Sendable {
    /// How the network is made smaller.
    package enum Arm: String, Sendable, CaseIterable {
        case synflow, shuffled, snip
        case synflowCrop = "synflow-crop"
        case synexpCrop = "synexp-crop"
        case uniformCrop = "uniform-crop"

        /// Whether single weights are zero in a network of full width.
        var isMask: Bool { self == .synflow || self == .shuffled || self == .snip }
    }

    /// What was trained.
    package struct Run: Sendable {
        var arm: Arm
        var budget: Double
        var seed: UInt64
        var accuracy: Double
        /// Weights and other numbers that are not zero by a mask, for one of the dense network's.
        var parameterPart: Double
        /// Multiplications of dense kernels, for one of the dense network's.
        var multiplicationPart: Double
        /// The part of the filters, and of the outputs, that have weights left.
        var filtersInUse = 1.0
        /// Of its training.
        var losses: LossCurve?

        package init(
            arm: Arm, budget: Double, seed: UInt64, accuracy: Double, parameterPart: Double, multiplicationPart: Double
        ) {
            self.arm = arm
            self.budget = budget
            self.seed = seed
            self.accuracy = accuracy
            self.parameterPart = parameterPart
            self.multiplicationPart = multiplicationPart
        }
    }

    var budgets: [Double]
    var seeds: [UInt64]
    /// Of the dense network, by seed.
    var denseAccuracies: [Double]
    var runs: [Run]
    /// The programme's widths for each budget, with the architecture's own.
    var widths: [(name: String, full: Int, cropped: [Int])]
    /// The error of the programme's optimality conditions, by budget.
    var residuals: [Double]
    /// Of the first seed's dense network.
    var denseLosses: LossCurve?

    /// What was measured elsewhere.
    package init(
        budgets: [Double], seeds: [UInt64], denseAccuracies: [Double], runs: [Run], residuals: [Double]
    ) {
        self.budgets = budgets
        self.seeds = seeds
        self.denseAccuracies = denseAccuracies
        self.runs = runs
        self.residuals = residuals
        widths = []
    }

    init(
        _ study: ImageStudy, budgets: [Double], seeds: [UInt64], progress: any ProgressReporter
    ) throws {
        self.budgets = budgets
        self.seeds = seeds
        let structure = try ChannelStructure(study.architecture)
        let croppings = budgets.map { part in
            PreCropping(parameters: Int(part * Double(structure.parameterCount(structure.widths))))
        }
        let plans = try croppings.map { try $0.plan(for: structure) }
        residuals = plans.map { $0.residual ?? .nan }
        widths = structure.names.indices.map { index in
            (structure.names[index], structure.widths[index], plans.map { $0.widths[index] })
        }
        denseAccuracies = []
        runs = []
        progress.begin("precropping", total: seeds.count * (1 + budgets.count * Arm.allCases.count), unit: "networks")
        func advance(_ name: String, _ accuracy: Double) {
            progress.advance(
                to: denseAccuracies.count + runs.count, note: "\(name) \(MarkupText.percent(accuracy))")
        }
        for seed in seeds {
            let network = study.makeNetwork(seed: seed)
            let losses = try Trial.train(network, named: "dense", study, seed: seed)
            denseLosses = denseLosses ?? losses
            let accuracy = study.accuracy(of: network)
            denseAccuracies.append(accuracy)
            advance("dense", accuracy)
            for (part, cropping) in zip(budgets, croppings) {
                let trial = try Trial(study, structure, cropping, seed: seed)
                for arm in Arm.allCases {
                    let run = try trial.run(arm, budget: part)
                    runs.append(run)
                    advance(arm.rawValue, run.accuracy)
                }
            }
        }
        progress.end("done")
    }

    /// Mean accuracy over seeds; NaN where the arm was not run.
    func accuracy(_ arm: Arm, _ budget: Double) -> Double { statistics(arm, budget).mean }

    func statistics(_ arm: Arm, _ budget: Double) -> SeedStatistics {
        SeedStatistics(runs.filter { $0.arm == arm && $0.budget == budget }.map(\.accuracy))
    }
}

/// One seed and one budget.
private struct Trial {
    let study: ImageStudy
    let structure: ChannelStructure
    let cropping: PreCropping
    let seed: UInt64
    /// SynFlow's masks of the initial network.
    let flowMasks: [WeightMask]
    let flowDensities: [String: Double]

    init(_ study: ImageStudy, _ structure: ChannelStructure, _ cropping: PreCropping, seed: UInt64) throws {
        self.study = study
        self.structure = structure
        self.cropping = cropping
        self.seed = seed
        let pruned = try PrunableNetwork(study.makeNetwork(seed: seed))
        try DensitySource.synflow.prune(
            pruned, to: 1 - cropping.keptFraction(structure), inputShape: study.architecture.inputShape, batches: [])
        flowMasks = pruned.masks
        flowDensities = pruned.densities
    }

    func run(_ arm: PrecroppingMeasurement.Arm, budget: Double) throws -> PrecroppingMeasurement.Run {
        func result(
            _ accuracy: Double, parameters: Double, multiplications: Double, _ losses: LossCurve
        ) -> PrecroppingMeasurement.Run {
            var run = PrecroppingMeasurement.Run(
                arm: arm, budget: budget, seed: seed, accuracy: accuracy, parameterPart: parameters,
                multiplicationPart: multiplications)
            run.losses = losses
            return run
        }
        if arm.isMask {
            let network = try PrunableNetwork(study.makeNetwork(seed: seed))
            try prune(network, arm)
            let losses = try Self.train(
                network.network, named: arm.rawValue, study, seed: seed, hooks: [MaskedTraining(network)])
            let total = study.architecture.parameterCount
            var run = result(
                study.accuracy(of: network.network), parameters: Double(total - network.removedCount) / Double(total),
                multiplications: 1, losses)
            let filters = network.masks.flatMap(\.keptCountsOfRows)
            run.filtersInUse = Double(filters.count { $0 > 0 }) / Double(filters.count)
            return run
        }
        let plan =
            switch arm {
            case .synflowCrop: try cropping.plan(for: structure, densities: flowDensities)
            case .uniformCrop: try cropping.plan(for: structure, densities: nil)
            default: try cropping.plan(for: structure)
            }
        let network = plan.architecture.makeNetwork(seed: seed)
        let losses = try Self.train(network, named: arm.rawValue, study, seed: seed)
        return result(
            study.accuracy(of: network), parameters: Double(plan.after.parameters) / Double(plan.before.parameters),
            multiplications: Double(plan.after.multiplyAccumulates) / Double(plan.before.multiplyAccumulates), losses)
    }

    /// Trains as all networks of the study.
    static func train(
        _ network: any SupervisedNetwork, named name: String, _ study: ImageStudy, seed: UInt64,
        hooks: [any TrainingHook] = []
    ) throws -> LossCurve {
        let training = study.supervision()
        var losses = LossCurve(name, steps: training.rates.totalSteps)
        try training.run(network, on: study.batches(seed: seed), hooks: hooks) { losses.add($1, at: $0) }
        return losses
    }

    private func prune(_ network: PrunableNetwork, _ arm: PrecroppingMeasurement.Arm) throws {
        switch arm {
        case .synflow: network.setMasks(flowMasks)
        case .shuffled:
            let places = PruningMethod(
                criterion: RandomCriterion(seed: seed &+ 1), granularity: UnstructuredGranularity(),
                allocation: GlobalAllocation(), sparsity: 0)
            network.setMasks(
                try network.weights.indices.map { index in
                    try places.mask(
                        of: network.weights[index], removing: flowMasks[index].removedCount,
                        values: network.values(index))
                })
        default:
            let count = min(study.training.count, 10 * study.training.classCount)
            let sample = try study.training.sample(count, seed: seed)
            try DensitySource.snip.prune(
                network, to: 1 - cropping.keptFraction(structure), inputShape: study.architecture.inputShape,
                batches: Array(sample.batches(of: count)))
        }
    }
}
