import CKernels
import CoppiceTensors

/// Scores that decide which weights are kept, and that learn by the straight-through estimator: the gradient by a mask is
/// applied to them, with momentum and decay.
struct LearnedScores: Sendable {
    /// Of each weight, f32 `[rows, columns]`.
    private(set) var values: [Tensor]
    private var velocities: [Tensor]
    private let momentum: Double
    private let decay: Double
    /// Whether the largest |s| are kept, else the largest s.
    let decideBySize: Bool

    /// - Parameter decideBySize: whether the largest |s| are kept, so that the gradient follows the sign of s; else the
    ///   largest s.
    init(_ values: [Tensor], momentum: Double, decay: Double, decideBySize: Bool) {
        self.values = values.map { $0.copied() }
        velocities = values.map { Tensor.zeros($0.shape).contiguous() }
        self.momentum = momentum
        self.decay = decay
        self.decideBySize = decideBySize
    }

    /// Moves the scores of a weight along the gradient by its mask, in one pass. O(N).
    ///
    /// - Parameters:
    ///   - weights: θ of the weight, f32 `[rows, columns]`, kept or not.
    ///   - slope: ∂ℓ/∂(m ⊙ θ), contiguous.
    ///   - mask: m.
    ///   - name: the weight's, for messages.
    ///   - regularization: γ of the implicit gradient's formula.
    /// - Throws: `.badData` where a slope is not finite.
    mutating func move(
        _ index: Int, weights: Tensor, slope: Tensor, mask: WeightMask, rate: Double,
        name: String, implicit: BilevelPruning.ImplicitGradient = .none, regularization: Double = 1
    ) throws {
        let settings = coppice_score_settings(
            rate: Float(rate), momentum: Float(momentum), decay: Float(decay),
            inverse_gamma: implicit == .formula ? Float(1 / regularization) : 0,
            square: implicit == .code ? 1e-4 : 0, by_size: decideBySize ? 1 : 0)
        precondition(weights.count == values[index].count && slope.count == weights.count, "sizes differ")
        // Taken out, so that there is one reference: changed in place, not in copies.
        var (velocity, score) = (Self.take(index, of: &velocities), Self.take(index, of: &values))
        let isFinite = velocity.withMutableElements(Float.self) { velocity in
            score.withMutableElements(Float.self) { score in
                weights.withElements(Float.self) { weights in
                    slope.withElements(Float.self) { slope in
                        coppice_score_step(
                            score.count, settings, weights.baseAddress, slope.baseAddress, mask.words,
                            velocity.baseAddress, score.baseAddress) == 1
                    }
                }
            }
        }
        (velocities[index], values[index]) = (velocity, score)
        // Says where.
        if !isFinite { try ExactSelection.checkFinite(slope, name: "\(name) (gradient)") }
    }

    private static func take(_ index: Int, of tensors: inout [Tensor]) -> Tensor {
        let own = tensors[index]
        tensors[index] = Tensor(uninitialized: [0])
        return own
    }

    /// Moves the scores of a weight along their own gradient.
    ///
    /// - Parameter slope: f32 of the weight's shape.
    mutating func move(_ index: Int, along slope: Tensor, rate: Double) {
        velocities[index] = velocities[index] * momentum + (slope + values[index] * decay)
        values[index] = values[index] - velocities[index] * rate
    }
}
