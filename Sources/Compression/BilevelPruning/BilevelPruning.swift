import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Prunes and retrains at once: masks are the upper level of a bi-level problem whose lower level trains the weights
/// under them.
///
/// Zhang et al., "Advancing model pruning via bi-level optimization" (2022). With z = m ⊙ θ and g = ∂ℓ/∂z, the lower
/// level min_θ ℓ(m ⊙ θ) + (γ/2)‖θ‖² has, without curvature of ℓ, the implicit gradient dθ*/dm = −(1/γ) diag(g), so
///
/// dℓ/dm = θ ⊙ g − (1/γ) m ⊙ g ⊙ g.
///
/// It moves real scores s; the mask keeps the largest |s|, or the filters or channels with the largest norm of s. Each
/// round takes a step of θ on one batch, then a step of s on another, and thresholds again (or the other way round,
/// ``Options/order``).
///
/// Weights that are removed keep their value of θ and their momentum, since they may return; the network holds m ⊙ θ.
/// From three quarters of the steps the choice stands, and what is left trains alone.
///
/// With ``ChannelGroups`` the units are whole channels, so that a smaller network can be cut out. While the choice is open
/// only what a channel passes is masked, which lets it return: its batch normalizations (``ChannelGates``), without them
/// the filters that make it, or with ``MaskUnit/channel`` what reads it. Then all that belongs to removed channels is zero.
public final class BilevelPruning {
    public let network: PrunableNetwork
    public let options: Options
    /// How many weights, or whole channels, entered the mask at each upper step: none once the choice stands.
    public private(set) var swapCounts: [Int] = []
    /// The channels that stay; nil where the units are not those of ``ChannelGroups``.
    public private(set) var keptChannels: KeptChannels?

    private let lowerLevel: SupervisedTraining
    private var unmasked: UnmaskedWeights
    private var learned: LearnedScores
    /// Nil for single weights.
    private let units: UnitSelection?
    /// What hides removed channels while the choice is open.
    private var gates: ChannelGates?
    private var selection = TrackedSelection()
    /// Whether the choice of channels stands.
    private var isSettled = false

    /// - Parameters:
    ///   - network: trained. Masks that it has are forgotten.
    ///   - channels: the network's, for units that are cut out of it together; nil: the filters or channels of each
    ///     convolution by itself.
    /// - Throws: `.usage` for options out of range, and for units of convolutions where there are none.
    public init(_ network: PrunableNetwork, options: Options, channels: ChannelGroups? = nil) throws {
        try options.check()
        self.network = network
        self.options = options
        lowerLevel = options.lowerLevel
        units =
            options.unit == .weight
            ? nil : try UnitSelection(options.unit, kept: options.kept, of: network, channels: channels)
        unmasked = UnmaskedWeights(network)
        learned = LearnedScores(
            unmasked.values, momentum: options.momentum, decay: options.weightDecay,
            decideBySize: options.unit == .weight)
        if options.unit == .filter { gates = units?.coupled?.gates(of: network.network) }
        network.setMasks(choose(), values: unmasked.values)
        showGates()
    }

    /// θ of each prunable weight, f32 `[rows, columns]`: kept or not.
    public var weights: [Tensor] { unmasked.values }

    /// s of each prunable weight.
    public var scores: [Tensor] { learned.values }

