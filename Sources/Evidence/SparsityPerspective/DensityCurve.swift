import Foundation

/// What was measured of a network level by level as it got sparser.
package struct DensityCurve: Sendable, Hashable {
    /// One level.
    package struct Point: Sendable, Hashable {
        /// The part of the prunable weights that is there.
        package var density: Double
        /// Test accuracy after training.
        package var accuracy: Double
        /// Test accuracy right after the next part is removed; NaN at the last level.
        package var prunedAccuracy = Double.nan
        /// The PQ indices (1/2, 1) and (1, 2) of all weights that are there, after training.
        package var indices: [Double] = []
        /// The same right after the next part is removed, over the weights left.
        package var prunedIndices: [Double] = []
        /// The part of what was there that was removed.
        package var removedPart = Double.nan

        package init(density: Double, accuracy: Double, indices: [Double] = []) {
            self.density = density
            self.accuracy = accuracy
            self.indices = indices
        }
    }

    /// From dense to sparse.
    package var points: [Point]

    package init(points: [Point]) { self.points = points }

    /// The accuracy at a density, interpolated over its logarithm; nil beyond the measured ones.
    package func accuracy(at density: Double) -> Double? {
        if let exact = points.first(where: { abs($0.density - density) < 1e-9 }) { return exact.accuracy }
        for (a, b) in zip(points, points.dropFirst()) where a.density > density && density > b.density {
            let part = (log(a.density) - log(density)) / (log(a.density) - log(b.density))
            return a.accuracy + (b.accuracy - a.accuracy) * part
        }
        return nil
    }

    /// The density after some rounds, the last one where it stopped before; NaN of nothing.
    package func density(afterRounds count: Int) -> Double { points.prefix(count + 1).last?.density ?? .nan }

    /// The least density that was reached; NaN of nothing.
    package var lastDensity: Double { points.last?.density ?? .nan }

    /// The parts removed between levels.
    package var removedParts: [Double] { points.map(\.removedPart).filter { !$0.isNaN } }

    /// The standard deviation of the parts removed over their mean; NaN of fewer than two.
    package var variation: Double {
        let parts = removedParts
        guard parts.count > 1 else { return .nan }
        let statistics = SeedStatistics(parts)
        return statistics.standardDeviation / statistics.mean
    }

    /// Pearson's correlation of the parts removed with an index before they were; NaN of fewer than two.
    package func correlation(withIndex place: Int) -> Double {
        let pairs = points.filter { !$0.removedPart.isNaN }.map { ($0.indices[place], $0.removedPart) }
        let (x, y) = (SeedStatistics(pairs.map(\.0)), SeedStatistics(pairs.map(\.1)))
        guard pairs.count > 1 else { return .nan }
        let products = pairs.reduce(0.0) { $0 + ($1.0 - x.mean) * ($1.1 - y.mean) }
        return products / (Double(pairs.count - 1) * x.standardDeviation * y.standardDeviation)
    }

    /// By how much an index first falls: 1 − (its least value up to the one from which it only rises) / (its first),
    /// 0 where it rises at once.
    package func initialFall(ofIndex place: Int) -> Double {
        let values = points.map { $0.indices[place] }
        guard let first = values.first, first > 0 else { return .nan }
        var least = first
        for value in values.dropFirst() {
            guard value < least else { break }
            least = value
        }
        return 1 - least / first
    }
}
