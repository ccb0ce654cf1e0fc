import CoppiceNetworks
import CoppiceTensors

/// What an optimizer remembers of a network's parameters.
public struct OptimizerState: Sendable {
    /// Optimizer steps taken since the slots were zero.
    public var step = 0
    /// The tensors remembered of each parameter, in the network's order.
    public var slots: [[Tensor]]

    /// Where optimization starts.
    public init(_ optimizer: any Optimizer, for network: Module) {
        slots = network.parameters.map { own in
            (0..<optimizer.slotCount).map { _ in Tensor.zeros(own.parameter.wrappedValue.shape) }
        }
    }
}
