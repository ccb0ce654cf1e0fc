import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Keeps removed weights at zero through training.
public final class MaskedTraining: MaskHolding {
    public let network: PrunableNetwork
    public let sparseFrom: Double

    /// - Parameter sparseFrom: the sparsity from which on a linear layer is computed with its kept weights alone; above
    ///   1: never.
    public init(_ network: PrunableNetwork, sparseFrom: Double = SparseProducts.linearSparsityThatPays) {
        self.network = network
        self.sparseFrom = sparseFrom
    }
}
