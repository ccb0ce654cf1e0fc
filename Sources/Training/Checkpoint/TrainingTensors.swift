import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

/// A network in training and what its optimizer remembers, as named tensors and back: what a checkpoint holds.
package enum TrainingTensors {
    /// Parameters and running statistics.
    package static func values(of network: Module) -> [NamedTensor] {
        network.parameters.map { NamedTensor($0.name, $0.parameter.wrappedValue.detached()) }
            + network.stateTensors.map { NamedTensor($0.name, $0.state.wrappedValue) }
    }

    /// What the optimizer remembers.
    package static func optimizer(_ state: OptimizerState, of network: Module) -> [NamedTensor] {
        zip(network.parameters, state.slots).flatMap { own, slots in
            slots.enumerated().map { NamedTensor("optimizer.\($0.offset).\(own.name)", $0.element) }
        } + (state.window?.tensors.map { NamedTensor($0.name, $0.tensor) } ?? [])
    }

    /// The state that ``optimizer(_:of:)`` gave.
    ///
    /// - Parameter step: steps that the optimizer had taken.
    /// - Throws: `.badData` naming the tensor that is missing or does not fit.
    package static func optimizer(
        in tensors: [String: Tensor], of network: Module, _ optimizer: any Optimizer, step: Int, source: String
    ) throws -> OptimizerState {
        var state = OptimizerState(optimizer, for: network)
        state.slots = try network.parameters.map { name, parameter in
            try (0..<optimizer.slotCount).map { slot in
                try tensors.tensor("optimizer.\(slot).\(name)", like: parameter.wrappedValue, source: source)
            }
        }
        state.window = try window(in: tensors, of: network, optimizer, step: step, source: source)
        state.step = step
        return state
    }

    /// The window of gradients that an optimizer had after a number of steps; nil for one without a window.
    package static func window(
        in tensors: [String: Tensor], of network: Module, _ optimizer: any Optimizer, step: Int, source: String
    ) throws -> GradientWindow? {
        let parameters = network.parameters.map(\.parameter)
        let window = try optimizer.window(from: tensors, for: parameters, source: source)
        if window == nil, step > 0, try optimizer.windowSummary(of: parameters) != nil {
            throw CoppiceError(.badData, source: source, field: "optimizer.window", "is missing")
        }
        return window
    }

    /// Puts parameters and running statistics into a network.
    ///
    /// - Throws: `.badData` naming the tensor that is missing or does not fit; then nothing has changed.
    package static func load(_ tensors: [String: Tensor], into network: Module, source: String) throws {
        let parameters = try network.parameters.map {
            try tensors.tensor($0.name, like: $0.parameter.wrappedValue, source: source)
        }
        let kept = try network.stateTensors.map {
            try tensors.tensor($0.name, like: $0.state.wrappedValue, source: source)
        }
        for (own, value) in zip(network.parameters, parameters) { own.parameter.wrappedValue = value }
        for (own, value) in zip(network.stateTensors, kept) { own.state.wrappedValue = value }
    }
}
