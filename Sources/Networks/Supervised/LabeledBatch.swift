import CoppiceTensors

/// Inputs, and what a network should make of them.
public struct LabeledBatch: Sendable {
    /// Images `[images, channels, rows, columns]`, tokens `[windows, tokens]`, or whatever the network takes; the first
    /// axis counts examples.
    public var inputs: Tensor
    /// Integers: a class of each example, or of each position (`[windows, tokens]`); negative ones do not count.
    public var targets: Tensor

    public init(inputs: Tensor, targets: Tensor) {
        self.inputs = inputs
        self.targets = targets
    }

    /// Number of examples.
    public var count: Int { inputs.shape.first ?? 0 }
}
