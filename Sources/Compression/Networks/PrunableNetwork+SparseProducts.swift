import CoppiceNetworks
import CoppiceTensors

extension PrunableNetwork {
    /// The linear layers of which few weights are left, for a training step; nil for none. Found anew only where masks
    /// have changed.
    func sparseProducts(from sparsity: Double) -> SparseProducts? {
        if let known = knownProducts, known.version == maskVersion, known.sparsity == sparsity { return known.products }
        let supports = zip(parameters, masks).compactMap { parameter, mask in
            parameter.wrappedValue.rank == 2 && mask.count >= SparseProducts.leastWeights && mask.sparsity >= sparsity
                ? (parameter, SparseSupport(rows: mask.rows, columns: mask.columns, words: mask.words)) : nil
        }
        let products = supports.isEmpty ? nil : SparseProducts(supports)
        knownProducts = (maskVersion, sparsity, products)
        return products
    }
}
