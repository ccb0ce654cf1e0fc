/// What pruning one layer alone does to a network's outputs, by how many weights are left in it.
public struct DistortionCurve: Sendable, Hashable, Codable {
    /// A layer pruned to so many weights.
    public struct Point: Sendable, Hashable, Codable {
        public var kept: Int
        /// The error of the outputs, 0 or more.
        public var distortion: Double

        public init(kept: Int, distortion: Double) {
            self.kept = kept
            self.distortion = distortion
        }
    }

    /// The weight's name.
    public var name: String
    /// Weights of the layer, removed ones included.
    public var count: Int
    /// From the layer as it was, with a distortion of zero, to the fewest weights.
    public var points: [Point]

    /// - Precondition: points with ever fewer weights.
    public init(name: String, count: Int, points: [Point]) {
        precondition(zip(points, points.dropFirst()).allSatisfy { $0.kept > $1.kept }, "\(name): points out of order")
        self.name = name
        self.count = count
        self.points = points
    }

    /// Whether distortion never falls as weights go: what convex hulls are good for.
    public var isMonotone: Bool { zip(points, points.dropFirst()).allSatisfy { $0.distortion <= $1.distortion } }

    /// The distortion with so many weights left, on a line between the points around it. O(points).
    public func distortion(keeping kept: Int) -> Double {
        guard let next = points.firstIndex(where: { $0.kept <= kept }) else { return points.last?.distortion ?? 0 }
        let low = points[next]
        guard next > 0, low.kept < kept else { return low.distortion }
        let high = points[next - 1]
        let part = Double(kept - low.kept) / Double(high.kept - low.kept)
        return low.distortion + (high.distortion - low.distortion) * part
    }

    /// The curve with points on lines between those measured, so that none are further apart than a part of the layer as
    /// the curve finds it: a grid that is quick to measure, fine enough to choose from.
    ///
    /// - Parameter parts: of the weights that are left at the curve's first point.
    public func interpolated(parts: Int = 200) -> DistortionCurve {
        precondition(parts > 0, "\(parts) parts")
        guard let first = points.first else { return self }
        let most = max(1, first.kept / parts)
        var finer = [first]
        for (here, next) in zip(points, points.dropFirst()) {
            let pieces = (here.kept - next.kept + most - 1) / most
            for piece in 1..<max(1, pieces) {
                let kept = here.kept - (here.kept - next.kept) * piece / pieces
                finer.append(Point(kept: kept, distortion: distortion(keeping: kept)))
            }
            finer.append(next)
        }
        return DistortionCurve(name: name, count: count, points: finer)
    }
}

/// The rates that distortion is measured at: parts of what is left of a layer, so that a layer that was pruned before has as
/// fine a choice as a dense one.
public struct RateGrid: Sendable, Hashable {
    /// Even steps K: rates j / K of what is left, below one.
    public var steps: Int
    /// Further rates above the last even one, each halving what survives: for sparsities that a coarse grid does not
    /// resolve.
    public var refinements: Int
    /// Whether a layer may go as a whole, which ends a network without a path around it.
    public var allowsRemoval: Bool

    /// - Precondition: at least one step.
    public init(steps: Int = 100, refinements: Int = 0, allowsRemoval: Bool = false) {
        precondition(steps > 0 && refinements >= 0, "a grid of \(steps) steps")
        self.steps = steps
        self.refinements = refinements
        self.allowsRemoval = allowsRemoval
    }

    /// How many weights of a layer stay at each rate: from what is left of it now, ever fewer.
    ///
    /// - Parameter left: weights of the layer that are not removed yet.
    public func keptCounts(of left: Int) -> [Int] {
        var kept = (0..<steps).map { left - ExactSelection.removedCount(left, sparsity: Double($0) / Double(steps)) }
        for _ in 0..<refinements {
            guard let last = kept.last, last > 1 else { break }
            kept.append(last / 2)
        }
        kept = kept.filter { $0 > 0 }
        if allowsRemoval || kept.isEmpty { kept.append(0) }
        // Small layers have several rates with one count.
        return kept.reduce(into: []) { counts, own in if own < counts.last ?? .max { counts.append(own) } }
    }
}
