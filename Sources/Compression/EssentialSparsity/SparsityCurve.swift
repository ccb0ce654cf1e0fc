/// Loss as a function of sparsity, and where it stops being free to prune.
///
/// The operational form of "essential sparsity" (Jaiswal et al., "The Emergence of Essential Sparsity in Large
/// Pre-trained Models: The Weights that Matter", 2023, which defines it in words as the sharp dropping point).
public struct SparsityCurve: Sendable, Hashable, Codable {
    /// Increasing sparsities, the first one zero (the dense model).
    public var sparsities: [Double]
    /// Mean loss at each sparsity: in nats, or the share of errors; lower is better.
    public var losses: [Double]

    /// - Precondition: as many losses as sparsities, at least one, sparsities increasing from zero.
    public init(sparsities: [Double], losses: [Double]) {
        precondition(sparsities.count == losses.count && sparsities.first == 0, "a curve starts with the dense model")
        precondition(zip(sparsities, sparsities.dropFirst()).allSatisfy(<), "sparsities must increase")
        self.sparsities = sparsities
        self.losses = losses
    }

    /// The largest sparsity on the grid up to which the loss never exceeds the tolerance:
    /// loss(s') ≤ loss(0) + τ·(chance − loss(0)) for all s' ≤ s.
    ///
    /// - Parameters:
    ///   - tolerance: τ, the fraction of what the model has learned that may be lost.
    ///   - chanceLoss: the loss of knowing nothing: ln(vocabulary size) of a language model, 1 − 1 / n of the errors of a
    ///     classifier of n classes alike. For errors this is P(s') ≥ P(0) − τ (P(0) − P_chance) of accuracies P.
    public func tolerancePoint(tolerance: Double = 0.01, chanceLoss: Double) -> Double {
        let limit = losses[0] + tolerance * max(0, chanceLoss - losses[0])
        // What is at the limit is within it, whatever rounding makes of either.
        let within = zip(sparsities, losses).prefix { $0.1 <= limit + abs(limit) * 1e-12 }
        return within.last?.0 ?? 0
    }

    /// The curve up to the first point that has lost nearly all that was learned, 95 %, and at least its first four points.
    ///
    /// Behind that point an accuracy can only stay at chance, and two segments would bend where it gets there rather than
    /// where it begins to fall.
    public func untilChance(_ chanceLoss: Double) -> SparsityCurve {
        let limit = losses[0] + 0.95 * max(0, chanceLoss - losses[0])
        let first = losses.firstIndex { $0 >= limit } ?? losses.count - 1
        let count = max(first + 1, 4)
        return SparsityCurve(sparsities: Array(sparsities.prefix(count)), losses: Array(losses.prefix(count)))
    }

    /// The fit to the curve, or to that until chance.
    func knee(untilChance chanceLoss: Double?) -> TwoSegmentFit? { (chanceLoss.map(untilChance) ?? self).kneeFit() }

    /// The two-segment fit to the curve after isotonic smoothing. Nil for fewer than four points.
    ///
    /// - Parameter upTo: points beyond this sparsity are left out. Near chance a loss can only flatten or turn
    ///   erratic, which says nothing about the knee.
    public func kneeFit(upTo limit: Double = 1) -> TwoSegmentFit? {
        let count = sparsities.count { $0 <= limit }
        let smooth = IsotonicRegression.nonIncreasing(losses.map { -$0 }).map { -$0 }
        return TwoSegmentFit(Array(sparsities[..<count]), Array(smooth[..<count]))
    }
}

extension TwoSegmentFit {
    /// |slope after| / |slope before|: how sharp the knee is. One for a flat curve, infinite behind a flat start.
    public var slopeRatio: Double {
        let before = abs(slopeBefore)
        let after = abs(slopeAfter)
        // Slopes that rounding alone explains are zero.
        let noise = abs(value) * 1e-12
        if after <= noise && before <= noise { return 1 }
        return before <= noise ? .infinity : after / before
    }

    /// Whether the curve breaks at its knee: at least five times as steep after it as before.
    public var isSharp: Bool { slopeRatio >= 5 }
}
