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
        /// Whether sparsity rises by a cubic ramp through the first half of the training, instead of at once before it.
        var isGradual = false
        /// Chooses and lets kept weights make up for removed ones, instead of ``criterion`` and ``allocation``.
        var surgeon: SurgeonPruning?
    }

    /// One network, pruned.
    package struct Outcome: Sendable {
        var arm: String
        var sparsity: Double
        var seed: UInt64
        /// Test accuracy right after pruning; that of the dense network for a gradual arm, NaN where it is not measured.
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

    /// Prunes a trained network and trains what is left.
    func outcome(_ arm: Arm, at sparsity: Double, of dense: Dense) throws -> Outcome {
        let network = study.makeNetwork(seed: dense.seed)
        dense.weights.restore(network)
        let prunable = try PrunableNetwork(network)
        let training = study.supervision(epochs: epochs, peakRate: peakRate)
        let batches = study.batches(seed: dense.seed &+ 1)
        var accuracyWhenPruned = dense.accuracy
        var losses = LossCurve(arm.name, steps: training.rates.totalSteps)
        if arm.isGradual {
            let steps = training.rates.totalSteps
            let ramp = try RampSchedule(
                to: sparsity, begin: 0, end: max(1, steps / 2), interval: max(1, steps / 50))
            let pruning = GradualPruning(
                prunable, schedule: ramp, criterion: arm.criterion, allocation: arm.allocation)
            try training.run(network, on: batches, hooks: [pruning]) { losses.add($1, at: $0) }
        } else {
            if let surgeon = arm.surgeon {
                let sampling = surgeon.criterion.sampling
                let count = (sampling.count * sampling.batchSize + study.batchSize - 1) / study.batchSize
                try surgeon.prune(prunable, to: sparsity, batches: (0..<count).map { batches.batch(at: $0) })
            } else {
                try prunable.prune(
                    by: arm.criterion, allocation: arm.allocation, to: sparsity, rounds: arm.rounds,
                    batches: arm.criterion.needsData ? study.scoredBatches(batches) : [])
            }
            accuracyWhenPruned = measuresPruned ? study.accuracy(of: network) : .nan
            try training.run(network, on: batches, hooks: [MaskedTraining(prunable)]) { losses.add($1, at: $0) }
        }
        return Outcome(
            arm: arm.name, sparsity: sparsity, seed: dense.seed, accuracyWhenPruned: accuracyWhenPruned,
            accuracy: study.accuracy(of: network), kept: prunable.masks.map(\.keptCount), losses: losses)
    }

    /// Each arm at each sparsity from each network, on as many threads as there are.
    ///
    /// - Parameter arms: of a network's seed.
    func outcomes(
        _ arms: (_ seed: UInt64) -> [Arm], at sparsities: [Double], of denses: [Dense], progress: any ProgressReporter
    ) throws -> [Outcome] {
        let jobs = sparsities.flatMap { sparsity in
            denses.flatMap { dense in arms(dense.seed).map { (arm: $0, sparsity: sparsity, dense: dense) } }
        }
        return try sideBySide(jobs) { job in
            let outcome = try outcome(job.arm, at: job.sparsity, of: job.dense)
            progress.report(
                "\(outcome.arm) at \(MarkupText.percent(outcome.sparsity)), seed \(outcome.seed): "
                    + MarkupText.percent(outcome.accuracy))
            return outcome
        }
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

    /// Accuracies of arms (rows) by sparsity (columns), in percent with their deviations.
    ///
    /// - Parameter accuracy: which.
    func table(
        _ title: String, arms: [String], sparsities: [Double], of accuracy: (Element) -> Double = \.accuracy
    ) -> ExperimentReport.Table {
        let rows = arms.map { arm in
            [arm]
                + sparsities.map { sparsity in
                    SeedStatistics(filter { $0.arm == arm && $0.sparsity == sparsity }.map(accuracy)).percent
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
