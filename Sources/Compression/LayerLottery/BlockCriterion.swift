/// What makes a residual block of a network worth keeping.
///
/// Jordao et al., "When layers play the lottery, all tickets win at initialization" (2023), remove the blocks with the
/// lowest scores: at initialization by ``snip`` or ``grasp``, or after training by any of them.
public enum BlockCriterion: String, Sendable, Hashable, CaseIterable {
    /// Σ |w g| over a block's weights (see ``GradientWeightCriterion``).
    case snip
    /// Σ w (H g) over a block's weights (see ``GradientFlowCriterion``): large where the flow of gradients needs the
    /// block.
    case grasp
    /// Seeded: the control.
    case random
    /// Σ |w|. Weights of different stages differ in size, so it takes blocks of one stage; shown to be unsuitable.
    case l1
    /// 1 − the linear CKA of the outputs with and without the block; of language models, of the normalized hidden
    /// states before the output head.
    case cka
    /// The mean Kullback-Leibler divergence, in nats, of the classes' (the next tokens') probabilities without the
    /// block from those with it.
    case kl

    public var needsData: Bool { self != .random && self != .l1 }

    /// How the scores of a block's weights become the block's.
    public enum Aggregate: String, Sendable, Hashable, CaseIterable {
        case sum, mean
    }
}
