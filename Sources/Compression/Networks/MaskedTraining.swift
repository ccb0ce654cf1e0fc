import CoppiceTraining

/// Keeps removed weights at zero through training: after every step the masks are applied to the weights and to what
/// the optimizer remembers of them.
public final class MaskedTraining: TrainingHook {
    private let network: PrunableNetwork

    public init(_ network: PrunableNetwork) { self.network = network }

    public func didStep(_ step: Int, state: inout OptimizerState) {
        network.applyMasks()
        network.applyMasks(to: &state)
    }
}
