import CoppiceModels

/// What one network reached that was made smaller before training in several ways, over budgets and seeds.
package struct PrecroppedNetwork: Sendable {
    /// How the network is made smaller.
    package enum Arm: String, Sendable, Hashable, CaseIterable {
        case synflow, shuffled, snip, grasp, erk
        case synflowCrop = "synflow-crop"
        case snipCrop = "snip-crop"
        case graspCrop = "grasp-crop"
        case erkCrop = "erk-crop"
        case synexpCrop = "synexp-crop"
        /// As published, in two steps: the programme's densities of layers on their own, which widths then follow.
        case layersCrop = "synexp-layers-crop"
        /// By what gets through blocks and shortcuts together; of residual networks.
        case residualCrop = "synexp-residual-crop"
        /// With no more multiplications than one factor for all widths takes.
        case bothCrop = "synexp-both-crop"
        case uniformCrop = "uniform-crop"
        /// Channels of the trained network, which is then trained again.
        case normOfTrained = "l1-trained"

        /// Whether single weights are zero in a network of full width.
        var isMask: Bool { [.synflow, .shuffled, .snip, .grasp, .erk].contains(self) }

        /// Whether widths are chosen before training.
        var isCrop: Bool { !isMask && self != .normOfTrained }

        /// Those that claims compare.
        static let judged: [Arm] = [.synflow, .shuffled, .snip, .synflowCrop, .synexpCrop, .uniformCrop]
    }

    /// What was trained.
    package struct Run: Sendable {
        package var arm: Arm
        /// The part of the parameters that may stay.
        var budget: Double
        var seed: UInt64
        var accuracy: Double
        /// Weights and other numbers that are not zero by a mask, for one of the dense network's.
        var parameterPart: Double
        /// Multiplications of dense kernels, for one of the dense network's.
        var multiplicationPart: Double
        /// The part of the filters, and of the outputs, that have weights left.
        var filtersInUse = 1.0
        /// Of its last training.
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

    /// The architecture's.
    package var name: String
    package var seeds: [UInt64]
    /// Of the dense network, by seed.
    package var denseAccuracies: [Double]
    package var runs: [Run]
    /// Of the dense network.
    var parameterCount = 0
    /// The error of the programme's optimality conditions, by budget.
    package var residuals: [Double]
    /// The programme's widths for each budget, with the architecture's own.
    var widths: [(name: String, full: Int, cropped: [Int])] = []
    /// What it was trained on.
    var fact: ExperimentReport.Fact
    /// Of the first seed's dense network.
    var denseLosses: LossCurve?

    package init(name: String, seeds: [UInt64], denseAccuracies: [Double], runs: [Run], residuals: [Double]) {
        self.name = name
        self.seeds = seeds
        self.denseAccuracies = denseAccuracies
        self.runs = runs
        self.residuals = residuals
        fact = .init(name, "")
    }

    func runs(of arm: Arm, _ budget: Double) -> [Run] { runs.filter { $0.arm == arm && $0.budget == budget } }

    /// Test accuracies over seeds.
    func accuracies(of arm: Arm, _ budget: Double) -> SeedStatistics {
        SeedStatistics(runs(of: arm, budget).map(\.accuracy))
    }

    /// By how many percentage points an arm's mean is above another's; NaN where one was not run.
    func lead(of arm: Arm, over other: Arm, _ budget: Double) -> Double {
        100 * (accuracies(of: arm, budget).mean - accuracies(of: other, budget).mean)
    }

    var json: JSON {
        .object([
            "network": .string(name), "parameters": .integer(parameterCount),
            "dense_accuracy": .array(denseAccuracies.map { .number($0) }),
            "runs": .array(
                runs.map { run in
                    .object([
                        "arm": .string(run.arm.rawValue), "budget": .number(run.budget),
                        "seed": .integer(Int(truncatingIfNeeded: run.seed)), "accuracy": .number(run.accuracy),
                        "parameters": .number(run.parameterPart), "multiplications": .number(run.multiplicationPart),
                        "filters_in_use": .number(run.filtersInUse),
                    ])
                }),
            "residuals": .array(residuals.map { .number($0) }),
        ])
    }
}
