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

    /// - Complexity: of one batch a forward pass, a backward pass and one back through both; each of several batches
    ///   takes a forward and a backward pass more, since the gradient of all comes first. The product with the Hessian is
    ///   exact. What one batch records is in memory at a time.
    public func scores(of network: PrunableNetwork, on batches: [LabeledBatch]) throws -> [Tensor] {
        network.network.keepingState { flow(through: network, on: batches) }
    }

    private func flow(through network: PrunableNetwork, on batches: [LabeledBatch]) -> [Tensor] {
        Self.flow(
            through: network.parameters.map(\.wrappedValue), losses: batches.map { batch in { loss(network, batch) } })
    }

    /// w ⊙ (H g) of the mean of some losses, in the weights' shapes.
    ///
    /// - Parameter losses: functions of the weights; a single one is evaluated once, each of several twice.
    /// - Precondition: at least one weight and one loss.
    package static func flow(through weights: [Tensor], losses: [() -> Tensor]) -> [Tensor] {
        func total(_ part: (() -> Tensor) -> [Tensor]) -> [Tensor] {
            losses.dropFirst().reduce(part(losses[0])) { sums, loss in
                let own = part(loss)
                return withoutRecording { zip(sums, own).map { $0 + $1 } }
            }
        }
        // Of several losses the gradient of all together comes first, then the product of each one's Hessian with it.
        let direction = losses.count == 1 ? nil : total { gradients(of: $0(), withRespectTo: weights) }
        let product = total { loss in
            let slopes = gradients(of: loss(), withRespectTo: weights, differentiable: true)
            let inner = zip(slopes, direction ?? slopes).map { ($0 * $1.detached()).sum() }
            return gradients(of: inner.dropFirst().reduce(inner[0], +), withRespectTo: weights)
        }
        let scale = 1 / Double(losses.count * losses.count)
        return withoutRecording { zip(weights, product).map { $0.detached() * $1 * scale } }
    }

    private func loss(_ network: PrunableNetwork, _ batch: LabeledBatch) -> Tensor {
        (network.network.outputs(batch.inputs) / temperature).meanCrossEntropy(targets: batch.targets)
    }
}
