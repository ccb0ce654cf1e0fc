import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Synchronization

/// What masks of trained networks reach, seed by seed.
package struct LotteryJackpotsMeasurement: Sendable {
    /// A way to a sparse network.
    package enum Arm: String, Sendable, Hashable, CaseIterable {
        /// The magnitude mask as it is, and with the statistics of norms renewed under it.
        case magnitude, recalibrated
        /// The mask searched from it, after the first epoch and at the end; with all swaps made.
        case firstEpoch, jackpot, unrestricted
        /// Searched from random scores for three times as long, after the first epoch and at the end.
        case randomFirstEpoch, randomStart
        /// The weights trained under the magnitude mask.
        case fineTuned
        /// Masks of other criteria as they are.
        case snip, random
        /// The weights trained while sparsity rises: by magnitude, and by movement.
        case gradual, movement

        var name: String {
            switch self {
            case .magnitude: "magnitude mask, nothing trained"
            case .recalibrated: "magnitude mask, statistics of norms renewed"
            case .firstEpoch: "jackpot after its first epoch"
            case .jackpot: "jackpot"
            case .unrestricted: "jackpot, all swaps made"
            case .randomFirstEpoch: "from random scores, first epoch"
            case .randomStart: "from random scores, three times as long"
            case .fineTuned: "magnitude mask, weights trained"
            case .snip: "SNIP mask, nothing trained"
            case .random: "random mask, nothing trained"
            case .gradual: "gradual magnitude pruning, weights trained"
            case .movement: "movement pruning, weights trained"
            }
        }
    }

    /// Which masks a jackpot's is compared with; all keep as many weights of each layer.
    package enum Reference: String, Sendable, Hashable, CaseIterable {
        case magnitude, random
        case snip = "SNIP"
        case grasp = "GraSP"
        case taylor = "Taylor"
        case obd = "OBD"
    }

    /// Test accuracies of the dense networks.
    package var dense: [Double]
    /// By sparsity.
    package var accuracies: ArmAccuracies<Arm>
    /// The part of a jackpot's weights that a reference keeps too, as fractions, by sparsity.
    package var overlaps: ArmAccuracies<Reference>
    /// Kept weights of jackpots that differ from the trained ones, over all seeds and sparsities.
    package var changedWeights: Int
    /// Epochs of searches (from magnitude masks) whose mean loss was above that of the epoch before, over all seeds and
    /// sparsities: with fewer swaps towards the end, and with all.
    package var risingEpochs: (restricted: Int, unrestricted: Int)
    /// The sparsities of all weights, the last layer's included.
    package var wholeSparsities: [Double]
    /// The same of a residual network with batch norm: its dense networks' accuracies, and those of
    /// ``convolutionalArms`` at ``LotteryJackpots/Size/convolutionalSparsities``; empty where it was not measured.
    package var convolutionalDense: [Double] = []
    package var convolutional = ArmAccuracies<Arm>()
    package var convolutionalOverlaps = ArmAccuracies<Reference>()
    /// At the highest sparsity, of the first seed.
    var losses: [LossCurve] = []
    var convolutionalLosses: [LossCurve] = []

    package static let convolutionalArms: [Arm] = [
        .magnitude, .recalibrated, .firstEpoch, .jackpot, .unrestricted, .randomFirstEpoch, .randomStart, .fineTuned,
    ]

    package init(
        dense: [Double], accuracies: ArmAccuracies<Arm>, overlaps: ArmAccuracies<Reference>, changedWeights: Int = 0,
        risingEpochs: (restricted: Int, unrestricted: Int) = (0, 0), wholeSparsities: [Double] = []
    ) {
        self.dense = dense
        self.accuracies = accuracies
        self.overlaps = overlaps
        self.changedWeights = changedWeights
        self.risingEpochs = risingEpochs
        self.wholeSparsities = wholeSparsities
    }

    init(
        _ study: ImageStudy, convolutional: ImageStudy, size: LotteryJackpots.Size, seeds: [UInt64],
        progress: any ProgressReporter
    ) throws {
        let trained = try Self.trials(study, size: size, seeds: seeds, progress: progress)

        let sparsities = LotteryJackpots.Size.sparsities
        var jobs: [(trial: JackpotTrial, kind: JackpotTrial.Kind, sparsity: Double)] = []
        for kind in [JackpotTrial.Kind.randomStart, .restricted, .unrestricted, .fineTuned, .baselines] {
            for sparsity in sparsities where kind != .randomStart || sparsity == LotteryJackpots.Size.highest {
                for trial in trained { jobs.append((trial, kind, sparsity)) }
            }
        }
        progress.begin("searches", total: jobs.count, unit: "runs")
        let finished = Mutex(0)
        let outcomes = try sideBySide(jobs) { job in
            let found = try job.trial.run(job.kind, sparsity: job.sparsity)
            finished.withLock { count in
                count += 1
                progress.report("seed \(job.trial.seed), \(MarkupText.percent(job.sparsity, places: 0)): \(found)")
                progress.advance(to: count, note: job.kind.rawValue)
            }
            return found
        }
        progress.end("done")

        dense = trained.map(\.accuracy)
        (accuracies, overlaps, changedWeights, risingEpochs) = (ArmAccuracies(), ArmAccuracies(), 0, (0, 0))
        wholeSparsities = []
        for (job, outcome) in zip(jobs, outcomes) {
            for (arm, accuracy) in outcome.accuracies { accuracies.add(accuracy, of: arm, at: job.sparsity) }
            for (reference, overlap) in outcome.overlaps { overlaps.add(overlap, of: reference, at: job.sparsity) }
            changedWeights += outcome.changedWeights
            if job.kind == .restricted { risingEpochs.restricted += outcome.risingEpochs }
            if job.kind == .unrestricted { risingEpochs.unrestricted += outcome.risingEpochs }
            if job.trial.seed == seeds.first, job.sparsity == LotteryJackpots.Size.highest {
                losses += [outcome.losses].compactMap { $0 }
            }
        }
        wholeSparsities = sparsities.map { sparsity in
            zip(jobs, outcomes).first { $0.0.sparsity == sparsity }?.1.wholeSparsity ?? .nan
        }
        try measure(convolutional, size: size, seeds: seeds, progress: progress)
    }

    private static func trials(
        _ study: ImageStudy, size: LotteryJackpots.Size, seeds: [UInt64], progress: any ProgressReporter
    ) throws -> [JackpotTrial] {
        progress.begin("dense networks", total: seeds.count, unit: "networks")
        defer { progress.end("done") }
        return try sideBySide(seeds) { seed in
            let network = try study.trained(seed: seed)
            return JackpotTrial(
                study: study, size: size, seed: seed, weights: Snapshot(of: network),
                accuracy: study.accuracy(of: network))
        }
    }

    /// Searches and trainings of the residual network.
    private mutating func measure(
        _ study: ImageStudy, size: LotteryJackpots.Size, seeds: [UInt64], progress: any ProgressReporter
    ) throws {
        let trials = try Self.trials(study, size: size, seeds: seeds, progress: progress)
        convolutionalDense = trials.map(\.accuracy)
        let sparsities = LotteryJackpots.Size.convolutionalSparsities
        var jobs: [(trial: JackpotTrial, kind: JackpotTrial.Kind, sparsity: Double)] = []
        for kind in [JackpotTrial.Kind.randomStart, .restricted, .unrestricted, .fineTuned] {
            let isEverywhere = kind == .restricted || kind == .fineTuned
            let count = kind == .randomStart ? size.convolutionalRandomSeeds ?? trials.count : trials.count
            for sparsity in sparsities where isEverywhere || sparsity == LotteryJackpots.Size.highest {
                for trial in trials.prefix(count) { jobs.append((trial, kind, sparsity)) }
            }
        }
        let outcomes = try sideBySide(jobs) { job in
            let found = try job.trial.run(job.kind, sparsity: job.sparsity)
            progress.report(
                "residual network, seed \(job.trial.seed), \(MarkupText.percent(job.sparsity, places: 0)): \(found)")
            return found
        }
        for (job, outcome) in zip(jobs, outcomes) {
            for (arm, accuracy) in outcome.accuracies { convolutional.add(accuracy, of: arm, at: job.sparsity) }
            for (reference, overlap) in outcome.overlaps {
                convolutionalOverlaps.add(overlap, of: reference, at: job.sparsity)
            }
            changedWeights += outcome.changedWeights
            if job.trial.seed == seeds.first, job.sparsity == LotteryJackpots.Size.convolutionalSparsities.last {
                convolutionalLosses += [outcome.losses].compactMap { $0 }
            }
        }
    }
}
