import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Synchronization

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
        /// The same by SNIP, as many as its ticket lacks.
        case filtersBySNIP = "filters-by-snip"
        /// No choice: the usual network with so many blocks less, where there is one.
        case shallower
        /// Blocks that GraSP names in the trained network; what is left is trained again from the first weights, from
        /// those of an early epoch, or from others.
        case rewoundToStart = "rewound-to-start"
        case rewound
        case reinitialized
        /// Blocks that another criterion names in the trained network; what is left is trained again from the first
        /// weights. Drawn at random, they are a second draw of those of ``random``.
        case rewoundByKL = "rewound-kl"
        case rewoundByCKA = "rewound-cka"
        case rewoundByL1 = "rewound-l1"
        case rewoundAtRandom = "rewound-random"
        /// The blocks of GraSP's ticket go from the trained network, which is not trained any more.
        case afterTraining = "after-training"
        /// The same layers go from the trained network without shortcuts.
        case plainAfterTraining = "plain-after-training"

        /// Whether what is left is trained.
        var isTrained: Bool { self != .afterTraining && self != .plainAfterTraining }
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
    /// The epoch that ``Arm/rewound`` goes back to.
    var rewindEpoch: Int
    var denseAccuracies: [Double]
    /// Of the trained networks without shortcuts.
    var plainAccuracies: [Double]
    var runs: [Run]
    /// Of each seed, the stages of the blocks that L1 removes from the trained network, at the largest count.
    var normVictims: [[Int]]
    /// Of the first seed's dense network.
    var denseLosses: LossCurve?

    /// What was measured elsewhere.
    package init(
        removable: [String], counts: [Int], seeds: [UInt64], rewindEpoch: Int = 1, denseAccuracies: [Double],
        plainAccuracies: [Double], runs: [Run], normVictims: [[Int]]
    ) {
        self.removable = removable
        self.counts = counts
        self.seeds = seeds
        self.rewindEpoch = rewindEpoch
        self.denseAccuracies = denseAccuracies
        self.plainAccuracies = plainAccuracies
        self.runs = runs
        self.normVictims = normVictims
    }

    init(_ study: ImageStudy, counts: [Int], seeds: [UInt64], progress: any ProgressReporter) throws {
        let blocks = try BlockRemoval.blocks(of: study.architecture).filter(RemovableBlocks.shape.contains)
        let counts = counts.filter { $0 <= blocks.count }
        let rewindEpoch = max(1, study.epochs / 4)
        self.init(
            removable: blocks.map(\.name), counts: counts, seeds: seeds, rewindEpoch: rewindEpoch, denseAccuracies: [],
            plainAccuracies: [], runs: [], normVictims: [])
        let wholes = seeds.flatMap { seed in
            [false, true].map { LayerLotteryTrial(study: study, seed: seed, rewindEpoch: rewindEpoch, isPlain: $0) }
        }
        let jobs = seeds.indices.flatMap { index in
            Arm.allCases.flatMap { arm in blockCounts(of: arm).map { Job(seed: index, arm: arm, count: $0) } }
        }
        progress.begin("layer lottery", total: wholes.count + jobs.count, unit: "networks")
        let finished = Mutex(0)
        @Sendable func advance(_ note: String, _ accuracy: Double) {
            finished.withLock { done in
                done += 1
                progress.advance(to: done, note: "\(note): \(MarkupText.percent(accuracy))")
            }
        }
        let trained = try sideBySide(wholes) { trial -> LayerLotteryTrial.Whole in
            let whole = try trial.whole()
            advance(trial.isPlain ? "plain" : "dense", whole.accuracy)
            return whole
        }
        for (trial, whole) in zip(wholes, trained) {
            if trial.isPlain {
                plainAccuracies.append(whole.accuracy)
            } else {
                denseAccuracies.append(whole.accuracy)
                normVictims.append(try trial.normVictims(whole, count: counts.max() ?? 1).map(\.stage))
            }
        }
        denseLosses = trained.first?.losses
        runs = try sideBySide(jobs) { job -> Run? in
            let dense = trained[2 * job.seed]
            let run = try wholes[2 * job.seed].run(job.arm, job.count, dense: dense, plain: trained[2 * job.seed + 1])
            if let run { advance("\(job.arm.rawValue) \(job.count)", run.accuracy) }
            return run
        }.compactMap { $0 }
        progress.end("done")
    }

    private struct Job: Sendable {
        /// Its place.
        var seed: Int
        var arm: Arm
        var count: Int
    }

    /// How many blocks go. GraSP also removes all that may go.
    private func blockCounts(of arm: Arm) -> [Int] {
        let most = counts.max() ?? 1
        switch arm {
        case .grasp: return counts + (most < removable.count ? [removable.count] : [])
        case .filters, .filtersByCount, .filtersBySNIP: return ends
        case .rewoundToStart, .rewound, .reinitialized, .rewoundByKL, .rewoundByCKA, .rewoundByL1, .rewoundAtRandom:
            return [most]
        case .snip, .random, .shallower, .afterTraining, .plainAfterTraining: return counts
        }
    }

    /// The fewest and the most blocks.
    var ends: [Int] { Set([counts.min() ?? 1, counts.max() ?? 1]).sorted() }

    func statistics(_ arm: Arm, _ count: Int) -> SeedStatistics {
        SeedStatistics(runs.filter { $0.arm == arm && $0.count == count }.map(\.accuracy))
    }

    /// Mean accuracy over seeds; NaN where the arm was not run.
    func accuracy(_ arm: Arm, _ count: Int) -> Double { statistics(arm, count).mean }

    var denseAccuracy: Double { SeedStatistics(denseAccuracies).mean }
    var plainAccuracy: Double { SeedStatistics(plainAccuracies).mean }
}
