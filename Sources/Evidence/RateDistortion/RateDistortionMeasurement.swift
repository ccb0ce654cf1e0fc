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
        package var joint: JointDistortion
        /// How far answers of other solvers are above the exact one, at 90 %.
        package var solverExcess: [String: Double]

        package init(
            dense: PruningComparison.Dense, curves: [DistortionCurve] = [], worst: [DistortionCurve] = [],
            noise: [DistortionCurve] = [], joint: JointDistortion, solverExcess: [String: Double]
        ) {
            self.dense = dense
            (self.curves, self.worst, self.noise) = (curves, worst, noise)
            self.joint = joint
            self.solverExcess = solverExcess
        }
    }

    package var trials: [Trial]
    package var outcomes: [Outcome]
    var residualAccuracy: Double?
    package var residual: [Outcome] = []
    /// The residual network's.
    var residualLayers: [PrunableWeight] = []
    /// Of the residual network, pruned at once from its trained weights.
    package var residualJoint: JointDistortion?

    package init(trials: [Trial], outcomes: [Outcome]) {
        self.trials = trials
        self.outcomes = outcomes
    }

    /// The arms of a network with its curves: ``methods`` and ``references``. The perceptron has no first convolution that
    /// uniform+ would keep.
    static func arms(
        _ curves: [DistortionCurve], seed: UInt64, keepsFirst: Bool = false
    ) -> [PruningComparison.Arm] {
        [
            .init(name: "RD", allocation: split(by: curves)),
            .init(name: "global", allocation: GlobalAllocation()),
            .init(name: "uniform", allocation: UniformAllocation()),
            .init(name: "ERK", allocation: ErdosRenyiAllocation()),
            .init(name: "LAMP", allocation: LAMPAllocation()),
            .init(name: references[0], allocation: split(by: curves, solver: .lagrangian)),
            .init(name: references[1], allocation: UniformPlusAllocation(keepsFirst: keepsFirst)),
            .init(name: references[2], criterion: .random(seed: seed), allocation: GlobalAllocation()),
        ]
    }

    /// As recipes do it: points on lines between those measured, since one step of a grid would be a good part of all the
    /// weights that are left.
    private static func split(
        by curves: [DistortionCurve], solver: RateDistortionProblem.Solver = .buckets(65_536)
    ) -> RateDistortionAllocation {
        RateDistortionAllocation(curves.map { $0.interpolated() }, solver: solver)
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
                    .init(name: Self.variants[0], allocation: Self.split(by: trial.worst)),
                    .init(name: Self.variants[1], allocation: Self.split(by: trial.noise)),
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
        _ = try split(by: curves).solution(prunable.weights, sparsity: 0.9)
        let solved = Date()
        progress.report(
            "seed \(dense.seed): curves in \(MarkupText.number(measured.timeIntervalSince(start))) s, programme in "
                + "\(MarkupText.number(solved.timeIntervalSince(measured) * 1000)) ms")
        let worst = try prunable.distortionCurves(on: calibration, grid: grid, distortion: .worst)
        let onNoise = try prunable.distortionCurves(on: noise, grid: grid, distortion: .mean)

        let joint = try JointDistortion(
            of: network, curves: curves, calibration: calibration,
            test: study.inputs(of: study.test, count: size.testInputs), splits: size.splits,
            arms: arms(curves, seed: dense.seed), at: sparsities, seed: dense.seed)
        return Trial(
            dense: dense, curves: curves, worst: worst, noise: onNoise, joint: joint,
            solverExcess: try solverExcess(curves, weights: prunable.weights))
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
        let curves = try PrunableNetwork(network).distortionCurves(on: calibration, grid: grid, distortion: .mean)
        residualJoint = try JointDistortion(
            of: network, curves: curves, calibration: calibration,
            test: study.inputs(of: study.test, count: size.testInputs), splits: size.splits,
            arms: Self.arms(curves, seed: setting.seeds.first ?? 0, keepsFirst: true), at: Self.sparsities,
            seed: setting.seeds.first ?? 0)
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
