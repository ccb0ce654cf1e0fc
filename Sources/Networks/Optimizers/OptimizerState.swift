import CoppiceTensors

/// What an optimizer remembers of a network's parameters.
public struct OptimizerState: Sendable {
    /// Optimizer steps taken since the slots were zero.
    public var step = 0
    /// The tensors remembered of each parameter, in the network's order.
    public var slots: [[Tensor]]
    /// The last gradients, of optimizers that look at several; nil before the first step, and of all others.
    public var window: GradientWindow?

    /// Where optimization starts.
    public init(_ optimizer: any Optimizer, for network: Module) {
        self.init(optimizer, for: network.parameters.map(\.parameter))
    }

    public init(_ optimizer: any Optimizer, for parameters: [Parameter]) {
        slots = parameters.map { own in
            (0..<optimizer.slotCount).map { _ in Tensor.zeros(own.wrappedValue.shape) }
        }
    }
}
