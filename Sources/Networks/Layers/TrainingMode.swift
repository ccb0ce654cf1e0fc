/// A module that computes something else in training than in use, such as batch normalization.
public protocol TrainingModeDependent: Module {
    /// Whether the module is being trained; true at first.
    var isTraining: Bool { get set }
}

extension Module {
    /// Sets this module and all below it to training or to use.
    public func setTraining(_ isTraining: Bool) {
        for (_, module) in modules { (module as? any TrainingModeDependent)?.isTraining = isTraining }
    }

    /// Computes with this module and all below it in training or in use, and puts each back into the mode it was in.
    public func withTraining<Result>(_ isTraining: Bool, _ body: () throws -> Result) rethrows -> Result {
        let modes = modules.compactMap { $0.module as? any TrainingModeDependent }.map { ($0, $0.isTraining) }
        setTraining(isTraining)
        defer { for (module, mode) in modes { module.isTraining = mode } }
        return try body()
    }

    /// Computes while some of the parameters that are trainable are, and lets all train again afterwards that did before.
    ///
    /// - Parameter isTrained: whether a parameter is trainable meanwhile, by its name; nil: those that are.
    public func withTrainable<Result>(
        _ isTrained: ((_ parameterName: String) -> Bool)?, _ body: () throws -> Result
    ) rethrows -> Result {
        guard let isTrained else { return try body() }
        let others = parameters.filter { $0.parameter.isTrainable && !isTrained($0.name) }.map(\.parameter)
        for parameter in others { parameter.isTrainable = false }
        defer { for parameter in others { parameter.isTrainable = true } }
        return try body()
    }

    /// Computes with this module and lets it keep nothing of it: running statistics are as before afterwards.
    public func keepingState<Result>(_ body: () throws -> Result) rethrows -> Result {
        let before = stateTensors.map { ($0.state, $0.state.wrappedValue) }
        defer { for (tensor, value) in before { tensor.wrappedValue = value } }
        return try body()
    }
}
