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
}
