import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Synchronization

/// How curvatures prune, train and compute, seed by seed.
package struct MFACMeasurement: Sendable {
    /// A way to prune once, without training.
    package enum Arm: String, Sendable, Hashable, CaseIterable {
        case magnitude, diagonal, blocks, whole
        /// The whole matrix with fewer gradients, without the update of kept weights, and in one step.
        case fewGradients, withoutUpdate, once

        var name: String {
            switch self {
            case .magnitude: "magnitude"
            case .diagonal: "diagonal Fisher matrix (OBD)"
            case .blocks: "blocks of 128 (WoodFisher)"
            case .whole: "whole Fisher matrix (M-FAC)"
            case .fewGradients: "M-FAC, a quarter of the gradients"
            case .withoutUpdate: "M-FAC, kept weights not updated"
            case .once: "M-FAC, one recomputation"
            }
        }
    }

    /// What one epoch is trained with.
    package enum Descent: String, Sendable, Hashable, CaseIterable {
        case sgd = "SGD", adamW = "AdamW", mfac = "M-FAC"

        /// Rates that are tried.
        package var rates: [Double] {
            switch self {
            case .sgd: [0.01, 0.03, 0.1, 0.3]
            case .adamW: [3e-4, 1e-3, 3e-3, 1e-2]
            case .mfac: [1e-4, 3e-4, 1e-3, 3e-3]
            }
        }
    }

    /// Test accuracies of the dense networks.
    package var dense: [Double]
    /// By sparsity.
    package var accuracies: ArmAccuracies<Arm>
    /// Losses in nats over the last tenth of an epoch, by rate; NaN where training diverged.
    package var losses: ArmAccuracies<Descent>
    package var exactness: InverseExactness

    package init(
        dense: [Double], accuracies: ArmAccuracies<Arm>, losses: ArmAccuracies<Descent>, exactness: InverseExactness
    ) {
        self.dense = dense
        self.accuracies = accuracies
        self.losses = losses
        self.exactness = exactness
    }

    /// The rate with the least mean loss, and that loss; nil where no run kept a finite one.
    package func best(_ descent: Descent) -> (rate: Double, loss: Double)? {
        descent.rates.map { (rate: $0, loss: losses.mean(descent, at: $0)) }.filter(\.loss.isFinite)
            .min { $0.loss < $1.loss }
    }

    init(_ study: ImageStudy, size: MFACExperiment.Size, seeds: [UInt64], progress: any ProgressReporter) throws {
        exactness = try InverseExactness(seed: seeds[0], dampening: 1e-5)
        progress.begin("dense networks", total: seeds.count, unit: "networks")
        let trained = try sideBySide(seeds) { seed in
            let network = try study.trained(seed: seed)
            return CurvatureTrial(
                study: study, size: size, seed: seed, weights: Snapshot(of: network),
                accuracy: study.accuracy(of: network))
        }
        progress.end("done")

        // The longest first.
        let arms: [Arm] = [.whole, .blocks, .withoutUpdate, .diagonal, .fewGradients, .once, .magnitude]
        let pruning = arms.flatMap { arm in
            MFACExperiment.Size.sparsities.flatMap { sparsity in
                trained.map { Job(trial: $0, work: .prune(arm, sparsity)) }
            }
        }
        let training = [Descent.mfac, .adamW, .sgd].flatMap { descent in
            descent.rates.flatMap { rate in trained.map { Job(trial: $0, work: .train(descent, rate)) } }
        }
        let jobs = pruning + training
        progress.begin("runs", total: jobs.count, unit: "runs")
        let finished = Mutex(0)
        let results = try sideBySide(jobs) { job in
            let result = try job.run()
            finished.withLock { count in
                count += 1
                progress.report("seed \(job.trial.seed), \(job.name): \(MarkupText.number(result))")
                progress.advance(to: count, note: job.name)
            }
            return result
        }
        progress.end("done")

        dense = trained.map(\.accuracy)
        (accuracies, losses) = (ArmAccuracies(), ArmAccuracies())
        for (job, result) in zip(jobs, results) {
            switch job.work {
            case .prune(let arm, let sparsity): accuracies.add(result, of: arm, at: sparsity)
            case .train(let descent, let rate): losses.add(result, of: descent, at: rate)
            }
        }
    }

    private struct Job: Sendable {
        enum Work: Sendable {
            case prune(Arm, Double)
            case train(Descent, Double)
        }

        var trial: CurvatureTrial
        var work: Work

        func run() throws -> Double {
            switch work {
            case .prune(let arm, let sparsity): try trial.prune(arm, to: sparsity)
            case .train(let descent, let rate): try trial.train(descent, rate: rate)
            }
        }

        var name: String {
            switch work {
            case .prune(let arm, let sparsity): "\(arm.name), \(MarkupText.percent(sparsity, places: 0))"
            case .train(let descent, let rate): "\(descent.rawValue) at \(MarkupText.number(rate))"
            }
        }
    }
}
