import CoppiceTensors

/// What an allocation by curves gives each layer, with a certificate of how far it can be from the best.
public struct RatePlan: Sendable, Hashable {
    /// One layer.
    public struct Layer: Sendable, Hashable {
        public var name: String
        /// Its weights, removed ones included.
        public var count: Int
        public var kept: Int
        /// What an entry costs of the budget.
        public var cost: Int
        /// What pruning this layer alone does to the outputs, on a line between the points around it.
        public var distortion: Double

        /// The part that is removed.
        public var rate: Double { count == 0 ? 0 : Double(count - kept) / Double(count) }
    }

    /// In the order of the curves.
    public var layers: [Layer]
    /// No split within the budget has a distortion below this, but for rounding: the bound of the Lagrangian relaxation.
    public var lowerBound: Double

    /// The sum of the layers' distortions, which the outputs' is near to.
    public var distortion: Double { layers.reduce(0) { $0 + $1.distortion } }
    /// What a better split could save at most.
    public var gap: Double { max(0, distortion - lowerBound) }
    /// The same as a part of the distortion; 0 of none.
    public var relativeGap: Double { distortion > 0 ? gap / distortion : 0 }
    public var count: Int { layers.reduce(0) { $0 + $1.count } }
    public var kept: Int { layers.reduce(0) { $0 + $1.kept } }
    /// The part of all weights that is removed.
    public var sparsity: Double { count == 0 ? 0 : Double(count - kept) / Double(count) }
    /// What all entries cost.
    public var totalCost: Int { layers.reduce(0) { $0 + $1.count * $1.cost } }
    /// What kept entries cost.
    public var keptCost: Int { layers.reduce(0) { $0 + $1.kept * $1.cost } }
}

extension RateDistortionAllocation {
    /// The split of a sparsity over all curves.
    ///
    /// - Throws: `.usage` for a sparsity below what is removed already or beyond the curves' ends, and what the solver
    ///   throws; `.badData` without curves.
    /// - Complexity: that of the solver, and O(L·K log LK) for the bound.
    public func plan(sparsity: Double) throws -> RatePlan {
        let problem = try problem(curves, sparsity: sparsity)
        let most = curves.reduce(0) { $0 + ($1.points.first?.kept ?? 0) * cost($1) }
        let total = curves.reduce(0) { $0 + $1.count * cost($1) }
        guard problem.budget <= most else {
            throw CoppiceError.sparsityBelow(sparsity, 1 - Double(most) / Double(max(1, total)))
        }
        let kept = keptCounts(curves, try problem.solved(by: solver), budget: problem.budget)
        return RatePlan(
            layers: zip(curves, kept).map {
                .init(
                    name: $0.name, count: $0.count, kept: $1, cost: cost($0), distortion: $0.distortion(keeping: $1))
            }, lowerBound: try problem.solved(by: .lagrangian).lowerBound)
    }
}
