import CoppiceTraining

/// How a pruned network gets its accuracy back.
public protocol Recovery {
    /// Changes the weights that are kept; masks stay as they are.
    ///
    /// - Throws: what training throws.
    func recover(_ network: PrunableNetwork, on source: any BatchSource) throws
}

/// Trains the kept weights on.
public struct FineTuning: Recovery {
    public var training: SupervisedTraining
    /// Parameters that train; nil for all. Others, their running statistics not included, stay bit for bit: training
    /// only biases and norms (`{ !$0.hasSuffix("weight") }`) is subset retraining (Zimmer et al., "PERP", 2023).
    public var trains: ((_ parameterName: String) -> Bool)?

    public init(_ training: SupervisedTraining, trains: ((_ parameterName: String) -> Bool)? = nil) {
        self.training = training
        self.trains = trains
    }

    public func recover(_ network: PrunableNetwork, on source: any BatchSource) throws {
        try network.network.withTrainable(trains) {
            try training.run(network.network, on: source, hooks: [MaskedTraining(network)])
        }
    }
}