    /// Kept weights: ⌊keep · n⌋ over all prunable weights together, at least one; of units ⌈keep · n⌉ of each
    /// convolution's n, and all of what is no convolution; of whole channels, what the masks keep now (all, where gates hide
    /// channels, until the choice stands).
    public var keptCount: Int {
        guard let units else { return max(1, ExactSelection.removedCount(network.count, sparsity: options.kept)) }
        return units.coupled == nil ? units.keptCount : network.count - network.removedCount
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
    ///   - hooks: what else acts on the steps of the weights.
    ///   - progress: told the upper step and the loss of the last lower one, NaN where there is none.
    /// - Throws: `.badData` for a loss or gradient that is not finite; what hooks and `progress` throw.
    /// - Complexity: of a step, ``Options/lowerSteps`` + 1 forward and backward passes and O(N).
    public func run(
        lower: any BatchSource, upper: any BatchSource, hooks: [any TrainingHook] = [],
        progress: (_ step: Int, _ loss: Double) throws -> Void = { _, _ in }
    ) throws {
        let masksFollow = options.order == .lowerFirst || options.lowerSteps == 0
        func finish(_ step: Int, _ loss: Double) throws {
            if masksFollow { try trainMasks(upper, step) }
            try progress(step, loss)
        }
        let own = network.network
        if options.lowerSteps == 0 {
            own.setTraining(true)
            for step in 0..<options.steps { try finish(step, .nan) }
        } else {
            var state = OptimizerState(lowerLevel.optimizer, for: own)
            let count = options.lowerSteps
            try lowerLevel.run(
                own, on: lower, steps: 0..<options.steps * count, state: &state,
                hooks: hooks + [LowerLevel(self, maskBatches: masksFollow ? nil : upper)]
            ) { step, loss in
                if (step + 1) % count == 0 { try finish(step / count, loss) }
            }
        }
        settle()
    }

    /// A step of θ: its gradient is m ⊙ g.
    private final class LowerLevel: TrainingHook {
        private let pruning: BilevelPruning
        /// What masks train on before the first step of each round; nil where they follow the last.
        private let maskBatches: (any BatchSource)?

        init(_ pruning: BilevelPruning, maskBatches: (any BatchSource)?) {
            self.pruning = pruning
            self.maskBatches = maskBatches
        }

        func willStep(_ step: Int) throws {
            let (round, place) = step.quotientAndRemainder(dividingBy: pruning.options.lowerSteps)
            if place == 0, let maskBatches { try pruning.trainMasks(maskBatches, round) }
        }

        func willUpdate(_ step: Int, gradients: inout [Tensor]) {
            pruning.unmasked.reveal(&gradients)
            if let kept = pruning.keptChannels { pruning.gates?.reveal(&gradients, kept) }
        }

        func didStep(_ step: Int, state: inout OptimizerState) {
            pruning.unmasked.conceal()
            if let kept = pruning.keptChannels { pruning.gates?.conceal(kept) }
            pruning.maskWholeChannels()
        }
    }

    /// A step of s on a batch of its own, and the masks that follow from it; none once the choice stands.
    private func trainMasks(_ source: any BatchSource, _ step: Int) throws {
        guard let rate = options.maskRate(at: step) else {
            settle()
            return swapCounts.append(0)
        }
        showGates(passing: ChannelGates.slit)
        let (flow, gateFlow) = network.slopes(on: source.batch(at: step), and: gates?.parameters ?? []) {
            self.lowerLevel.loss(of: self.network.network, $0)
        }
        try withoutRecording {
            try move(flow, gateFlow, rate: rate)
            let (masks, channels) = (network.masks, keptChannels)
            network.setMasks(choose(), values: unmasked.values, isShown: true)
            showGates()
            swapCounts.append(
                channels.flatMap { before in keptChannels.map { $0.count(notIn: before) } }
                    ?? zip(network.masks, masks).reduce(0) { $0 + $1.0.keptCount - $1.0.commonCount($1.1) })
        }
    }

    private func showGates(passing: Double = 0) {
        if let keptChannels { gates?.show(keptChannels, passing: passing) }
    }

    /// A step of momentum of the scores, by the chain rule of |s| or of the norm of a unit's s.
    ///
    /// - Throws: `.badData` naming a weight whose gradient is not finite.
    private func move(_ flow: [Tensor], _ gateFlow: [Tensor], rate: Double) throws {
        guard let units else {
            for (index, slope) in flow.enumerated() {
                try learned.move(
                    index, weights: unmasked.values[index], slope: slope, mask: network.masks[index], rate: rate,
                    name: network.weights[index].name, implicit: options.implicitGradient,
                    regularization: options.regularization)
            }
            return
        }
        for (slope, weight) in zip(flow, network.weights) {
            try ExactSelection.checkFinite(slope, name: "\(weight.name) (gradient)")
        }
        let slopes = flow.indices.map { index in
            Self.maskGradient(
                weights: unmasked.values[index], slope: flow[index], mask: network.masks[index].indicator,
                regularization: options.regularization, options.implicitGradient)
        }
        let ofGates = try keptChannels.flatMap { kept in
            try gates?.maskGradients(
                gateFlow, kept, regularization: options.regularization, options.implicitGradient)
        }
        let moves = units.scoreGradients(
            maskGradients: slopes, scores: learned.values, gateGradients: ofGates ?? [:])
        for (index, slope) in moves.enumerated() {
            if let slope { learned.move(index, along: slope, rate: rate) }
        }
    }

    /// One threshold over all |s|, as they are or over their layer's scale, or the best units of each layer.
    private func choose() -> [WeightMask] {
        if let units {
            let (masks, channels) = units.masks(learned.values, except: gates?.groups ?? [])
            keptChannels = channels
            return masks
        }
        let scores = options.scoreScale == .raw ? learned.values : learned.values.map(Self.overScale)
        let threshold = selection.threshold(removing: network.count - keptCount, of: scores, bySize: true)
        var ties = threshold.ties
        return scores.map { ExactSelection.mask($0, threshold: threshold, ties: &ties, bySize: true) }
    }

    /// Scores of a layer over their root mean square; zeros where all are zero.
    package static func overScale(_ scores: Tensor) -> Tensor {
        let square = scores.converted(to: .f64).square().mean().doubles()[0]
        return (scores * (1 / max(square.squareRoot(), Double(Float.leastNormalMagnitude)))).contiguous()
    }

    /// Removes all that belongs to the channels that are not kept, for good.
    private func settle() {
        guard let coupled = units?.coupled, let keptChannels, !isSettled else { return }
        isSettled = true
        gates = nil
        network.setMasks(coupled.wholeMasks(keptChannels), values: unmasked.values)
        maskWholeChannels()
    }

    /// Sets norms and biases of removed channels to zero too, once the choice stands.
    private func maskWholeChannels() {
        guard isSettled, let coupled = units?.coupled, let keptChannels else { return }
        coupled.groups.mask(network.network, keeping: keptChannels)
    }
}
