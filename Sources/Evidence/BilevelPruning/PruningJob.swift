import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// One arm of the experiment on bi-level pruning, on one seed.
struct PruningJob: Sendable {
    typealias Outcome = BilevelPruningMeasurement.Outcome

    var study: ImageStudy
    var size: BilevelPruningExperiment.Size
    var dense: BilevelPruningMeasurement.Dense
    var arm: BilevelPruningMeasurement.Arm
    /// Parts kept, decreasing: one, but for iterative pruning, which passes through them.
    var kept: [Double]

    func run() throws -> [Outcome] {
        if BilevelPruningMeasurement.Arm.iterated.contains(arm) { return try iterate() }
        return try kept.map { kept -> Outcome in
            let network = try PrunableNetwork(study.makeNetwork(seed: dense.seed))
            dense.weights.restore(network.network)
            var passes = study.supervision().rates.totalSteps
            var swaps: Double?
            var losses = LossCurve(arm.name, steps: steps)
            switch arm {
            case .magnitude, .iterative, .iterativeRetraining: try network.prune(by: .magnitude, to: 1 - kept)
            case .random: try network.prune(by: .random(seed: dense.seed), to: 1 - kept)
            case .learnedScores:
                let options = options(kept: kept, lowerSteps: 0)
                swaps = try learn(network, options, &losses)
                passes += options.maskSteps
            case .bilevel, .alternating, .sameBatches, .slowMasks, .layerScale:
                let options = options(kept: kept, lowerSteps: 1)
                swaps = try learn(network, options, &losses)
                passes += steps + options.maskSteps
            }
            if [.magnitude, .random, .learnedScores].contains(arm) {
                try retraining.run(
                    network.network, on: study.batches(seed: dense.seed), hooks: [MaskedTraining(network)]
                ) { losses.add($1, at: $0) }
                passes += steps
            }
            return Outcome(
                arm: arm, kept: kept, accuracy: study.accuracy(of: network.network), passes: passes, swaps: swaps,
                losses: losses)
        }
    }

    /// Steps of retraining.
    private var steps: Int { size.retrainingEpochs * study.stepsPerEpoch }

    private var retraining: SupervisedTraining {
        var training = study.supervision(epochs: Double(size.retrainingEpochs), peakRate: size.rate)
        training.optimizer = SGD(momentum: 0.9, weightDecay: 1e-4)
        return training
    }

    private func options(kept: Double, lowerSteps: Int) -> BilevelPruning.Options {
        var options = BilevelPruning.Options(kept: kept, steps: steps)
        options.lowerSteps = lowerSteps
        options.learningRate = size.rate
        options.maskRate = arm == .slowMasks ? size.maskRate / 10 : size.maskRate
        options.implicitGradient = arm == .alternating || lowerSteps == 0 ? .none : .formula
        if arm == .layerScale { options.scoreScale = .layer }
        return options
    }

    /// - Returns: weights that entered the mask, over those kept.
    private func learn(
        _ network: PrunableNetwork, _ options: BilevelPruning.Options, _ losses: inout LossCurve
    ) throws -> Double {
        let pruning = try BilevelPruning(network, options: options)
        let upper = arm == .sameBatches ? dense.seed : dense.seed &+ 1 << 32
        try pruning.run(lower: study.batches(seed: dense.seed), upper: study.batches(seed: upper)) {
            losses.add($1, at: $0)
        }
        return Double(pruning.swapCounts.reduce(0, +)) / Double(pruning.keptCount)
    }

    /// Levels of equal ratio of kept weights, about a fifth less each, that meet every part kept.
    private func iterate() throws -> [Outcome] {
        let network = try PrunableNetwork(study.makeNetwork(seed: dense.seed))
        let training = arm == .iterative ? study.supervision() : retraining
        let rounds = try IterativePruning(training: training, rewindStep: 0)
        let initial = Snapshot(of: network.network)
        // Level 0 is the dense network.
        dense.weights.restore(network.network)
        var outcomes: [Outcome] = []
        var (before, passes) = (1.0, training.rates.totalSteps)
        for goal in kept {
            for level in rounds.keptParts(from: before, to: goal) {
                try network.prune(by: .magnitude, to: 1 - level)
                try rounds.trainFromRewindStep(network, rewound: initial, on: study.batches(seed: dense.seed))
                passes += training.rates.totalSteps
            }
            outcomes.append(
                Outcome(arm: arm, kept: goal, accuracy: study.accuracy(of: network.network), passes: passes))
            before = goal
        }
        return outcomes
    }
}
