import CoppiceFormats
import CoppiceNetworks
import CoppiceTensors

/// A weight in its format, as a layer of a network computes with it.
struct FormatMatrix: StoredMatrix {
    private let weight: any WeightFormat
    /// Of a matrix of which few entries are left: they, as f32 in their places, for many rows at once.
    private let kept: (matrix: Tensor, support: SparseSupport)?

    init(_ weight: any WeightFormat) {
        self.weight = weight
        guard weight is BitmaskSparseWeight, weight.sparsity >= EncoderCheckpoint.sparsityThatPays else {
            kept = nil
            return
        }
        let matrix = weight.dense()
        kept = (matrix, SparseSupport(ofNonzerosOf: matrix))
    }

    func multiply(_ x: Tensor) -> Tensor {
        guard let kept, x.shape[0] >= SparseProducts.leastRows else { return weight.multiply(x) }
        return x.multiplied(byTransposed: kept.matrix, keeping: kept.support)
    }

    func copyRow(_ row: Int, into destination: UnsafeMutablePointer<Float>) {
        weight.copyRow(row, into: destination)
    }
}
