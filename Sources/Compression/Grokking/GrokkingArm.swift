/// One way to start training that is compared with the dense network's.
public struct GrokkingArm: Sendable, Hashable {
    /// Where its weights and masks come from; weights are always those of the dense network's initialization.
    public enum Start: Sendable, Hashable {
        /// All weights.
        case dense
        /// The largest weights of the dense run at a step, or at its end.
        case ticket(step: Int?)
        /// All weights, multiplied to the norm of the final ticket's initial weights.
        case matchedNorm(WeightNorms.Order, perTensor: Bool = false)
        /// All weights, with a ``NormPenalty`` in the loss.
        case penalty(NormPenalty.Power, strength: Double)
        /// All weights, with another decay than the dense run.
        case otherDecay
        /// Weights drawn at random.
        case random
        /// Criteria at initialization.
        case snip, grasp, synflow

        /// Whether it begins as the dense run does.
        public var isDense: Bool {
            switch self {
            case .dense, .penalty, .otherDecay: true
            case .ticket, .matchedNorm, .random, .snip, .grasp, .synflow: false
            }
        }
    }

    public var start: Start
    /// κ: the fraction of weights that is kept, or whose norm is matched.
    public var kept: Double
    public var weightDecay: Double
    /// The longest run.
    public var steps: Int

    public init(_ start: Start, kept: Double = 0.4, weightDecay: Double = 1, steps: Int) {
        self.start = start
        self.kept = kept
        self.weightDecay = weightDecay
        self.steps = steps
    }

    /// A name for tables and files, such as `ticket-1500-k0.4`.
    public var name: String {
        let decay = weightDecay == 0 && !isRegularized ? "-no-decay" : ""
        let base =
            switch start {
            case .dense: "dense"
            case .penalty(let power, let strength): "dense-penalty-\(power.rawValue)-\(strength)"
            case .otherDecay: "dense-decay-\(weightDecay)"
            case .ticket(let step): "ticket" + (step.map { "-\($0)" } ?? "")
            case .matchedNorm(let order, let perTensor): "dense-\(order.rawValue)" + (perTensor ? "-per-tensor" : "")
            case .random: "random"
            case .snip: "snip"
            case .grasp: "grasp"
            case .synflow: "synflow"
            }
        return base + (start.isDense ? "" : "-k\(kept)") + decay
    }

    /// Whether its name tells how it is regularized.
    private var isRegularized: Bool {
        switch start {
        case .penalty, .otherDecay: true
        default: false
        }
    }
}

/// What came of an arm.
public struct GrokkingOutcome: Sendable, Hashable {
    public var arm: GrokkingArm
    public var curve: GrokkingCurve
    /// Norms of the weights that training started from.
    public var initialNorms: WeightNorms
    /// |A ∩ B| / |A ∪ B| of its masks and the final ticket's of the same κ; nil for dense arms.
    public var overlap: Double?

    public init(arm: GrokkingArm, curve: GrokkingCurve, initialNorms: WeightNorms, overlap: Double? = nil) {
        self.arm = arm
        self.curve = curve
        self.initialNorms = initialNorms
        self.overlap = overlap
    }

    /// The dense τ_grok divided by this one's; nil where this one did not generalize.
    public func speedUp(over dense: GrokkingOutcome) -> Double? {
        guard let own = curve.delay, let whole = dense.curve.delay else { return nil }
        // Learned and generalized within one interval: as if it took one step.
        return Double(whole) / Double(max(1, own))
    }
}
