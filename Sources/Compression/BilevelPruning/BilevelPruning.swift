import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation

/// Prunes and retrains at once: masks are the upper level of a bi-level problem whose lower level trains the weights
/// under them.
///
/// Zhang et al., "Advancing model pruning via bi-level optimization" (2022). With z = m ⊙ θ and g = ∂ℓ/∂z, the lower
/// level min_θ ℓ(m ⊙ θ) + (γ/2)‖θ‖² has, without curvature of ℓ, the implicit gradient dθ*/dm = −(1/γ) diag(g), so
///
/// dℓ/dm = θ ⊙ g − (1/γ) m ⊙ g ⊙ g.
///
/// It moves real scores s; the mask keeps the largest |s|, or the filters or channels with the largest norm of s. Each
/// round takes a step of θ on one batch, then a step of s on another, and thresholds again.
///
/// Weights that are removed keep their value of θ and their momentum, since they may return; the network holds m ⊙ θ.
///
/// With ``ChannelGroups`` the units are whole channels, so that a smaller network can be cut out. Through three quarters
/// of the steps only the filters that make a channel (or what reads it) are masked, which lets it return; then the choice
/// stands, all that belongs to removed channels is zero (norms and biases too), and the last quarter trains what is left.
public final class BilevelPruning {
    /// What of the upper level's gradient is used.
    public enum ImplicitGradient: String, Sendable, Hashable, CaseIterable {
        /// θ ⊙ g − (1/γ) m ⊙ g ⊙ g.
        case formula
        /// θ ⊙ g − 10⁻⁴ (θ ⊙ g)², which the code released with the paper uses.
        case code
        /// θ ⊙ g: alternating optimization.
        case none
    }

    /// The options of a run.
    public struct Options: Sendable {
        /// The part of the prunable weights that is kept, in (0, 1].
        public var kept: Double
        /// Upper steps; each has ``lowerSteps`` lower ones before it.
        public var steps: Int
        public var lowerSteps = 1
        /// α: falls to zero as a cosine.
        public var learningRate = 0.1
        /// β: of scores; a tenth of it from half of the steps, a hundredth from three quarters.
        public var maskRate = 0.1
        public var momentum = 0.9
        /// Of weights and of scores.
        public var weightDecay = 1e-4
        /// γ.
        public var regularization = 1.0
        public var implicitGradient = ImplicitGradient.formula
        /// What is removed at once. ``kept`` is the part of all weights, or of each convolution's units (one at least):
        /// leave convolutions that must stay whole, such as those whose channels are an image's, out of the network's
        /// prunable weights.
        public var unit = MaskUnit.weight

        public init(kept: Double, steps: Int) {
            self.kept = kept
            self.steps = steps
        }

        /// - Throws: `.usage` naming the option that is out of range.
        func check() throws {
            guard kept > 0, kept <= 1 else {
                throw CoppiceError(.usage, field: "keep", "\(kept), expected a number above 0, at most 1")
            }
            guard regularization > 0, regularization.isFinite else {
                throw CoppiceError(.usage, field: "gamma", "\(regularization), expected a number above 0")
            }
            guard steps > 0, lowerSteps >= 0 else {
                throw CoppiceError(
                    .usage, field: "steps", "\(steps) with \(lowerSteps) lower ones, expected at least 1")
            }
        }
    }

    public let network: PrunableNetwork
    public let options: Options
    /// θ of each prunable weight, f32 `[rows, columns]`: kept or not.
    public private(set) var weights: [Tensor]
    /// s of each prunable weight.
    public private(set) var scores: [Tensor]
    /// Weights that entered the mask at each upper step.
    public private(set) var swapCounts: [Int] = []
    /// The channels that stay; nil where the units are not those of ``ChannelGroups``.
    public private(set) var keptChannels: KeptChannels?

    private let coupled: CoupledUnits?
    /// Whether the choice of channels stands.
    private var isSettled = false
    /// Of each weight, whether it is pruned; it stays whole otherwise.
    private let hasUnits: [Bool]
    private var scoreVelocities: [Tensor]
    private var selection = TrackedSelection()
    private var state: OptimizerState
    private let optimizer: SGD

    /// - Parameters:
    ///   - network: trained. Masks that it has are forgotten.
    ///   - channels: the network's, for units that are cut out of it together; nil: the filters or channels of each
    ///     convolution by itself.
    /// - Throws: `.usage` for options out of range, and for units of convolutions where there are none.
    public init(_ network: PrunableNetwork, options: Options, channels: ChannelGroups? = nil) throws {
        try options.check()
        self.network = network
        self.options = options
        coupled = try channels.flatMap {
            options.unit == .weight ? nil : try CoupledUnits($0, unit: options.unit, weights: network.weights)
        }
        let convolutions = network.parameters.map { $0.wrappedValue.rank > 2 }
        guard options.unit == .weight || convolutions.contains(true) else {
            throw CoppiceError(
                .usage, field: "unit", "\(options.unit.rawValue), but no prunable weight is a convolution's")
        }
        hasUnits = convolutions.map { options.unit == .weight || $0 }
        weights = network.weights.indices.map { network.values($0).copied() }
        scores = weights
        scoreVelocities = weights.map { Tensor.zeros($0.shape).contiguous() }
        optimizer = SGD(momentum: options.momentum, weightDecay: options.weightDecay)
        state = OptimizerState(optimizer, for: network.network)
        setMasks(from: scores)
        show()
    }

