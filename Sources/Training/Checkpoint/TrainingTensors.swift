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

    /// What the optimizer remembers of each parameter.
    package static func slots(of network: Module, _ optimizer: OptimizerState) -> [NamedTensor] {
        zip(network.parameters, optimizer.slots).flatMap { own, slots in
            slots.enumerated().map { NamedTensor("optimizer.\($0.offset).\(own.name)", $0.element) }
        }
    }

    /// The slots that ``slots(of:_:)`` gave.
    ///
    /// - Throws: `.badData` naming the tensor that is missing or does not fit.
    package static func slots(
        in tensors: [String: Tensor], of network: Module, _ optimizer: any Optimizer, source: String
    ) throws -> [[Tensor]] {
        try network.parameters.map { name, parameter in
            try (0..<optimizer.slotCount).map { slot in
                try tensors.tensor("optimizer.\(slot).\(name)", like: parameter.wrappedValue, source: source)
            }
        }
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
