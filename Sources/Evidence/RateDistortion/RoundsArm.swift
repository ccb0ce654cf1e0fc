import CoppiceCompression
import CoppiceModels
import CoppiceTensors
import CoppiceTraining

/// A way to share out sparsity that is asked anew in each of some rounds, with the same training after each.
struct RoundsArm: Sendable {
    /// What is gone after each round: most take 0.3 of what was left.
    static let sparsities = [0.44, 0.6, 0.71, 0.79, 0.85, 0.9, 0.93, 0.95]
    /// The sparsities that arms are compared at.
    static let compared = [0.9, 0.95]
    static let names = ["RD", "global", "uniform", "ERK", "LAMP"]

    var name: String
    /// By what is left of the network.
    var allocation: @Sendable (PrunableNetwork) throws -> any Allocation

    /// - Parameter calibration: what curves are measured on, by the worst image, as released.
    static func all(on calibration: [Tensor], grid: RateGrid) -> [RoundsArm] {
        [
            RoundsArm(name: "RD") {
                let curves = try $0.distortionCurves(on: calibration, grid: grid)
                return RateDistortionAllocation(curves.map { $0.interpolated() })
            },
            RoundsArm(name: "global") { _ in GlobalAllocation() },
            RoundsArm(name: "uniform") { _ in UniformAllocation() },
            RoundsArm(name: "ERK") { _ in ErdosRenyiAllocation() },
            RoundsArm(name: "LAMP") { _ in LAMPAllocation() },
        ]
    }

    /// Prunes a network round after round; one outcome for each.
    func outcomes(
        _ comparison: PruningComparison, of dense: PruningComparison.Dense, progress: any ProgressReporter
    ) throws -> [PruningComparison.Outcome] {
        let study = comparison.study
        let network = study.makeNetwork(seed: dense.seed)
        dense.weights.restore(network)
        let prunable = try PrunableNetwork(network)
        let training = study.supervision(epochs: comparison.epochs, peakRate: comparison.peakRate)
        return try Self.sparsities.enumerated().map { round, sparsity in
            try prunable.prune(by: .magnitude, allocation: allocation(prunable), to: sparsity)
            let pruned = study.accuracy(of: network)
            var losses = LossCurve(name, steps: training.rates.totalSteps)
            let batches = study.batches(seed: dense.seed &+ UInt64(round) &+ 1)
            try training.run(network, on: batches, hooks: [MaskedTraining(prunable)]) { losses.add($1, at: $0) }
            let accuracy = study.accuracy(of: network)
            progress.report(
                "\(name) at \(MarkupText.percent(sparsity)), seed \(dense.seed): \(MarkupText.percent(accuracy))")
            return PruningComparison.Outcome(
                arm: name, sparsity: sparsity, seed: dense.seed, accuracyWhenPruned: pruned, accuracy: accuracy,
                kept: prunable.masks.map(\.keptCount), losses: losses)
        }
    }
}
