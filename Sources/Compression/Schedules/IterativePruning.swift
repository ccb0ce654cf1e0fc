import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Trains, removes a part of what is left, rewinds the rest to early weights and trains again, level after level: the
/// search for lottery tickets.
///
/// Frankle and Carbin, "The lottery ticket hypothesis" (2019), for rewinding to step 0; Frankle, Dziugaite, Roy and
/// Carbin, "Stabilizing the lottery ticket hypothesis" (2019), for rewinding to a later step.
///
/// Each level sees the batches and rates of steps `rewindStep ..< end` of the training, with an optimizer that
/// remembers nothing.
public struct IterativePruning: Sendable {
    public var training: SupervisedTraining
    /// The step whose weights survivors go back to.
    public var rewindStep: Int
    /// The part of the remaining weights that each level removes.
    public var pruneFraction: Double

    /// - Throws: `.usage` for a step beyond training or a fraction outside (0, 1).
    public init(training: SupervisedTraining, rewindStep: Int, pruneFraction: Double = 0.2) throws {
        guard (0..<training.rates.totalSteps).contains(rewindStep) else {
            throw CoppiceError(
                .usage, field: "rewind",
                "\(rewindStep), expected a step of training, from 0 to \(training.rates.totalSteps - 1)")
        }
        guard pruneFraction > 0, pruneFraction < 1 else {
            throw CoppiceError(
                .usage, field: "prune-fraction", "\(pruneFraction), expected a number between 0 and 1")
        }
        self.training = training
        self.rewindStep = rewindStep
        self.pruneFraction = pruneFraction
    }

    /// Trains the dense network to the step that is rewound to.
    ///
    /// - Returns: the weights and running statistics there.
    public func trainToRewindStep(_ network: any SupervisedNetwork, on source: any BatchSource) throws -> Snapshot {
        var state = OptimizerState(training.optimizer, for: network)
        try training.run(
            network, on: source, steps: 0..<rewindStep, state: &state, hooks: [DropoutSteps(network)])
        return Snapshot(of: network)
    }

    /// Trains a network from the rewound weights under its masks to the end.
    ///
    /// - Parameter progress: told the step that was taken and its loss in nats.
    public func trainFromRewindStep(
        _ network: PrunableNetwork, rewound: Snapshot, on source: any BatchSource,
        progress: (_ step: Int, _ loss: Double) throws -> Void = { _, _ in }
    ) throws {
        rewound.restore(network.network)
        network.applyMasks()
        var state = OptimizerState(training.optimizer, for: network.network)
        try training.run(
            network.network, on: source, steps: rewindStep..<training.rates.totalSteps, state: &state,
            hooks: [DropoutSteps(network.network), MaskedTraining(network)], progress: progress)
    }

    /// Runs levels until `body` has seen the given number of them; level 0 is dense. Each level removes ⌈p · count⌉ of
    /// what is left.
    ///
    /// - Parameter body: sees the trained network of a level before the next part is removed.
    public func run(
        _ network: PrunableNetwork, levels: Int, rewound: Snapshot, on source: any BatchSource,
        criterion: any NetworkCriterion = .magnitude, allocation: any Allocation = GlobalAllocation(),
        body: (_ level: Int) throws -> Void
    ) throws {
        let constant = try ConstantFraction(pruneFraction, criterion: criterion, allocation: allocation)
        try run(network, levels: levels, removing: constant, rewound: rewound, on: source, body: body)
    }

    /// Runs levels until `body` has seen the given number of them, or until nothing more goes; level 0 is dense.
    ///
    /// - Parameters:
    ///   - removing: what goes after a level.
    ///   - body: sees the trained network of a level before the next part is removed.
    public func run(
        _ network: PrunableNetwork, levels: Int, removing: any LevelPruning, rewound: Snapshot,
        on source: any BatchSource, body: (_ level: Int) throws -> Void
    ) throws {
        for level in 0...levels {
            try trainFromRewindStep(network, rewound: rewound, on: source)
            try body(level)
            guard level < levels, try removing.removeNext(from: network) > 0 else { return }
        }
    }
}
