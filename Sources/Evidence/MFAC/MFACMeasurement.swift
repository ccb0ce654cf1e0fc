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

    /// What networks are trained with.
    package enum Descent: String, Sendable, Hashable, CaseIterable {
        case sgd = "SGD", adamW = "AdamW", mfac = "M-FAC"

        func optimizer(window: Int) -> any Optimizer {
            switch self {
            case .sgd: SGD(momentum: 0.9)
            case .adamW: AdamW(weightDecay: 0)
            case .mfac: MFAC(window: window, momentum: 0.9)
            }
        }

        /// Rates that are tried; none of AdamW on the residual network, nor of SGD on the encoder.
        package func rates(of trained: Trained) -> [Double] {
            switch (self, trained) {
            case (.sgd, .perceptron): [0.01, 0.03, 0.1, 0.3]
            case (.adamW, .perceptron): [3e-4, 1e-3, 3e-3, 1e-2]
            case (.mfac, .perceptron): [1e-3, 3e-3, 1e-2, 3e-2]
            case (.sgd, .residual): [0.01, 0.03, 0.1]
            case (.adamW, .residual): []
            case (.mfac, .residual): [3e-3, 1e-2, 3e-2]
            case (.sgd, .encoder): []
            case (.adamW, .encoder): [2e-4, 5e-4, 1e-3, 2e-3]
            case (.mfac, .encoder): [1e-3, 3e-3, 1e-2, 3e-2]
            }
        }
    }

    /// What optimizers train: a perceptron, a residual network with batch norm, and a pre-trained encoder that is
    /// fine-tuned.
    package enum Trained: Sendable, Hashable, CaseIterable {
        case perceptron, residual, encoder
    }

    /// Ways to prune while training: by a curvature with the others making up for what goes, by magnitude, at random.
    package static let gradualArms = ["M-FAC, gradual", "GMP", "random, gradual"]

    /// A training at the best of an optimizer's rates.
    package struct Best: Sendable, Hashable {
        package var rate: Double
        /// The mean over the last tenth of the steps, in nats.
        package var loss: Double
        /// The mean over all steps.
        package var meanLoss: Double
        /// Mean test accuracy.
        package var accuracy: Double
    }

    /// Test accuracies of the dense networks.
    package var dense: [Double]
    /// By sparsity.
    package var accuracies: ArmAccuracies<Arm>
    /// Losses in nats over the last tenth of the steps, by rate; NaN where training diverged.
    package var losses: [Trained: ArmAccuracies<Descent>]
    /// The same over all steps.
    package var meanLosses: [Trained: ArmAccuracies<Descent>]
    /// Test accuracies after these trainings.
    package var tests: [Trained: ArmAccuracies<Descent>]
    /// Pruned while training.
    package var gradual: [PruningComparison.Outcome]
    /// By step at the best rates, means over seeds.
    var curves: [Trained: [LossCurve]] = [:]
    package var exactness: InverseExactness

    package init(
        dense: [Double], accuracies: ArmAccuracies<Arm>, losses: [Trained: ArmAccuracies<Descent>],
        meanLosses: [Trained: ArmAccuracies<Descent>], tests: [Trained: ArmAccuracies<Descent>] = [:],
        gradual: [PruningComparison.Outcome] = [], exactness: InverseExactness
    ) {
        self.dense = dense
        self.accuracies = accuracies
        self.losses = losses
        self.meanLosses = meanLosses
        self.tests = tests
        self.gradual = gradual
        self.exactness = exactness
    }

    /// The rate with the least mean loss at the end; nil where no run kept a finite one.
    package func best(_ trained: Trained, _ descent: Descent) -> Best? {
        descent.rates(of: trained).map { rate in
            Best(
                rate: rate, loss: losses[trained]?.mean(descent, at: rate) ?? .nan,
                meanLoss: meanLosses[trained]?.mean(descent, at: rate) ?? .nan,
                accuracy: tests[trained]?.mean(descent, at: rate) ?? .nan)
        }.filter(\.loss.isFinite).min { $0.loss < $1.loss }
    }

    init(
        _ study: ImageStudy, residual: ImageStudy, texts: LetterTexts?, size: MFACExperiment.Size, seeds: [UInt64],
        progress: any ProgressReporter
    ) throws {
        exactness = try InverseExactness(seed: seeds[0], dampening: 1e-5)
        progress.begin("dense networks", total: seeds.count, unit: "networks")
        let trained = try sideBySide(seeds) { seed in
            let network = try study.trained(seed: seed)
            return CurvatureTrial(
                study: study, size: size, seed: seed, weights: Snapshot(of: network),
                accuracy: study.accuracy(of: network))
        }
        progress.end("done")
        gradual = try Self.gradual(study, of: trained, size: size, progress: progress)
        let encoders = try texts.map { texts in
            progress.report("encoders, pre-trained")
            return try sideBySide(seeds) {
                try TuningTrial(texts, size: size.encoder, window: size.window, seed: $0)
            }
        }

        // The longest first.
        let arms: [Arm] = [.whole, .blocks, .withoutUpdate, .diagonal, .fewGradients, .once, .magnitude]
        let pruning = arms.flatMap { arm in
            MFACExperiment.Size.sparsities.flatMap { sparsity in
                trained.map { Job(seed: $0.seed, work: .prune($0, arm, sparsity)) }
            }
        }
        var epoch = study
        (epoch.epochs, epoch.rateKind) = (1, .constant)
        func training(_ trained: Trained, _ study: ImageStudy) -> [Job] {
            [Descent.mfac, .adamW, .sgd].flatMap { descent in
                descent.rates(of: trained).flatMap { rate in
                    seeds.map { seed in
                        let trial = DescentTrial(study: study, window: size.window, seed: seed)
                        return Job(seed: seed, work: .train(trial, trained, descent, rate))
                    }
                }
            }
        }
        let tuning = [Descent.mfac, .adamW].flatMap { descent in
            descent.rates(of: .encoder).flatMap { rate in
                (encoders ?? []).map { Job(seed: $0.seed, work: .tune($0, descent, rate)) }
            }
        }
        let jobs = training(.residual, residual) + pruning + training(.perceptron, epoch) + tuning
        progress.begin("runs", total: jobs.count, unit: "runs")
        let finished = Mutex(0)
        let results = try sideBySide(jobs) { job in
            let result = try job.run()
            finished.withLock { count in
                count += 1
                progress.report("seed \(job.seed), \(job.name): \(MarkupText.number(result.value))")
                progress.advance(to: count, note: job.name)
            }
            return result
        }
        progress.end("done")

        dense = trained.map(\.accuracy)
        (accuracies, losses, meanLosses, tests) = (ArmAccuracies(), [:], [:], [:])
        for (job, result) in zip(jobs, results) {
            if case .prune(_, let arm, let sparsity) = job.work { accuracies.add(result.value, of: arm, at: sparsity) }
            guard let (trained, descent, rate) = job.descent else { continue }
            losses[trained, default: ArmAccuracies()].add(result.value, of: descent, at: rate)
            meanLosses[trained, default: ArmAccuracies()].add(
                Descended.meanLoss(result.losses), of: descent, at: rate)
            tests[trained, default: ArmAccuracies()].add(result.accuracy, of: descent, at: rate)
        }
        for trained in Trained.allCases {
            curves[trained] = Descent.allCases.compactMap { descent in
                best(trained, descent).map { Self.curve(trained, descent, at: $0.rate, of: zip(jobs, results)) }
            }
        }
    }

    /// Prunes the trained networks while they train on, in each of ``gradualArms``.
    private static func gradual(
        _ study: ImageStudy, of trained: [CurvatureTrial], size: MFACExperiment.Size, progress: any ProgressReporter
    ) throws -> [PruningComparison.Outcome] {
        let comparison = PruningComparison(study: study, epochs: size.gradualEpochs, peakRate: study.peakRate)
        let sampling = GradientSampling(count: size.gradients, batchSize: size.gradientBatch)
        let surgeon = SurgeonPruning(MFACCriterion(sampling: sampling), recomputations: 1)
        return try comparison.outcomes(
            { seed in
                [
                    .init(name: gradualArms[0], allocation: GlobalAllocation(), timing: .gradual, surgeon: surgeon),
                    .init(name: gradualArms[1], allocation: GlobalAllocation(), timing: .gradual),
                    .init(
                        name: gradualArms[2], criterion: .random(seed: seed), allocation: GlobalAllocation(),
                        timing: .gradual),
                ]
            }, at: MFACExperiment.Size.sparsities,
            of: trained.map { .init(seed: $0.seed, weights: $0.weights, accuracy: $0.accuracy) }, progress: progress)
    }

    /// The losses of an optimizer's runs at a rate, averaged over seeds.
    private static func curve(
        _ trained: Trained, _ descent: Descent, at rate: Double, of runs: some Sequence<(Job, Result)>
    ) -> LossCurve {
        let losses = runs.compactMap { job, result -> [Double]? in
            guard let own = job.descent, own == (trained, descent, rate) else { return nil }
            return result.losses
        }
        let steps = losses.map(\.count).min() ?? 0
        var curve = LossCurve("\(descent.rawValue) at \(MarkupText.number(rate))", steps: steps)
        for step in 0..<steps {
            curve.add(losses.reduce(0) { $0 + $1[step] } / Double(losses.count), at: step)
        }
        return curve
    }

    /// An accuracy, or the loss at the end of a training, those of all its steps and the accuracy after it.
    private struct Result: Sendable {
        var value: Double
        var losses: [Double] = []
        var accuracy = Double.nan

        init(value: Double) { self.value = value }

        init(_ descended: Descended) {
            value = Descended.endLoss(descended.losses)
            (losses, accuracy) = (descended.losses, descended.accuracy)
        }
    }

    private struct Job: Sendable {
        enum Work: Sendable {
            case prune(CurvatureTrial, Arm, Double)
            case train(DescentTrial, Trained, Descent, Double)
            case tune(TuningTrial, Descent, Double)
        }

        var seed: UInt64
        var work: Work

        func run() throws -> Result {
            switch work {
            case .prune(let trial, let arm, let sparsity): return Result(value: try trial.prune(arm, to: sparsity))
            case .train(let trial, _, let descent, let rate): return Result(try trial.train(descent, rate: rate))
            case .tune(let trial, let descent, let rate): return Result(try trial.tune(descent, rate: rate))
            }
        }

        /// Of a training: what is trained, by what, at which rate.
        var descent: (Trained, Descent, Double)? {
            switch work {
            case .prune: nil
            case .train(_, let trained, let descent, let rate): (trained, descent, rate)
            case .tune(_, let descent, let rate): (.encoder, descent, rate)
            }
        }

        var name: String {
            switch work {
            case .prune(_, let arm, let sparsity): "\(arm.name), \(MarkupText.percent(sparsity, places: 0))"
            case .train(let trial, _, let descent, let rate):
                "\(trial.study.architecture.description), \(descent.rawValue) at \(MarkupText.number(rate))"
            case .tune(_, let descent, let rate): "encoder, \(descent.rawValue) at \(MarkupText.number(rate))"
            }
        }
    }
}
