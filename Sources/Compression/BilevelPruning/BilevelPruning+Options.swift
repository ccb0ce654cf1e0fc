import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

extension BilevelPruning {
    /// What of the upper level's gradient is used.
    public enum ImplicitGradient: String, Sendable, Hashable, CaseIterable {
        /// θ ⊙ g − (1/γ) m ⊙ g ⊙ g.
        case formula
        /// θ ⊙ g − 10⁻⁴ (θ ⊙ g)², which the code released with the paper uses.
        case code
        /// θ ⊙ g: alternating optimization.
        case none
    }

    /// Which level moves first in a round.
    public enum LevelOrder: String, Sendable, Hashable, CaseIterable {
        /// Scores follow the weights that have just moved, as the paper's algorithm has it.
        case lowerFirst
        /// Weights train under masks that have just moved: with ``ImplicitGradient/none`` what `accelerate` asks for in
        /// the code released with the paper.
        case upperFirst
    }

    /// What scores of different layers are compared by.
    public enum ScoreScale: String, Sendable, Hashable, CaseIterable {
        /// |s|, as the code released with the paper does: layers of small weights, where scores start, keep less.
        case raw
        /// |s| over the root mean square of its layer's s: a factor of a whole layer does not matter.
        case layer
    }

    /// The options of a run.
    public struct Options: Sendable {
        /// The part of the prunable weights that is kept, in (0, 1].
        public var kept: Double
        /// Upper steps; each has ``lowerSteps`` lower ones beside it, in ``order``.
        public var steps: Int
        public var lowerSteps = 1
        public var order = LevelOrder.lowerFirst
        /// How weights train, lower step by lower step: the optimizer, its rates, decay and clipping. Labels are smoothed
        /// and products are rounded for masks too. Nil: momentum and decay as below, and ``learningRate``.
        public var training: SupervisedTraining?
        /// α, where there is no ``training``: falls to zero as a cosine.
        public var learningRate = 0.1
        /// β: of scores; a tenth of it from half of the steps. From three quarters, where the paper takes a hundredth, the
        /// choice stands: what entered the mask at the end would not have trained under it.
        public var maskRate = 0.1
        /// Of scores.
        public var momentum = 0.9
        /// Of scores.
        public var weightDecay = 1e-4
        /// γ.
        public var regularization = 1.0
        public var implicitGradient = ImplicitGradient.formula
        /// Of single weights: units of convolutions are compared within their layer or group alone.
        public var scoreScale = ScoreScale.raw
        /// What is removed at once. ``kept`` is the part of all weights, or of each convolution's units (one at least):
        /// leave convolutions that must stay whole, such as those whose channels are an image's, out of the network's
        /// prunable weights.
        public var unit = MaskUnit.weight

        public init(kept: Double, steps: Int) {
            self.kept = kept
            self.steps = steps
        }

        /// How weights train.
        var lowerLevel: SupervisedTraining {
            // The paper's cosine reaches zero after the last step, that of training at it.
            training
                ?? SupervisedTraining(
                    optimizer: SGD(momentum: momentum, weightDecay: weightDecay),
                    rates: LearningRateSchedule(
                        kind: .cosine, peak: learningRate, warmupSteps: 0, minimumRatio: 0,
                        totalSteps: steps * max(1, lowerSteps) + 1))
        }

        /// The upper steps that move scores.
        public var maskSteps: Int { (0..<steps).count { maskRate(at: $0) != nil } }

        /// β of a step; nil once the choice stands.
        func maskRate(at step: Int) -> Double? {
            let time = Double(step) / Double(steps)
            return time >= 0.75 ? nil : time >= 0.5 ? maskRate * 0.1 : maskRate
        }

        /// - Throws: `.usage` naming the option that is out of range.
        func check() throws {
            guard kept > 0, kept <= 1 else {
                throw CoppiceError(.usage, field: "keep", "\(kept), expected a number above 0, at most 1")
            }
            guard regularization > 0, regularization.isFinite else {
                throw CoppiceError(.usage, field: "gamma", "\(regularization), expected a number above 0")
            }
            guard scoreScale == .raw || unit == .weight else {
                throw CoppiceError(
                    .usage, field: "score_scale", "layer is of single weights, expected raw for \(unit.rawValue)s")
            }
            guard steps > 0, lowerSteps >= 0 else {
                throw CoppiceError(
                    .usage, field: "steps", "\(steps) with \(lowerSteps) lower ones, expected at least 1")
            }
        }
    }
}