    /// Kept weights: ⌊keep · n⌋ over all prunable weights together, at least one; of units ⌈keep · n⌉ of each
    /// convolution's n, and all of what is no convolution; of whole channels, what the masks keep now.
    public var keptCount: Int {
        if coupled != nil { return network.count - network.removedCount }
        guard options.unit != .weight else {
            return max(1, ExactSelection.removedCount(network.count, sparsity: options.kept))
        }
        return network.weights.indices.reduce(0) { sum, index in
            let layout = layout(index)
            return sum + (hasUnits[index] ? keptUnits(of: layout[1]) * layout[0] * layout[2] : layout.reduce(1, *))
        }
    }

    private func layout(_ index: Int) -> [Int] {
        let weight = network.weights[index]
        return options.unit.layout(rows: weight.rows, columns: weight.columns, kernelElements: weight.kernelElements)
    }

    /// ⌈keep · n⌉ of a layer's n units; the small constant takes back what rounding adds to keep · n.
    private func keptUnits(of count: Int) -> Int {
        min(count, max(1, Int((options.kept * Double(count) - 1e-9).rounded(.up))))
    }

    /// dℓ/dm of some weights (θ), given ∂ℓ/∂z (g) and the mask's indicator (m).
    public static func maskGradient(
        weights: Tensor, slope: Tensor, mask: Tensor, regularization: Double, _ kind: ImplicitGradient
    ) -> Tensor {
        let direct = weights * slope
        return switch kind {
        case .formula: direct - mask * slope.square() / regularization
        case .code: direct - direct.square() * 1e-4
        case .none: direct
        }
    }

    /// Runs all steps and leaves the network masked, its kept weights retrained.
    ///
    /// - Parameters:
    ///   - lower: batches that weights train on.
    ///   - upper: batches that masks train on: other ones.
    /// - Throws: `.badData` for a loss or gradient that is not finite; what `progress` throws.
    /// - Complexity: of a step, ``Options/lowerSteps`` + 1 forward and backward passes and O(N).
    public func run(
        lower: any BatchSource, upper: any BatchSource,
        progress: (_ step: Int, _ loss: Double) throws -> Void = { _, _ in }
    ) throws {
        network.network.setTraining(true)
        var lowerStep = 0
        for step in 0..<options.steps {
            let rate = options.learningRate * 0.5 * (1 + cos(.pi * Double(step) / Double(options.steps)))
            var loss = Double.nan
            for _ in 0..<options.lowerSteps {
                loss = try trainWeights(lower.batch(at: lowerStep), rate: rate)
                lowerStep += 1
            }
            if coupled != nil, Double(step) >= 0.75 * Double(options.steps) {
                settle()
                swapCounts.append(0)
            } else {
                try trainMasks(upper.batch(at: step), step)
            }
            try progress(step, loss)
        }
        settle()
    }

    /// Removes all that belongs to the channels that are not kept, for good.
    private func settle() {
        guard let coupled, let keptChannels, !isSettled else { return }
        isSettled = true
        network.setMasks(coupled.wholeMasks(keptChannels))
        show()
    }

    /// A step of θ: its gradient is m ⊙ g.
    private func trainWeights(_ batch: LabeledBatch, rate: Double) throws -> Double {
        let all = network.network.parameters.map(\.parameter)
        let loss = network.network.loss(batch)
        var slopes = gradients(of: loss, withRespectTo: all.map(\.wrappedValue))
        let value = Double(loss.scalar)
        guard value.isFinite else {
            throw CoppiceError(.badData, "the loss of bi-level pruning is \(value), expected a finite number")
        }
        for (place, mask) in zip(network.places, network.masks) {
            slopes[place] = slopes[place].detached().contiguous()
            slopes[place].withMutableElements(Float.self) { mask.apply(to: $0) }
        }
        reveal()
        for (index, parameter) in all.enumerated() {
            optimizer.update(
                parameter, gradient: slopes[index], slots: &state.slots[index], learningRate: rate, step: state.step,
                gradientScale: 1, decays: true)
        }
        state.step += 1
        // Shared until one of both changes.
        weights = network.weights.indices.map { network.values($0) }
        show()
        return value
    }

