import CoppiceNetworks
import CoppiceTensors

extension PrunableNetwork {
    /// The sparsity from which on a linear layer of 2¹⁴ or more weights trains faster by its kept weights alone. Measured
    /// with batches of 128 that begins at 0.7 (`docs/performance.md`); batches of 32, whose panels of 64 rows are half
    /// empty, need more.
    public static let sparsityThatPays = 0.85

    /// The linear layers of which few weights are left, for a training step; nil for none. Found anew only where masks
    /// have changed.
    func sparseProducts(from sparsity: Double) -> SparseProducts? {
        if let known = knownProducts, known.version == maskVersion, known.sparsity == sparsity { return known.products }
        let supports = zip(parameters, masks).compactMap { parameter, mask in
            parameter.wrappedValue.rank == 2 && mask.count >= 1 << 14 && mask.sparsity >= sparsity
                ? (parameter, SparseSupport(rows: mask.rows, columns: mask.columns, words: mask.words)) : nil
        }
        let products = supports.isEmpty ? nil : SparseProducts(supports)
        knownProducts = (maskVersion, sparsity, products)
        return products
    }
}
