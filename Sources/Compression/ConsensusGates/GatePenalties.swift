import CoppiceTensors

/// What gates are trained towards, by the means ḡ of a batch: `[gates]`, from 0 to 1.
///
/// Source: Zhi et al., "Learning a consensus sub-network with polarization regularization and one pass training" (2023).
public enum GatePenalties {
    /// The mean of ḡ (1 − ḡ): 0 exactly where each gate is unanimous over the batch, at most ¼.
    public static func polarization(_ means: Tensor) -> Tensor { (means * (1 - means)).mean() }

    /// Σ w ḡ: the open part.
    ///
    /// - Parameter weights: of each gate, adding up to 1; nil for all alike.
    public static func open(_ means: Tensor, weights: Tensor? = nil) -> Tensor {
        weights.map { (means * $0).sum() } ?? means.mean()
    }

    /// (Σ w ḡ − t)²: how far the open part is from the target.
    ///
    /// - Parameters:
    ///   - weights: of each gate, adding up to 1; nil for all alike.
    ///   - target: t, the part that is to stay open.
    public static func activation(_ means: Tensor, weights: Tensor? = nil, target: Double) -> Tensor {
        (open(means, weights: weights) - target).square()
    }
}