    /// A step of s on a batch of its own, and the masks that follow from it.
    private func trainMasks(_ batch: LabeledBatch, _ step: Int) throws {
        let flow = try network.gradients(on: [batch])
        withoutRecording {
            let time = Double(step) / Double(options.steps)
            let rate = options.maskRate * (time >= 0.75 ? 0.01 : time >= 0.5 ? 0.1 : 1)
            if options.unit == .weight {
                for index in weights.indices { moveScores(index, slope: flow[index], rate: rate) }
            } else {
                moveUnitScores(flow, rate: rate)
            }
            let before = network.masks
            // θ first, so that the masks meet it at once.
            reveal()
            setMasks(from: scores)
            swapCounts.append(
                zip(network.masks, before).reduce(0) { $0 + $1.0.intersection($1.1.complement).keptCount })
        }
    }

    /// A step of momentum of single weights' scores, in one pass: ``maskGradient(weights:slope:mask:regularization:_:)``,
    /// by the chain rule of |s|.
    private func moveScores(_ index: Int, slope: Tensor, rate: Double) {
        let (momentum, decay, rate) = (Float(options.momentum), Float(options.weightDecay), Float(rate))
        let (gamma, kind, words) = (Float(options.regularization), options.implicitGradient, network.masks[index].words)
        slope.withElements(Float.self) { slope in
            weights[index].withElements(Float.self) { weights in
                scoreVelocities[index].withMutableElements(Float.self) { velocities in
                    scores[index].withMutableElements(Float.self) { scores in
                        for k in scores.indices {
                            let direct = weights[k] * slope[k]
                            var own = direct
                            switch kind {
                            case .formula:
                                let kept = words[k >> 6] >> UInt64(k & 63) & 1
                                own -= kept == 1 ? slope[k] * slope[k] / gamma : 0
                            case .code: own -= direct * direct * 1e-4
                            case .none: break
                            }
                            let sign: Float = scores[k] > 0 ? 1 : scores[k] < 0 ? -1 : 0
                            velocities[k] = velocities[k] * momentum + (own * sign + scores[k] * decay)
                            scores[k] -= velocities[k] * rate
                        }
                    }
                }
            }
        }
    }

    /// A step of momentum of the scores of whole units.
    private func moveUnitScores(_ flow: [Tensor], rate: Double) {
        let slopes = weights.indices.map { index in
            Self.maskGradient(
                weights: weights[index], slope: flow[index], mask: network.masks[index].indicator,
                regularization: options.regularization, options.implicitGradient)
        }
        // The mask follows |s|, or the norm of a unit's s: the chain rule.
        let gradients =
            coupled?.scoreGradients(maskGradients: slopes, scores: scores)
            ?? weights.indices.map { chained(slopes[$0], $0) }
        for index in weights.indices where coupled != nil || hasUnits[index] {
            let signed = gradients[index] + scores[index] * options.weightDecay
            scoreVelocities[index] = scoreVelocities[index] * options.momentum + signed
            scores[index] = scores[index] - scoreVelocities[index] * rate
        }
    }

    /// What the gradient by a unit's mask is to its scores.
    private func chained(_ slope: Tensor, _ index: Int) -> Tensor {
        let layout = layout(index)
        return MaskUnit.scoreGradient(
            maskGradient: slope.reshaped(layout), scores: scores[index].reshaped(layout)
        ).reshaped(slope.shape)
    }

    /// The units of largest norm of each layer.
    private func unitMask(_ index: Int) -> WeightMask {
        let weight = network.weights[index]
        guard hasUnits[index] else { return WeightMask(keepingAllOf: weight.rows, weight.columns) }
        let layout = layout(index)
        let norms = MaskUnit.norms(scores[index].reshaped(layout)).reshaped([1, layout[1]]).contiguous()
        let best = ExactSelection.mask(norms, removing: layout[1] - keptUnits(of: layout[1]))
        let kept = (0..<weight.count).map { best[0, $0 / layout[2] % layout[1]] }
        return WeightMask(rows: weight.rows, columns: weight.columns, kept: kept)
    }

    /// One threshold over all |s|, or the best units of each layer.
    private func setMasks(from scores: [Tensor]) {
        if let coupled {
            let kept = coupled.kept(scores) { keptUnits(of: $0) }
            keptChannels = kept
            return network.setMasks(coupled.masks(kept))
        }
        guard options.unit == .weight else { return network.setMasks(network.weights.indices.map(unitMask)) }
        let sizes = scores.map { $0.abs().contiguous() }
        let threshold = selection.threshold(removing: network.count - keptCount, of: sizes)
        var ties = threshold.ties
        network.setMasks(sizes.map { ExactSelection.mask($0, threshold: threshold, ties: &ties) })
    }

    /// Puts θ into the network, unmasked.
    private func reveal() {
        for (parameter, values) in zip(network.parameters, weights) {
            parameter.wrappedValue = values.reshaped(parameter.wrappedValue.shape)
        }
    }

    /// Puts m ⊙ θ into the network.
    private func show() {
        reveal()
        network.applyMasks()
        if isSettled, let coupled, let keptChannels { coupled.groups.mask(network.network, keeping: keptChannels) }
    }
}
