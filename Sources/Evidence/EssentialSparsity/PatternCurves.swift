import CoppiceCompression

/// N:M patterns, and what they make of a classifier that is fine-tuned under them, over seeds.
struct PatternCurves {
    typealias Label = EssentialSparsityMeasurement.Label

    /// The curves of a label.
    let curves: (String) -> [SparsityReport.Series]

    private static let lengths = [(Label.groupsOfTwo, 2), (Label.groupsOfFour, 4), (Label.groupsOfEight, 8)]

    /// Groups of two, four and eight, from all but one kept down to one.
    static var variants: [SparsityVariant] { variants(fitting: []) }

    /// Those of groups that divide the rows of some matrices.
    static func variants(fitting weights: [PrunableWeight]) -> [SparsityVariant] {
        lengths.filter { _, length in weights.allSatisfy { $0.columns % length == 0 } }.map { label, length in
            SparsityVariant(label: label, criterion: MagnitudeCriterion(), groupLength: length)
        }
    }

    /// Along N:8, from 7:8 to 1:8.
    var knee: TwoSegmentFit? { curves(Label.groupsOfEight).meanCurve?.kneeFit() }

    /// Accuracies with half of the weights.
    var halves: String {
        let kept = Self.lengths.map { label, length in
            "\(length / 2):\(length) \(MarkupText.percent(1 - curves(label).meanLoss(near: 0.5)))"
        }
        return kept.joined(separator: ", ") + "; without a pattern "
            + MarkupText.percent(1 - curves(Label.global).meanLoss(near: 0.5))
    }

    /// Accuracies of every pattern, a column for each network.
    static func table(_ networks: [(name: String, patterns: PatternCurves)]) -> HTMLTable {
        let rows = lengths.flatMap { label, length -> [[String]] in
            (1..<length).map { removed in
                ["\(length - removed):\(length)", MarkupText.number(Double(removed) / Double(length))]
                    + networks.map { $0.patterns.curves(label).accuracy(at: removed) }
            }
        }
        return HTMLTable(
            head: ["pattern", "sparsity"] + networks.map(\.name), rows: rows,
            numericColumns: Set(1...(1 + networks.count)))
    }
}
