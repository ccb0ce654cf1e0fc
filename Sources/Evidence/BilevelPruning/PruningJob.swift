import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// One arm of the experiment on bi-level pruning, on one seed.
struct PruningJob: Sendable {
    typealias Arm = BilevelPruningMeasurement.Arm
    typealias Outcome = BilevelPruningMeasurement.Outcome

    var study: ImageStudy
    var size: BilevelPruningExperiment.Size
    var dense: BilevelPruningMeasurement.Dense
    var arm: Arm
    /// Parts kept, decreasing: one, but for iterative pruning, which passes through them.
    var kept: [Double]

    func run() throws -> [Outcome] {
        if Arm.iterated.contains(arm) { return try iterate() }
        if Arm.early.contains(arm) { return try kept.map(pruneBeforeTraining) }
        return try kept.map(pruneTrained)
    }

    /// Steps of the dense network's training.
    private var denseSteps: Int { study.supervision().rates.totalSteps }
    /// Steps of retraining.
    private var steps: Int { size.retrainingEpochs * study.stepsPerEpoch }

    private var retraining: SupervisedTraining { training(epochs: size.retrainingEpochs) }

    private func training(epochs: Int) -> SupervisedTraining {
        var training = study.supervision(epochs: Double(epochs), peakRate: size.rate)
        training.optimizer = SGD(momentum: 0.9, weightDecay: 1e-4)
        return training
    }

    private func pruneTrained(_ kept: Double) throws -> Outcome {
        let network = try PrunableNetwork(study.makeNetwork(seed: dense.seed))
        dense.weights.restore(network.network)
        var passes = denseSteps + steps
        var swaps: Double?
        var losses = LossCurve(arm.name, steps: steps)
        if arm == .magnitude || arm == .random {
            try network.prune(by: arm == .random ? .random(seed: dense.seed) : .magnitude, to: 1 - kept)
        } else {
            var options = BilevelPruning.Options(kept: kept, steps: steps)
            (options.learningRate, options.maskRate) = (size.rate, size.maskRate)
            arm.change(&options)
            swaps = try learn(network, options, &losses)
            passes += options.maskSteps
        }
        if [.magnitude, .random, .learnedScores].contains(arm) { try train(network, retraining, &losses) }
        return Outcome(
            arm: arm, kept: kept, accuracy: study.accuracy(of: network.network), passes: passes, swaps: swaps,
            losses: losses)
    }

    private func train(
        _ network: PrunableNetwork, _ training: SupervisedTraining, _ losses: inout LossCurve
    ) throws {
        try training.run(
            network.network, on: study.batches(seed: dense.seed), hooks: [MaskedTraining(network)]
        ) { losses.add($1, at: $0) }
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

    /// Chooses among the initial weights, then trains what is left for as many steps as the dense network and what
    /// follows it have together.
    private func pruneBeforeTraining(_ kept: Double) throws -> Outcome {
        let network = try PrunableNetwork(study.makeNetwork(seed: dense.seed))
        let batches = study.scoredBatches(study.batches(seed: dense.seed))
        switch arm {
        case .snip: try network.prune(by: GradientWeightCriterion(), to: 1 - kept, batches: batches)
        case .grasp: try network.prune(by: GradientFlowCriterion(), to: 1 - kept, batches: batches)
        default:
            let criterion = SynapticFlowCriterion(inputShape: Array(batches[0].inputs.shape.dropFirst()))
            try network.prune(by: criterion, to: 1 - kept, rounds: size.synapticFlowRounds)
        }
        let training = training(epochs: size.epochs + size.retrainingEpochs)
        var losses = LossCurve(arm.name, steps: training.rates.totalSteps)
        try train(network, training, &losses)
        return Outcome(
            arm: arm, kept: kept, accuracy: study.accuracy(of: network.network), passes: training.rates.totalSteps,
            losses: losses)
    }

    /// Levels of equal ratio of kept weights, about a fifth less each, that meet every part kept.
    private func iterate() throws -> [Outcome] {
        let network = try PrunableNetwork(study.makeNetwork(seed: dense.seed))
        let isTrainedAsDense = arm == .iterative || arm == .rewound
        let training = isTrainedAsDense ? study.supervision() : retraining
        let isRewound = arm == .rewound || arm == .rewoundRetraining
        let rewindStep = isRewound ? min(study.stepsPerEpoch, training.rates.totalSteps - 1) : 0
        let rounds = try IterativePruning(training: training, rewindStep: rewindStep)
        let batches = study.batches(seed: dense.seed)
        let rewound = try rounds.trainToRewindStep(network.network, on: batches)
        // Level 0 is the dense network, which in its own training passes where levels go back to.
        dense.weights.restore(network.network)
        var (before, passes) = (1.0, denseSteps + (isTrainedAsDense ? 0 : rewindStep))
        var outcomes: [Outcome] = []
        for goal in kept {
            for level in rounds.keptParts(from: before, to: goal) {
                try network.prune(by: .magnitude, to: 1 - level)
                try rounds.trainFromRewindStep(network, rewound: rewound, on: batches)
                passes += training.rates.totalSteps - rewindStep
            }
            outcomes.append(
                Outcome(arm: arm, kept: goal, accuracy: study.accuracy(of: network.network), passes: passes))
            before = goal
        }
        return outcomes
    }
}

extension BilevelPruningMeasurement.Arm {
    /// What the arm does otherwise than bi-level pruning.
    package func change(_ options: inout BilevelPruning.Options) {
        switch self {
        case .learnedScores: (options.lowerSteps, options.implicitGradient) = (0, .none)
        case .alternating: options.implicitGradient = .none
        case .masksFirst: (options.order, options.implicitGradient) = (.upperFirst, .none)
        case .releasedTerm: options.implicitGradient = .code
        case .gamma10: options.regularization = 10
        case .gamma100: options.regularization = 100
        case .slowMasks: options.maskRate /= 10
        case .layerScale: options.scoreScale = .layer
        default: break
        }
    }
}
