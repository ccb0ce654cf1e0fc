import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Keeps removed weights at zero through training: after every step the masks are applied to the weights and to what
/// the optimizer remembers of them.
///
/// Linear layers of which few weights are left are computed with those alone, forwards and backwards. What is trained is
/// the same but for rounding.
public final class MaskedTraining: TrainingHook {
    /// The sparsity from which on a linear layer of 2¹⁴ or more weights trains faster by its kept weights alone. Measured
    /// with batches of 128 that begins at 0.7 (`docs/performance.md`); batches of 32, whose panels of 64 rows are half
    /// empty, need more.
    public static let sparsityThatPays = 0.85

    private let network: PrunableNetwork
    private let sparseFrom: Double
    private var known: (version: Int, products: SparseProducts?)?

    /// - Parameter sparseFrom: the sparsity from which on a linear layer is computed with its kept weights alone; above
    ///   1: never.
    public init(_ network: PrunableNetwork, sparseFrom: Double = MaskedTraining.sparsityThatPays) {
        self.network = network
        self.sparseFrom = sparseFrom
    }

    /// The linear layers of which few weights are left.
    public var sparseProducts: SparseProducts? {
        if let known, known.version == network.maskVersion { return known.products }
        let supports = zip(network.parameters, network.masks).compactMap { parameter, mask in
            parameter.wrappedValue.rank == 2 && mask.count >= 1 << 14 && mask.sparsity >= sparseFrom
                ? (parameter, SparseSupport(rows: mask.rows, columns: mask.columns, words: mask.words)) : nil
        }
        let products = supports.isEmpty ? nil : SparseProducts(supports)
        known = (network.maskVersion, products)
        return products
    }

    public func didStep(_ step: Int, state: inout OptimizerState) {
        network.applyMasks()
        network.applyMasks(to: &state)
    }
}
