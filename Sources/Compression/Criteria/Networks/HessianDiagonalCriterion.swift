import CoppiceNetworks
import CoppiceTensors

/// ½ w² |h|, with h the diagonal of the Hessian of the loss, estimated without forming it: E[z ⊙ (H z)] over random
/// signs z is the diagonal of H (Hutchinson's estimator; Bekas, Kokiopoulou and Saad, "An estimator for the diagonal of
/// a matrix", 2007).
///
/// This is optimal brain damage (LeCun, Denker and Solla, 1990, equation 4) with the loss's own curvature, where
/// ``FisherDiagonalCriterion`` takes the gradients' squares for it. The sign is left out as in AdaHessian (Yao et al.,
/// 2021, equation 9): estimates below zero are noise and saddles, not weights that are better gone.
public struct HessianDiagonalCriterion: NetworkCriterion {
    public static let name = "hessian"

    /// Random sign vectors of each batch: the estimate's deviation falls with the root of their number.
    public var probes: Int
    /// Seeds the signs.
    public var seed: UInt64

    public init(probes: Int = 8, seed: UInt64 = 0) {
        precondition(probes > 0, "\(probes) probes")
        self.probes = probes
        self.seed = seed
    }

    public var needsData: Bool { true }

    /// - Complexity: for each batch a forward and a backward pass, and a pass back through both for each probe.
    public func scores(of network: PrunableNetwork, on batches: [LabeledBatch]) throws -> [Tensor] {
        let curvatures = diagonal(of: network, on: batches)
        return withoutRecording {
            zip(network.parameters, curvatures).map { parameter, own in
                parameter.wrappedValue.detached().square() * own.abs() * 0.5
            }
        }
    }

    /// The estimate of the Hessian's diagonal for the mean loss of the batches, a tensor for each weight.
    public func diagonal(of network: PrunableNetwork, on batches: [LabeledBatch]) -> [Tensor] {
        network.network.keepingState { estimate(of: network, on: batches) }
    }

    private func estimate(of network: PrunableNetwork, on batches: [LabeledBatch]) -> [Tensor] {
        let weights = network.parameters.map(\.wrappedValue)
        var generator = RandomGenerator(seed: seed)
        var sums = weights.map { Tensor.zeros($0.shape, dataType: $0.dataType) }
        for batch in batches {
            let loss = network.network.loss(batch)
            let slopes = gradients(of: loss, withRespectTo: weights, differentiable: true)
            for _ in 0..<probes {
                let signs = weights.map {
                    Tensor.bernoulli($0.shape, probability: 0.5, dataType: $0.dataType, using: &generator) * 2 - 1
                }
                let inner = zip(slopes, signs).map { ($0 * $1).sum() }
                guard let first = inner.first else { continue }
                let products = gradients(of: inner.dropFirst().reduce(first, +), withRespectTo: weights)
                sums = withoutRecording { zip(sums, zip(signs, products)).map { $0 + $1.0 * $1.1 } }
            }
        }
        return withoutRecording { sums.map { $0 / Double(max(1, batches.count) * probes) } }
    }
}
