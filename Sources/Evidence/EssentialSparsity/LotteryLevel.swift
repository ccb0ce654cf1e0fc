import CoppiceCompression
import CoppiceModels

/// A level of iterative pruning beside the one-shot mask of its size.
package struct LotteryLevel: Sendable {
    package var sparsity: Double
    /// Test error in parts, as those of the sweeps.
    package var errors: [Double]
    package var agreement: MaskAgreement

    package init(sparsity: Double, errors: [Double], agreement: MaskAgreement) {
        (self.sparsity, self.errors, self.agreement) = (sparsity, errors, agreement)
    }

    package var error: Double { errors.reduce(0, +) / Double(errors.count) }
}

/// Masks of iterative pruning beside those of one shot, over seeds.
struct LotteryComparison {
    /// The levels of each seed.
    let levels: [[LotteryLevel]]
    /// Magnitude masks of one shot, fine-tuned.
    let oneShot: [SparsityReport.Series]
    /// Their knee.
    let knee: TwoSegmentFit?

    var sparsities: [Double] { levels.first?.map(\.sparsity) ?? [] }

    private func mean(at place: Int, _ value: (LotteryLevel) -> Double) -> Double {
        SeedStatistics(levels.map { value($0[place]) }).mean
    }

    /// Shares that are right under iterative masks of a sparsity, in percent.
    func accuracy(at sparsity: Double) -> String {
        guard let place = sparsities.firstIndex(of: sparsity) else { return MarkupText.missing }
        return SeedStatistics(levels.map { 1 - $0[place].error }).percent
    }

    /// The accuracy under one-shot masks less that under iterative ones, in points.
    private func lead(at place: Int) -> Double {
        (mean(at: place) { $0.error } - oneShot.meanLoss(near: sparsities[place])) * 100
    }

    private func cosine(at place: Int) -> Double { mean(at: place) { $0.agreement.cosine } }

    /// Places of the sparsities up to the knee; the first at least.
    private var upToKnee: [Int] {
        let limit = knee?.breakpoint ?? 0
        return sparsities.indices.filter { $0 == 0 || sparsities[$0] <= limit + 1e-9 }
    }

    /// Whether one-shot masks are as good and nearly the same up to the knee.
    ///
    /// - Parameter suffix: what quantities end with.
    func comparisons(_ suffix: String = "") -> [Comparison] {
        [
            Comparison(
                "difference of accuracies, largest for s ≤ s_k" + suffix,
                upToKnee.map { abs(lead(at: $0)) }.largestNumber, .atMost, 1, unit: "points"),
            Comparison(
                "cosine for s ≤ s_k / cosine at s = \(MarkupText.number(sparsities[0])), least" + suffix,
                upToKnee.map { cosine(at: $0) / cosine(at: 0) }.leastNumber, .atLeast, 0.9),
        ]
    }

    /// How near the masks are at the last sparsity up to the knee.
    var remark: String {
        let last = upToKnee.last ?? 0
        func shown(_ value: (LotteryLevel) -> Double) -> String { MarkupText.number(mean(at: last, value), digits: 3) }
        return "At s = \(MarkupText.number(sparsities[last])): cosine \(shown { $0.agreement.cosine }), Jaccard "
            + "\(shown { $0.agreement.jaccard }); two random masks have a cosine of "
            + "\(shown { $0.agreement.expectedCosine })"
    }

    static let tableHead = ["sparsity", "cosine", "cosine of random masks", "Jaccard", "one-shot − iterative, points"]

    var tableRows: [[String]] {
        sparsities.indices.map { place in
            [
                MarkupText.number(sparsities[place]), MarkupText.number(cosine(at: place)),
                MarkupText.number(mean(at: place) { $0.agreement.expectedCosine }),
                MarkupText.number(mean(at: place) { $0.agreement.jaccard }),
                MarkupText.number(lead(at: place), digits: 3),
            ]
        }
    }

    /// Accuracies to draw.
    var line: LineChart.Series {
        LineChart.Series(
            name: "iterative (lottery ticket)",
            points: sparsities.indices.map { place in
                (x: sparsities[place], y: (1 - mean(at: place) { $0.error }) * 100)
            })
    }
}

extension [LotteryLevel] {
    var json: JSON {
        .array(
            map { level in
                .object([
                    "sparsity": .number(level.sparsity), "error": .number(level.error),
                    "cosine": .number(level.agreement.cosine), "jaccard": .number(level.agreement.jaccard),
                    "hamming": .number(level.agreement.hammingDistance),
                ])
            })
    }
}
