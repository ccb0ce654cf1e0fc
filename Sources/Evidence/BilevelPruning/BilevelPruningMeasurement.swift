import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Synchronization

/// What bi-level pruning and what it is compared with reach, seed by seed.
package struct BilevelPruningMeasurement: Sendable {
    /// A way to a pruned network.
    package enum Arm: String, Sendable, Hashable, CaseIterable {
        case bilevel, learnedScores, magnitude
        /// Levels go back to the initial weights: each trained as the dense network was, and as the other arms are.
        case iterative, iterativeRetraining
        /// Levels go back to the weights after the first epoch, trained in the same two ways.
        case rewound, rewoundRetraining
        /// Pruned before any training.
        case snip, grasp, synflow
        case random
        /// Bi-level pruning at one part kept: without its implicit term, the same with masks that move before weights,
        /// with the implicit term of the code released with the paper, with more regularization of the lower level, with
        /// one batch for both levels, with scores that move at a tenth of the rate, and with scores that are compared
        /// over their layer's scale.
        case alternating, masksFirst, releasedTerm, gamma10, gamma100, sameBatches, slowMasks, layerScale

        var name: String {
            switch self {
            case .bilevel: "BiP"
            case .learnedScores: "HYDRA + retraining"
            case .magnitude: "magnitude once + retraining"
            case .iterative: "iterative magnitude pruning"
            case .iterativeRetraining: "iterative magnitude pruning, trained as BiP is"
            case .rewound: "iterative magnitude pruning, rewound"
            case .rewoundRetraining: "iterative magnitude pruning, rewound, trained as BiP is"
            case .snip: "SNIP, then training"
            case .grasp: "GraSP, then training"
            case .synflow: "SynFlow, then training"
            case .random: "random + retraining"
            case .alternating: "BiP without the implicit term"
            case .masksFirst: "BiP without the implicit term, masks before weights"
            case .releasedTerm: "BiP, the released code's implicit term"
            case .gamma10: "BiP, γ = 10"
            case .gamma100: "BiP, γ = 100"
            case .sameBatches: "BiP, one batch for both levels"
            case .slowMasks: "BiP, a tenth of the scores' rate"
            case .layerScale: "BiP, scores over their layer's scale"
            }
        }

        static let fromInitialWeights: [Arm] = [.iterative, .iterativeRetraining]
        static let fromEarlyWeights: [Arm] = [.rewound, .rewoundRetraining]
        static let iterated = fromInitialWeights + fromEarlyWeights
        static let early: [Arm] = [.snip, .grasp, .synflow]
        static let compared: [Arm] = [.bilevel, .learnedScores, .magnitude] + iterated + early + [.random]
        static let ablations: [Arm] = [
            .alternating, .masksFirst, .releasedTerm, .gamma10, .gamma100, .sameBatches, .slowMasks, .layerScale,
        ]
    }

    /// The part kept at which ablations and costs are measured.
    package static let middle = 0.02

    /// Test accuracies of the dense networks.
    package var dense: [Double]
    /// By the part of weights kept.
    package var accuracies: ArmAccuracies<Arm>
    /// Batches that went forwards and backwards until an arm had pruned to ``middle``.
    package var passes: [Arm: Int]
    /// Weights that entered the mask over a run at ``middle``, as a part of those kept: the mean over seeds.
    package var swaps: [Arm: Double]
    /// Whole filters; nil where they were not measured.
    package var filters: FilterComparison?
    /// At ``middle``, of the first seed.
    var losses: [LossCurve] = []

    package init(
        dense: [Double], accuracies: ArmAccuracies<Arm>, passes: [Arm: Int], swaps: [Arm: Double] = [:],
        filters: FilterComparison? = nil
    ) {
        self.filters = filters
        self.dense = dense
        self.accuracies = accuracies
        self.passes = passes
        self.swaps = swaps
    }

    init(
        _ study: ImageStudy, filters: ImageStudy, size: BilevelPruningExperiment.Size, seeds: [UInt64],
        progress: any ProgressReporter
    ) throws {
        progress.begin("dense networks", total: seeds.count, unit: "networks")
        let trained = try Dense.trained(study, seeds: seeds)
        progress.end("done")

        let kept = BilevelPruningExperiment.Size.kept
        // The longest first.
        var arms = Arm.iterated.map { (arm: $0, kept: kept) }
        for arm in Arm.compared where !Arm.iterated.contains(arm) { for part in kept { arms.append((arm, [part])) } }
        for arm in Arm.ablations { arms.append((arm, [Self.middle])) }
        let jobs = arms.flatMap { own in
            trained.map { PruningJob(study: study, size: size, dense: $0, arm: own.arm, kept: own.kept) }
        }
        progress.begin("arms", total: jobs.count, unit: "runs")
        let finished = Mutex(0)
        let outcomes = try sideBySide(jobs) { job in
            let found = try job.run()
            finished.withLock { count in
                count += 1
                progress.report("seed \(job.dense.seed): \(found.map(\.description).joined(separator: "; "))")
                progress.advance(to: count, note: job.arm.name)
            }
            return found
        }
        progress.end("done")

        dense = trained.map(\.accuracy)
        (accuracies, passes, swaps) = (ArmAccuracies(), [:], [:])
        // In the order of jobs, so of seeds.
        for outcome in outcomes.joined() {
            accuracies.add(outcome.accuracy, of: outcome.arm, at: outcome.kept)
            guard outcome.kept == Self.middle else { continue }
            if passes[outcome.arm] == nil, let own = outcome.losses { losses.append(own) }
            passes[outcome.arm] = outcome.passes
            if let own = outcome.swaps { swaps[outcome.arm, default: 0] += own / Double(seeds.count) }
        }
        self.filters = try FilterComparison(filters, size: size, seeds: seeds, progress: progress)
    }

    /// A trained network that arms start from.
    struct Dense: Sendable {
        var seed: UInt64
        var weights: Snapshot
        var accuracy: Double

        static func trained(_ study: ImageStudy, seeds: [UInt64]) throws -> [Dense] {
            try sideBySide(seeds) { seed in
                let network = try study.trained(seed: seed)
                return Dense(seed: seed, weights: Snapshot(of: network), accuracy: study.accuracy(of: network))
            }
        }
    }

    /// What an arm reached at one part kept.
    struct Outcome: Sendable, CustomStringConvertible {
        var arm: Arm
        var kept: Double
        var accuracy: Double
        var passes: Int
        var swaps: Double?
        /// Of the training that makes it, that of masks of frozen weights left out.
        var losses: LossCurve?

        var description: String {
            "\(arm.name), \(MarkupText.percent(kept, places: 0)) kept: \(MarkupText.percent(accuracy, places: 2))"
        }
    }
}
