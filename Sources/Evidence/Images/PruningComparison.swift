import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Trained networks that are pruned in several ways, with the same training after it for all.
package struct PruningComparison: Sendable {
    /// A way to prune.
    struct Arm: Sendable {
        /// Stable, for tables and claims.
        var name: String
        var criterion: any NetworkCriterion = .magnitude
        /// In how many rounds that take scores anew weights go at once.
        var rounds = 1
        var allocation: any Allocation
        var timing = Timing.afterTraining
        /// Chooses and lets kept weights make up for removed ones, instead of ``criterion`` and ``allocation``.
        var surgeon: SurgeonPruning?
    }

    /// When weights go, and what is trained then.
    enum Timing: Sendable, Hashable {
        /// At once from the trained network, which is trained on.
        case afterTraining
        /// From the trained network while it is trained on, by a cubic ramp through the first half.
        case gradual
        /// At once from the initial weights; what is left is trained as long as the others in all.
        case beforeTraining
        /// The same, and connections move through three quarters of that training.
        case moving(DynamicSparseTraining.Growth)

        var isOfTrained: Bool { self == .afterTraining || self == .gradual }
    }

    /// One network, pruned.
    package struct Outcome: Sendable {
        var arm: String
        var sparsity: Double
        var seed: UInt64
        /// Test accuracy right after pruning a trained network at once; that of the dense network for a gradual arm, NaN where
        /// it is not measured.
        var accuracyWhenPruned: Double
        /// Test accuracy after training.
        var accuracy: Double
        /// Weights kept of each layer.
        var kept: [Int]
        /// Of the training after (or, of a gradual arm, during) pruning.
        var losses: LossCurve

        package init(
            arm: String, sparsity: Double, seed: UInt64, accuracyWhenPruned: Double = .nan, accuracy: Double,
            kept: [Int] = [], losses: LossCurve
        ) {
            (self.arm, self.sparsity, self.seed) = (arm, sparsity, seed)
            (self.accuracyWhenPruned, self.accuracy) = (accuracyWhenPruned, accuracy)
            self.kept = kept
            self.losses = losses
        }

        /// Layers that lost everything.
        var emptiedCount: Int { kept.count { $0 == 0 } }
    }

    /// A trained network to prune, of a seed.
    package struct Dense: Sendable {
        var seed: UInt64
        var weights: Snapshot
        var accuracy: Double

        package init(seed: UInt64, weights: Snapshot, accuracy: Double) {
            (self.seed, self.weights, self.accuracy) = (seed, weights, accuracy)
        }
    }

    var study: ImageStudy
    /// Epochs of training after pruning.
    var epochs: Double
    var peakRate: Double
    /// Whether networks are measured right after pruning, too.
    var measuresPruned = true

    /// Trains the networks of some seeds.
    func denses(_ seeds: [UInt64]) throws -> [Dense] {
        try sideBySide(seeds) { seed in
            let network = try study.trained(seed: seed)
            return Dense(seed: seed, weights: Snapshot(of: network), accuracy: study.accuracy(of: network))
        }
    }

    /// Prunes a network in an arm's way and trains what is left.
    func outcome(_ arm: Arm, at sparsity: Double, of dense: Dense) throws -> Outcome {
        let network = study.makeNetwork(seed: dense.seed)
        if arm.timing.isOfTrained { dense.weights.restore(network) }
        let prunable = try PrunableNetwork(network)
        let training =
            arm.timing.isOfTrained
            ? study.supervision(epochs: epochs, peakRate: peakRate) : study.supervision(epochs: totalEpochs)
        let batches = study.batches(seed: arm.timing.isOfTrained ? dense.seed &+ 1 : dense.seed)
        let steps = training.rates.totalSteps
        var accuracyWhenPruned = dense.accuracy
        let hook: any TrainingHook
        if arm.timing == .gradual {
            hook = try gradualPruning(arm, of: prunable, to: sparsity, steps: steps, on: batches)
        } else {
            try remove(by: arm, from: prunable, to: sparsity, on: batches)
            let isMeasured = measuresPruned && arm.timing.isOfTrained
            accuracyWhenPruned = isMeasured ? study.accuracy(of: network) : .nan
            if case .moving(let growth) = arm.timing {
                // Every 100 steps as published; more often in short trainings, where nothing would move otherwise.
                hook = DynamicSparseTraining(
                    prunable, growth: growth, interval: min(100, max(1, steps / 12)), lastStep: steps * 3 / 4)
            } else {
                hook = MaskedTraining(prunable)
            }
        }
        var losses = LossCurve(arm.name, steps: steps)
        try training.run(network, on: batches, hooks: [hook]) { losses.add($1, at: $0) }
        return Outcome(
            arm: arm.name, sparsity: sparsity, seed: dense.seed, accuracyWhenPruned: accuracyWhenPruned,
            accuracy: study.accuracy(of: network), kept: prunable.masks.map(\.keptCount), losses: losses)
    }

    /// Epochs of a dense network's training and of that after pruning.
    var totalEpochs: Double { Double(study.epochs) + epochs }

    private func remove(
        by arm: Arm, from prunable: PrunableNetwork, to sparsity: Double, on batches: ImageBatches
    ) throws {
        if let surgeon = arm.surgeon {
            try surgeon.prune(prunable, to: sparsity, batches: sampled(by: surgeon, from: batches, at: 0))
        } else {
            try prunable.prune(
                by: arm.criterion, allocation: arm.allocation, to: sparsity, rounds: arm.rounds,
                batches: arm.criterion.needsData ? study.scoredBatches(batches) : [])
        }
    }

    private func gradualPruning(
        _ arm: Arm, of prunable: PrunableNetwork, to sparsity: Double, steps: Int, on batches: ImageBatches
    ) throws -> GradualPruning {
        let ramp = try RampSchedule(to: sparsity, begin: 0, end: max(1, steps / 2), interval: max(1, steps / 50))
        guard let surgeon = arm.surgeon else {
            return GradualPruning(
                prunable, schedule: ramp, criterion: arm.criterion, allocation: arm.allocation,
                batches: { _ in study.scoredBatches(batches) })
        }
        return GradualPruning(prunable, schedule: ramp, surgeon: surgeon) {
            sampled(by: surgeon, from: batches, at: $0)
        }
    }

    /// The batches from a step on that a surgeon's gradients are taken of.
    private func sampled(by surgeon: SurgeonPruning, from batches: ImageBatches, at step: Int) -> [LabeledBatch] {
        let sampling = surgeon.criterion.sampling
        let count = (sampling.count * sampling.batchSize + study.batchSize - 1) / study.batchSize
        return (step..<step + count).map { batches.batch(at: $0) }
    }

    /// An outcome or several that belong together, to be found side by side with others.
    typealias Run = @Sendable () throws -> [Outcome]

    /// Each arm at each sparsity from each network.
    ///
    /// - Parameter arms: of a network's seed.
    func runs(_ arms: (_ seed: UInt64) -> [Arm], at sparsities: [Double], of denses: [Dense]) -> [Run] {
        sparsities.flatMap { sparsity in
            denses.flatMap { dense in
                arms(dense.seed).map { arm -> Run in { [try outcome(arm, at: sparsity, of: dense)] } }
            }
        }
    }

    /// What runs find, on as many threads as there are.
    static func outcomes(of runs: [Run], progress: any ProgressReporter) throws -> [Outcome] {
        try sideBySide(runs) { run in
            let outcomes = try run()
            for own in outcomes {
                progress.report(
                    "\(own.arm) at \(MarkupText.percent(own.sparsity)), seed \(own.seed): "
                        + MarkupText.percent(own.accuracy))
            }
            return outcomes
        }.flatMap { $0 }
    }

    /// Each arm at each sparsity from each network, on as many threads as there are.
    ///
    /// - Parameter arms: of a network's seed.
    func outcomes(
        _ arms: (_ seed: UInt64) -> [Arm], at sparsities: [Double], of denses: [Dense], progress: any ProgressReporter
    ) throws -> [Outcome] {
        try Self.outcomes(of: runs(arms, at: sparsities, of: denses), progress: progress)
    }
}

