import CoppiceCompression
import CoppiceModels

/// What the checkpoints of one kind of pre-training show, means over seeds.
package struct PretrainingCourse {
    let name: String
    /// Steps taken at the checkpoints, the first being the start.
    let steps: [Int]
    private let seeds: [[PretrainingCheckpoint]]

    /// What thresholds are multiples of.
    typealias Unit = KeyPath<NearZeroShares, [Double]>
    static var units: [Unit] { [\.fixed, \.relative] }

    /// - Parameter seeds: the checkpoints of each seed, all at the same steps.
    package init(_ name: String, _ seeds: [[PretrainingCheckpoint]]) {
        (self.name, self.seeds) = (name, seeds)
        steps = seeds.first?.map(\.step) ?? []
    }

    /// Shares of weights below a threshold, checkpoint by checkpoint.
    func nearZero(_ unit: Unit = \.fixed, threshold: Int = NearZeroShares.tenth) -> [Double] {
        SeedStatistics.means(of: seeds.map { $0.map { $0.nearZero[keyPath: unit][threshold] } })
    }

    /// The share at the end.
    func last(_ unit: Unit = \.fixed, threshold: Int = NearZeroShares.tenth) -> Double {
        nearZero(unit, threshold: threshold).last ?? .nan
    }

    /// s_τ at the checkpoints where every seed has it.
    var tolerancePoints: [Double?] {
        steps.indices.map { index in
            let own = seeds.compactMap { $0[index].tolerancePoint }
            return own.count == seeds.count ? SeedStatistics(own).mean : nil
        }
    }

    // MARK: - Judged

    /// `0.1 × RMS₀`.
    static func threshold(_ place: Int, _ unit: Unit = \.fixed) -> String {
        MarkupText.number(NearZeroShares.thresholds[place]) + (unit == \NearZeroShares.fixed ? " × RMS₀" : " × RMS")
    }

    /// Whether more of so many weights are near zero at the end than at the start, at each judged threshold.
    package func rises(of count: Int) -> [Comparison] {
        NearZeroShares.judged.map { place in
            .largerShare(
                "share of |w| < \(Self.threshold(place)), last − first, \(name)", last(threshold: place),
                than: nearZero(threshold: place).first ?? .nan, of: count * seeds.count)
        }
    }

    /// Whether more of so many weights are near zero at the end than at that of another course, at each judged
    /// threshold.
    func leads(over other: PretrainingCourse, of count: Int) -> [Comparison] {
        NearZeroShares.judged.map { place in
            .largerShare(
                "share of |w| < \(Self.threshold(place)), \(name) − \(other.name)", last(threshold: place),
                than: other.last(threshold: place), of: count * seeds.count)
        }
    }

    /// The largest rise between checkpoints over the mean one, and the step after which it begins; NaN where the share
    /// does not rise.
    package var largestRise: (ratio: Double, step: Double) {
        let course = nearZero()
        let rises = zip(course, course.dropFirst()).map { $1 - $0 }
        let whole = rises.reduce(0, +)
        guard whole > 0, let place = rises.indices.max(by: { rises[$0] < rises[$1] }) else { return (.nan, .nan) }
        return (rises[place] / (whole / Double(rises.count)), Double(steps[place]))
    }

    /// Whether the share rises abruptly, and not from the start on.
    package var risesAbruptly: [Comparison] {
        [
            Comparison("largest rise / mean rise, \(name)", largestRise.ratio, .atLeast, 3),
            Comparison("step after which it begins, \(name)", largestRise.step, .above, 0),
        ]
    }

    /// `name: below 0.1 × RMS₀ 7.97 → 2.10 %, below 0.1 × RMS 7.97 → 8.40 %`.
    var summary: String {
        let shares = Self.units.map { unit -> String in
            let course = nearZero(unit)
            return "below \(Self.threshold(NearZeroShares.tenth, unit)) "
                + "\(MarkupText.number((course.first ?? .nan) * 100, digits: 3)) → "
                + MarkupText.percent(course.last ?? .nan, places: 2)
        }
        return "\(name): " + shares.joined(separator: ", ")
    }

    /// Where the share changes most, of fixed thresholds and of relative ones.
    var changes: String {
        let found = Self.units.map { unit -> String in
            let threshold = Self.threshold(NearZeroShares.tenth, unit)
            guard let change = ChangePoint(nearZero(unit)) else { return "below \(threshold) no change" }
            let jump = MarkupText.number(change.largestJump * 100, digits: 3)
            return "below \(threshold) the largest jump \(jump) points between steps "
                + "\(steps[change.largestJumpIndex - 1]) and \(steps[change.largestJumpIndex]), cumulative sum at step "
                + "\(steps[change.cumulativeSumIndex])"
        }
        return "\(name): " + found.joined(separator: ", ")
    }

    // MARK: - Shown

    /// Cells of a row of what is left in the end: shares below a hundredth and a tenth of RMS₀ and of RMS.
    var lastShares: [String] {
        Self.units.flatMap { unit in
            NearZeroShares.judged.map { MarkupText.percent(last(unit, threshold: $0), places: 4 - $0) }
        }
    }
    static var lastSharesHead: [String] {
        units.flatMap { unit in NearZeroShares.judged.map { "|w| < \(threshold($0, unit))" } }
    }

    /// The curve of weights near zero, from the first step on.
    var line: LineChart.Series {
        LineChart.Series(name: name, points: zip(steps, nearZero()).dropFirst().map { (x: Double($0), y: $1 * 100) })
    }
}

extension [PretrainingCourse] {
    /// Shares of weights near zero, step by step.
    var nearZeroTable: HTMLTable {
        let units = PretrainingCourse.units
        let columns = flatMap { own in units.map { own.nearZero($0) } }
        let heads = flatMap { own in
            units.map { "\(own.name), |w| < \(PretrainingCourse.threshold(NearZeroShares.tenth, $0))" }
        }
        let rows = (first?.steps ?? []).enumerated().map { index, step in
            ["\(step)"] + columns.map { MarkupText.percent($0[index], places: 2) }
        }
        return HTMLTable(head: ["step"] + heads, rows: rows, numericColumns: Set(0...heads.count))
    }

    /// s_τ without fine-tuning, at the steps at which it was measured.
    var toleranceTable: HTMLTable {
        let columns = map(\.tolerancePoints)
        let rows = (first?.steps ?? []).enumerated().compactMap { index, step -> [String]? in
            let points = columns.map { $0[index] }
            guard points.contains(where: { $0 != nil }) else { return nil }
            return ["\(step)"] + points.map { $0.map { MarkupText.number($0, digits: 3) } ?? MarkupText.missing }
        }
        return HTMLTable(head: ["step"] + map(\.name), rows: rows, numericColumns: Set(0...count))
    }

    /// Shares of weights near zero along a pre-training.
    func illustration(id: String, title: String) -> ExperimentReport.Illustration {
        .init(
            id: id,
            LineChart(
                title: title,
                summary:
                    "Share of weights below a tenth of the root mean square that their matrix began with, by step.",
                horizontalTitle: "step of pre-training", verticalTitle: "per cent of weights",
                series: map(\.line), horizontalSpacing: .logarithmic),
            caption: "Means over seeds, thresholds that stay. A normal distribution begins at 7.97 %.")
    }
}

extension [PretrainingCheckpoint] {
    var json: JSON {
        .array(
            map { checkpoint in
                .object([
                    "step": .integer(checkpoint.step), "near_zero": checkpoint.nearZero.json,
                    "tolerance_point": checkpoint.tolerancePoint.map { .number($0) } ?? .null,
                ])
            })
    }
}
