import CoppiceTensors

/// The values of a module's parameters and state at one moment, to return to.
public struct Snapshot: Sendable {
    /// In the module's order.
    public let parameters: [Tensor]
    let state: [Tensor]

    /// Copies all values. O(N).
    public init(of module: Module) {
        parameters = module.parameters.map { $0.parameter.wrappedValue.detached().copied() }
        state = module.stateTensors.map { $0.state.wrappedValue.copied() }
    }

    private init(parameters: [Tensor], state: [Tensor]) {
        self.parameters = parameters
        self.state = state
    }

    /// The values on the straight line to another snapshot of the module: (1 − α) of these and α of those, running
    /// statistics included; counts and other integers are these up to the other end.
    ///
    /// - Precondition: a snapshot of the same module.
    public func interpolated(to other: Snapshot, at position: Double) -> Snapshot {
        precondition(
            parameters.map(\.shape) == other.parameters.map(\.shape) && state.count == other.state.count,
            "snapshots of different modules")
        func between(_ own: Tensor, _ far: Tensor) -> Tensor {
            // The ends are the snapshots bit for bit.
            if position == 0 || position == 1 { return position == 0 ? own : far }
            return own.dataType.isFloatingPoint ? own * (1 - position) + far * position : own
        }
        return withoutRecording {
            Snapshot(
                parameters: zip(parameters, other.parameters).map { between($0, $1) },
                state: zip(state, other.state).map { between($0, $1) })
        }
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
