import CoppiceTraining

/// How a pruned network gets its accuracy back: the kept weights train on.
public protocol Recovery {
    var training: SupervisedTraining { get }

    /// Parameters that train; nil for all. Others, their running statistics not included, stay bit for bit: training
    /// only biases and norms (`{ !$0.hasSuffix("weight") }`) is subset retraining (Zimmer et al., "PERP", 2023).
    var trains: ((_ parameterName: String) -> Bool)? { get }

    /// What acts on training beside the masks.
    var hooks: [any TrainingHook] { get }
}

extension Recovery {
    public var hooks: [any TrainingHook] { [] }

    /// Changes the weights that are kept; masks stay as they are. What dropout draws is a function of the step.
    ///
    /// - Parameter progress: told the step that was taken and its loss in nats.
    /// - Throws: what training throws.
    public func recover(
        _ network: PrunableNetwork, on source: any BatchSource,
        progress: (_ step: Int, _ loss: Double) throws -> Void = { _, _ in }
    ) throws {
        let all: [any TrainingHook] = [DropoutSteps(network.network)] + hooks + [MaskedTraining(network)]
        try network.network.withTrainable(trains) {
            try training.run(network.network, on: source, hooks: all, progress: progress)
        }
    }
}

/// Trains the kept weights on.
public struct FineTuning: Recovery {
    public var training: SupervisedTraining
    public var trains: ((_ parameterName: String) -> Bool)?

    public init(_ training: SupervisedTraining, trains: ((_ parameterName: String) -> Bool)? = nil) {
        self.training = training
        self.trains = trains
    }
}
