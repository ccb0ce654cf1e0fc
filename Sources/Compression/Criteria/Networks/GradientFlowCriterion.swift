import CoppiceNetworks
import CoppiceTensors

/// w · (H g), with g the gradient and H the Hessian of the loss: how much the squared norm of the gradient falls, to
/// first order, as the weight goes to zero. The weights that gradient flow needs most are kept.
///
/// Wang, Zhang and Grosse, "Picking winning tickets before training by preserving gradient flow" (GraSP, 2020),
/// equation 8: the paper removes the largest −w · (H g). Scores may be negative.
public struct GradientFlowCriterion: NetworkCriterion {
    public static let name = "grasp"

    /// What the outputs are divided by before the loss.
    public var temperature: Double

    public init(temperature: Double = 200) {
        precondition(temperature > 0, "a temperature of \(temperature)")
        self.temperature = temperature
    }

    public var needsData: Bool { true }

    /// - Complexity: a forward pass and two nested backward passes of each batch; the product with the Hessian is exact.
    public func scores(of network: PrunableNetwork, on batches: [LabeledBatch]) throws -> [Tensor] {
        network.network.keepingState { flow(through: network, on: batches) }
    }

    private func flow(through network: PrunableNetwork, on batches: [LabeledBatch]) -> [Tensor] {
        Self.flow(
            through: network.parameters.map(\.wrappedValue), losses: batches.map { batch in { loss(network, batch) } })
    }

    /// w ⊙ (H g) of the mean of some losses, in the weights' shapes.
    ///
    /// - Parameter losses: functions of the weights, each evaluated twice.
    /// - Precondition: at least one weight and one loss.
    package static func flow(through weights: [Tensor], losses: [() -> Tensor]) -> [Tensor] {
        var slope: [Tensor]?
        var product: [Tensor]?
        func add(_ sums: [Tensor]?, _ parts: [Tensor]) -> [Tensor] {
            withoutRecording { sums.map { zip($0, parts).map { $0 + $1 } } ?? parts }
        }
        // The gradient of all losses together comes first, then the product of each one's Hessian with it.
        for loss in losses { slope = add(slope, gradients(of: loss(), withRespectTo: weights)) }
        let direction = slope ?? []
        for loss in losses {
            let slopes = gradients(of: loss(), withRespectTo: weights, differentiable: true)
            let inner = zip(slopes, direction).map { ($0 * $1.detached()).sum() }
            let total = inner.dropFirst().reduce(inner[0], +)
            product = add(product, gradients(of: total, withRespectTo: weights))
        }
        let scale = 1 / Double(losses.count * losses.count)
        return withoutRecording { zip(weights, product ?? []).map { $0.detached() * $1 * scale } }
    }

    private func loss(_ network: PrunableNetwork, _ batch: LabeledBatch) -> Tensor {
        (network.network.outputs(batch.inputs) / temperature).meanCrossEntropy(targets: batch.targets)
    }
}
