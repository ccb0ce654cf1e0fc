import CoppiceNetworks
import CoppiceTensors

/// (w · ∂L/∂w)², the mean over batches: the squared change of the loss, to first order, as the weight goes to zero.
///
/// Molchanov et al., "Importance estimation for neural network pruning" (2019), equation 8. Unlike
/// ``GradientWeightCriterion`` it does not let the gradients of batches cancel, so it keeps its meaning on a trained
/// network, whose mean gradient is nearly zero.
public struct TaylorCriterion: NetworkCriterion {
    public static let name = "taylor"

    public init() {}

    public var needsData: Bool { true }

    /// - Complexity: one forward and backward pass of each batch.
    public func scores(of network: PrunableNetwork, on batches: [LabeledBatch]) throws -> [Tensor] {
        var sums: [Tensor]?
        for batch in batches {
            let slopes = try network.gradients(on: [batch])
            let parts = slopes.enumerated().map { (network.values($0) * $1).square() }
            sums = sums.map { zip($0, parts).map { $0 + $1 } } ?? parts
        }
        return (sums ?? []).map { $0 / Double(batches.count) }
    }
}
