import CoppiceNetworks
import CoppiceTensors

/// |w · ∂L/∂w|: how much the loss changes, to first order, as the weight goes to zero.
///
/// Lee, Ajanthan and Torr, "SNIP: Single-shot network pruning based on connection sensitivity" (2019), equation 5. At
/// initialization, on one batch with at least ten examples of each class.
public struct GradientWeightCriterion: NetworkCriterion {
    public static let name = "snip"

    public init() {}

    public var needsData: Bool { true }

    /// - Complexity: one forward and backward pass of each batch.
    public func scores(of network: PrunableNetwork, on batches: [LabeledBatch]) throws -> [Tensor] {
        let slopes = try network.gradients(on: batches)
        return slopes.enumerated().map { index, slope in (network.values(index) * slope).abs() }
    }
}
