import CoppiceTensors

/// The values of a module's parameters and state at one moment, to return to.
public struct Snapshot: Sendable {
    /// In the module's order.
    let parameters: [Tensor]
    let state: [Tensor]

    /// Copies all values. O(N).
    public init(of module: Module) {
        parameters = module.parameters.map { $0.parameter.wrappedValue.detached().copied() }
        state = module.stateTensors.map { $0.state.wrappedValue.copied() }
    }

    /// Puts the values back, bit for bit.
    ///
    /// - Precondition: a module with parameters and state of the same shapes, in the same order.
    public func restore(_ module: Module) {
        let (own, kept) = (module.parameters, module.stateTensors)
        precondition(own.count == parameters.count && kept.count == state.count, "a snapshot of another module")
        for ((name, parameter), value) in zip(own, parameters) {
            precondition(parameter.wrappedValue.shape == value.shape, "\(name) has another shape")
            parameter.wrappedValue = value.copied()
        }
        for ((_, tensor), value) in zip(kept, state) { tensor.wrappedValue = value.copied() }
    }
}