extension ImageStudy {
    /// Normalizes images as trained weights expect it.
    mutating func normalize(as normalization: ImageNormalization) {
        training.normalization = normalization
        test.normalization = normalization
    }

    /// The first images of a set, normalized, in batches of at most 250.
    func inputs(of images: ImageDataSet, count: Int) -> [Tensor] {
        images.subset(Array(0..<min(count, images.count))).batches(of: 250).map(\.inputs)
    }
}

extension [PruningComparison.Outcome] {
    /// Test accuracies of an arm at a sparsity, one for each seed.
    func accuracies(_ arm: String, at sparsity: Double) -> SeedStatistics {
        SeedStatistics(filter { $0.arm == arm && $0.sparsity == sparsity }.map(\.accuracy))
    }

    /// The best mean accuracy of some arms at a sparsity.
    func best(of arms: [String], at sparsity: Double) -> Double {
        arms.map { accuracies($0, at: sparsity).mean }.max() ?? .nan
    }

    /// Accuracies of arms (rows) by sparsity (columns), in percent with their deviations; nothing where an arm was not
    /// measured.
    ///
    /// - Parameter accuracy: which.
    func table(
        _ title: String, arms: [String], sparsities: [Double], of accuracy: (Element) -> Double = \.accuracy
    ) -> ExperimentReport.Table {
        let rows = arms.map { arm in
            [arm]
                + sparsities.map { sparsity -> String in
                    let own = filter { $0.arm == arm && $0.sparsity == sparsity }
                    return own.isEmpty ? "" : SeedStatistics(own.map(accuracy)).percent
                }
        }
        return .init(
            title: title,
            HTMLTable(
                head: [""] + sparsities.map { MarkupText.percent($0) }, rows: rows,
                numericColumns: Set(1..<(sparsities.count + 1))))
    }

    /// The numbers behind a report.
    var json: JSON {
        .array(
            map { own in
                .object([
                    "arm": .string(own.arm), "sparsity": .number(own.sparsity),
                    "seed": .integer(Int(clamping: own.seed)), "accuracy": .number(own.accuracy),
                    "accuracy_when_pruned": .number(own.accuracyWhenPruned),
                    "kept": .array(own.kept.map { .integer($0) }),
                ])
            })
    }
}
