import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// A hook of training that keeps removed weights at zero: before every update the masks are applied to the gradients, so
/// that neither clipping nor an optimizer sees those of removed weights, and to earlier gradients where the optimizer
/// keeps some; after it to the weights and to what the optimizer remembers of them.
///
/// Linear layers of which few weights are left are computed with those alone, forwards and backwards. What is trained is
/// the same but for rounding. Hooks that read gradients of removed weights come before it.
public protocol MaskHolding: TrainingHook {
    var network: PrunableNetwork { get }

    /// The sparsity from which on a linear layer is computed with its kept weights alone.
    var sparseFrom: Double { get }
}

extension MaskHolding {
    public var sparseFrom: Double { SparseProducts.linearSparsityThatPays }

    public var sparseProducts: SparseProducts? { network.sparseProducts(from: sparseFrom) }

    public func willUpdate(_ step: Int, gradients: inout [Tensor]) {
        network.applyMasks(toGradients: &gradients)
    }

    public func willMove(_ step: Int, state: inout OptimizerState) throws {
        try network.applyMasks(toWindowOf: &state)
    }

    public func didStep(_ step: Int, state: inout OptimizerState) {
        network.applyMasks()
        network.applyMasks(to: &state)
    }
}
