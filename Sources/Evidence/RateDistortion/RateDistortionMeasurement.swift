import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation

/// What was measured for the experiment, seed by seed.
package struct RateDistortionMeasurement: Sendable {
    package typealias Outcome = PruningComparison.Outcome

    static let sparsities = [0.8, 0.9, 0.95]
    static let methods = ["RD", "global", "uniform", "ERK", "LAMP"]
    /// Arms that are shown beside these: the curves' split by prices, as a greedy search finds it, and the usual baselines.
    static let references = ["RD, Lagrangian", "uniform+", "random"]
    /// Arms whose curves are measured otherwise.
    static let variants = ["RD, worst image", "RD, noise"]

    /// A trained perceptron and its curves.
    package struct Trial: Sendable {
        var dense: PruningComparison.Dense
        /// By the mean over calibration images.
        var curves: [DistortionCurve]
        var worst: [DistortionCurve]
        /// By the mean over Gaussian noise.
        var noise: [DistortionCurve]
        /// The sum of the layers' distortions and that of the joint network, for random splits.
        package var splits: [(sum: Double, joint: Double)]
        /// Error of the joint network on test images, by arm and sparsity.
        package var distortions: [String: [Double: Double]]
        /// How far answers of other solvers are above the exact one, at 90 %.
        package var solverExcess: [String: Double]

        package init(
            dense: PruningComparison.Dense, curves: [DistortionCurve] = [], worst: [DistortionCurve] = [],
            noise: [DistortionCurve] = [], splits: [(sum: Double, joint: Double)],
            distortions: [String: [Double: Double]], solverExcess: [String: Double]
        ) {
            self.dense = dense
            (self.curves, self.worst, self.noise) = (curves, worst, noise)
            self.splits = splits
            self.distortions = distortions
            self.solverExcess = solverExcess
        }
    }

    package var trials: [Trial]
    package var outcomes: [Outcome]
    var residualAccuracy: Double?
    package var residual: [Outcome] = []
    /// The residual network's.
    var residualLayers: [PrunableWeight] = []

    package init(trials: [Trial], outcomes: [Outcome]) {
        self.trials = trials
        self.outcomes = outcomes
    }

    /// The arms of a network with its curves: ``methods`` and ``references``. The perceptron has no first convolution that
    /// uniform+ would keep.
    static func arms(_ curves: [DistortionCurve], seed: UInt64) -> [PruningComparison.Arm] {
        [
            .init(name: "RD", allocation: RateDistortionAllocation(curves)),
            .init(name: "global", allocation: GlobalAllocation()),
            .init(name: "uniform", allocation: UniformAllocation()),
            .init(name: "ERK", allocation: ErdosRenyiAllocation()),
            .init(name: "LAMP", allocation: LAMPAllocation()),
            .init(name: references[0], allocation: RateDistortionAllocation(curves, solver: .lagrangian)),
            .init(name: references[1], allocation: UniformPlusAllocation(keepsFirst: false)),
            .init(name: references[2], criterion: .random(seed: seed), allocation: GlobalAllocation()),
        ]
    }

    init(
        _ study: ImageStudy, _ setting: ExperimentSetting, size: RateDistortion.Size, progress: any ProgressReporter
    ) throws {
        let comparison = PruningComparison(study: study, epochs: size.epochsAfter, peakRate: study.peakRate)
        progress.begin("dense networks", total: setting.seeds.count, unit: "networks")
        let denses = try comparison.denses(setting.seeds)
        progress.end("")
        let trials = try denses.map { dense in
            try Self.trial(dense, comparison: comparison, size: size, progress: progress)
        }
        self.trials = trials
        let jobs = trials.flatMap { trial in
            Self.sparsities.flatMap { sparsity in
                (Self.arms(trial.curves, seed: trial.dense.seed) + [
                    .init(name: Self.variants[0], allocation: RateDistortionAllocation(trial.worst)),
                    .init(name: Self.variants[1], allocation: RateDistortionAllocation(trial.noise)),
                ]).map { (arm: $0, sparsity: sparsity, dense: trial.dense) }
            }
        }
        outcomes = try sideBySide(jobs) { job in
            let outcome = try comparison.outcome(job.arm, at: job.sparsity, of: job.dense)
            progress.report(
                "\(outcome.arm) at \(MarkupText.percent(outcome.sparsity)), seed \(outcome.seed): "
                    + MarkupText.percent(outcome.accuracy))
            return outcome
        }
        guard let weights = ImageStudy.trainedResidual(in: setting) else { return }
        try measureResidual(weights, setting: setting, size: size, progress: progress)
    }

    private static func trial(
        _ dense: PruningComparison.Dense, comparison: PruningComparison, size: RateDistortion.Size,
        progress: any ProgressReporter
    ) throws -> Trial {
        let study = comparison.study
        let network = study.makeNetwork(seed: dense.seed)
        dense.weights.restore(network)
        let prunable = try PrunableNetwork(network)
        let calibration = study.inputs(of: study.training, count: size.calibrationImages)
        var generator = RandomGenerator(seed: dense.seed)
        let noise = calibration.map { Tensor.normal($0.shape, using: &generator) }
        let grid = RateGrid(steps: size.steps, refinements: 4)
        let start = Date()
        let curves = try prunable.distortionCurves(on: calibration, grid: grid, distortion: .mean)
        let measured = Date()
        _ = try RateDistortionAllocation(curves).solution(prunable.weights, sparsity: 0.9)
        let solved = Date()
        progress.report(
            "seed \(dense.seed): curves in \(MarkupText.number(measured.timeIntervalSince(start))) s, programme in "
                + "\(MarkupText.number(solved.timeIntervalSince(measured) * 1000)) ms")
        let worst = try prunable.distortionCurves(on: calibration, grid: grid, distortion: .worst)
        let onNoise = try prunable.distortionCurves(on: noise, grid: grid, distortion: .mean)

        let references = network.inUse { calibration.map { network.outputs($0) } }
        let splits = try randomSplits(size.splits, curves: curves, seed: dense.seed).map { places -> (Double, Double) in
            let budgets = zip(curves, places).map {
                ExplicitAllocation.Budget($0.name, kept: $0.points[$1].kept)
            }
            dense.weights.restore(network)
            let pruned = try PrunableNetwork(network)
            try pruned.prune(by: .magnitude, allocation: ExplicitAllocation(budgets), to: 0)
            let sum = zip(curves, places).reduce(0.0) { $0 + $1.0.points[$1.1].distortion }
            return (sum, pruned.distortion(on: calibration, from: references, .mean))
        }

        dense.weights.restore(network)
        let inputs = study.inputs(of: study.test, count: size.testInputs)
        let outputs = network.inUse { inputs.map { network.outputs($0) } }
        var distortions: [String: [Double: Double]] = [:]
        for arm in arms(curves, seed: dense.seed) {
            for sparsity in sparsities {
                dense.weights.restore(network)
                let pruned = try PrunableNetwork(network)
                try pruned.prune(by: arm.criterion, allocation: arm.allocation, to: sparsity)
                distortions[arm.name, default: [:]][sparsity] = pruned.distortion(on: inputs, from: outputs, .mean)
            }
        }
        return Trial(
            dense: dense, curves: curves, worst: worst, noise: onNoise, splits: splits, distortions: distortions,
            solverExcess: try solverExcess(curves, weights: prunable.weights))
    }

    /// For each split a point of each curve, with rates from 0.1 to 0.9.
    private static func randomSplits(_ count: Int, curves: [DistortionCurve], seed: UInt64) throws -> [[Int]] {
        var generator = RandomGenerator(seed: seed, stream: 1)
        let draws = Tensor.uniform([count, curves.count], using: &generator).doubles()
        return (0..<count).map { split in
            curves.enumerated().map { index, curve in
                let open = curve.points.indices.filter {
                    (0.1...0.9).contains(1 - Double(curve.points[$0].kept) / Double(curve.count))
                }
                return open[Int(draws[split * curves.count + index] * Double(open.count))]
            }
        }
    }

    private static func solverExcess(
        _ curves: [DistortionCurve], weights: [PrunableWeight]
    ) throws -> [String: Double] {
        func distortion(_ solver: RateDistortionProblem.Solver) throws -> RateDistortionSolution {
            try RateDistortionAllocation(curves, solver: solver).solution(weights, sparsity: 0.9)
        }
        let exact = try distortion(.exact)
        let (buckets, few) = (try distortion(.buckets(65_536)), try distortion(.buckets(1_024)))
        let priced = try distortion(.lagrangian)
        return [
            "buckets": buckets.distortion / exact.distortion - 1,
            "1,024 buckets": few.distortion / exact.distortion - 1,
            "Lagrangian": priced.distortion / exact.distortion - 1,
            "lower bound": priced.lowerBound / exact.distortion - 1,
        ]
    }

    private mutating func measureResidual(
        _ weights: String, setting: ExperimentSetting, size: RateDistortion.Size, progress: any ProgressReporter
    ) throws {
        progress.report("residual network")
        let checkpoint = try VisionCheckpoint.open(weights)
        var study = try ImageStudy(
            .photographs, architecture: checkpoint.architecture, imageCount: size.residualImages, epochs: 1, in: setting
        )
        study.normalize(as: checkpoint.normalization ?? .imageNet)
        let comparison = PruningComparison(study: study, epochs: size.residualEpochs, peakRate: 0.02)
        let network = try checkpoint.network()
        let accuracy = study.accuracy(of: network)
        residualAccuracy = accuracy
        let snapshot = Snapshot(of: network)
        residualLayers = try PrunableNetwork(network).weights
        let seeds = setting.seeds(atMost: size.residualSeeds)
        let denses = seeds.map { PruningComparison.Dense(seed: $0, weights: snapshot, accuracy: accuracy) }
        let calibration = study.inputs(of: study.training, count: size.residualCalibration)
        let grid = RateGrid(steps: size.residualSteps, refinements: 3)
        let arms = RoundsArm.all(on: calibration, grid: grid)
        let jobs = denses.flatMap { dense in arms.map { (arm: $0, dense: dense) } }
        residual = try sideBySide(jobs) { job in
            try job.arm.outcomes(comparison, of: job.dense, progress: progress)
        }.flatMap { $0 }
    }
}

/// How two quantities go together.
enum Correlation {
    /// Pearson's coefficient; NaN of fewer than two points or of a constant.
    static func pearson(_ points: [(Double, Double)]) -> Double {
        guard points.count > 1 else { return .nan }
        let count = Double(points.count)
        let (x, y) = (points.reduce(0) { $0 + $1.0 } / count, points.reduce(0) { $0 + $1.1 } / count)
        var (xx, yy, xy) = (0.0, 0.0, 0.0)
        for (a, b) in points {
            xx += (a - x) * (a - x)
            yy += (b - y) * (b - y)
            xy += (a - x) * (b - y)
        }
        return xy / (xx * yy).squareRoot()
    }

    /// The middle value; NaN of none.
    static func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        guard !sorted.isEmpty else { return .nan }
        return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
    }
}
