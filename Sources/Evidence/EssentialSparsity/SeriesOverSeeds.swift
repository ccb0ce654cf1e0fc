import CoppiceCompression
import CoppiceModels
import OrderedCollections

/// Curves of one kind, one for each seed, all at the same sparsities. Losses are shares of errors where a classifier is
/// measured.
extension [SparsityReport.Series] {
    /// The curves of a label in the reports that there are.
    init(_ label: String, in reports: [SparsityReport?]) {
        self = reports.compactMap { $0?.series.first { $0.label == label } }
    }

    /// Of losses; nil of no curve.
    var meanCurve: SparsityCurve? {
        guard let first else { return nil }
        return SparsityCurve(
            sparsities: first.points.map(\.sparsity), losses: first.points.indices.map { meanLoss(at: $0) })
    }

    /// At a point of the curves, the first of which is the dense one; NaN where there is none.
    func meanLoss(at index: Int) -> Double {
        SeedStatistics(compactMap { $0.points.indices.contains(index) ? $0.points[index].loss : nil }).mean
    }

    /// At the measured sparsity nearest to one; NaN where there is none near.
    func meanLoss(near sparsity: Double) -> Double {
        SeedStatistics(map { EssentialSparsityMeasurement.loss($0, at: sparsity) }).mean
    }

    /// The mean loss less that of others near a sparsity of both.
    func gap(to other: [SparsityReport.Series], near sparsity: Double) -> Double {
        meanLoss(near: sparsity) - other.meanLoss(near: sparsity)
    }

    /// The mean loss less that of others at a point of both.
    func gap(to other: [SparsityReport.Series], at index: Int) -> Double {
        meanLoss(at: index) - other.meanLoss(at: index)
    }

    /// Shares that are right at a point, in percent.
    func accuracy(at index: Int) -> String {
        SeedStatistics(map { 1 - $0.points[index].loss }).percent
    }

    /// Mean s_τ.
    var tolerancePoint: Double { SeedStatistics(map(\.tolerancePoint)).mean }

    /// The mean s_τ less that of others.
    func toleranceLead(over other: [SparsityReport.Series]) -> Double {
        // Counts are whole, so equal points of the grid may differ in the last digits.
        ((tolerancePoint - other.tolerancePoint) * 1e6).rounded() / 1e6
    }

    /// The mean curve to draw, by default of accuracies in percent.
    func line(_ name: String, _ value: (Double) -> Double = { (1 - $0) * 100 }) -> LineChart.Series {
        let curve = meanCurve
        let points = zip(curve?.sparsities ?? [], curve?.losses ?? []).map { (x: $0, y: value($1)) }
        return LineChart.Series(name: name, points: points)
    }
}

extension [Double] {
    /// The least; NaN where one is, and of none.
    var leastNumber: Double { contains(where: \.isNaN) ? .nan : self.min() ?? .nan }
    /// The largest; NaN where one is, and of none.
    var largestNumber: Double { contains(where: \.isNaN) ? .nan : self.max() ?? .nan }
}

extension SeedStatistics {
    /// Means over seeds of a course of numbers, one course for each seed, all of one length.
    static func means(of courses: [[Double]]) -> [Double] {
        (courses.first ?? []).indices.map { index in SeedStatistics(courses.map { $0[index] }).mean }
    }
}

extension SparsityReport {
    /// s_τ of the first series; nil where the dense model knows no more than guessing: it has nothing to lose.
    var learnedTolerancePoint: Double? {
        guard let first = series.first, let dense = first.points.first, dense.loss < chanceLoss else { return nil }
        return first.tolerancePoint
    }

    /// Each series with its losses and s_τ.
    var curvesJSON: JSON {
        .array(
            series.map { series in
                .object([
                    "method": .string(series.label),
                    "sparsity": .array(series.points.map { .number($0.sparsity) }),
                    "loss": .array(series.points.map { .number($0.loss) }),
                    "tolerance_point": .number(series.tolerancePoint),
                ])
            })
    }
}

extension Comparison {
    /// Whether a share of so many weights is larger than another by more than 4 standard errors of their difference; in
    /// points.
    static func largerShare(_ name: String, _ share: Double, than other: Double, of count: Int) -> Comparison {
        let pooled = (share + other) / 2
        let error = (pooled * (1 - pooled) * 2 / Double(Swift.max(1, count))).squareRoot()
        return Comparison(name, (share - other) * 100, .above, 4 * error * 100, unit: "points")
    }
}

extension JSON {
    /// An object of a value for each case of a type, by its name.
    static func byCase<Case: CaseIterable & RawRepresentable<String>>(_ value: (Case) -> JSON) -> JSON {
        .object(OrderedDictionary(Case.allCases.map { ($0.rawValue, value($0)) }) { first, _ in first })
    }
}

extension [SparsityReport] {
    /// The matrix that loses more than 95 % at the smallest sparsity of all, under the masks of a label.
    func firstStarved(by label: String) -> (weight: String, sparsity: Double)? {
        let starved = flatMap { report in
            report.series.first { $0.label == label }.map { report.starvedWeights(in: $0) } ?? []
        }
        return starved.min { $0.sparsity < $1.sparsity }
    }
}

extension SparsityVariant {
    /// Those of the standard ones that are named.
    static func standard(sparsities: [Double], _ labels: [String], seed: UInt64) -> [SparsityVariant] {
        standard(sparsities: sparsities, seed: seed).filter { labels.contains($0.label) }
    }
}
