import CoppiceCompression
import CoppiceModels
import OrderedCollections

extension EssentialSparsityMeasurement {
    /// The curves, the sparsity of each matrix at the knee, and the near-zero shares.
    var illustrations: [ExperimentReport.Illustration] {
        [curves, patterns, controlCurves, layersAtKnee, nearZeroChart].compactMap { $0 }
    }

    private func points(_ series: SparsityReport.Series) -> [(x: Double, y: Double)] {
        series.points.map { ($0.sparsity, $0.loss) }
    }

    private var curves: ExperimentReport.Illustration? {
        let shown = [Label.global, Label.layer, Label.random, Label.randomErdosRenyi].compactMap(series)
        let marks = [
            series(Label.global).map { LineChart.Mark(x: $0.tolerancePoint, label: "s_τ") },
            series(Label.global)?.knee.map { LineChart.Mark(x: $0.breakpoint, label: "knee") },
        ].compactMap { $0 }
        return .init(
            id: "loss-by-sparsity",
            LineChart(
                title: "Loss by sparsity",
                summary: "Loss of the model after one-shot pruning by magnitude and at random, by sparsity.",
                horizontalTitle: "share of block weights removed", verticalTitle: "nats per token",
                series: shown.map { LineChart.Series(name: $0.label, points: points($0)) }, marks: marks),
            caption:
                "Zero-shot. The dashed lines are s_τ and the knee of global magnitude pruning. Guessing has a loss of "
                + "\(MarkupText.number(chanceLoss)) nats.")
    }

    private var patterns: ExperimentReport.Illustration? {
        let labels = [Label.global, Label.groupsOfEight, Label.groupsOfFour, Label.groupsOfTwo]
        let shown = labels.compactMap(series)
        guard shown.count > 1 else { return nil }
        return .init(
            id: "loss-by-pattern",
            LineChart(
                title: "N:M patterns against free choice",
                summary: "Loss of N:M patterns by sparsity beside unstructured magnitude pruning.",
                horizontalTitle: "share of block weights removed", verticalTitle: "nats per token",
                series: shown.map { LineChart.Series(name: $0.label, points: points($0)) }),
            caption:
                "An N:M pattern keeps N of every M consecutive inputs of a row; the shorter the groups, the less choice."
        )
    }

    private var controlCurves: ExperimentReport.Illustration? {
        guard !control.series.isEmpty else { return nil }
        return .init(
            id: "control",
            LineChart(
                title: "Control: the same network untrained",
                summary: "Loss of a freshly initialised network pruned by magnitude and at random.",
                horizontalTitle: "share of block weights removed", verticalTitle: "nats per token",
                series: control.series.map { LineChart.Series(name: $0.label, points: points($0)) }),
            caption: "Without training magnitude has nothing to say: the curves lie on each other. Mind the scale.")
    }

    /// Matrices by kind and block, at the measured sparsity nearest to the knee.
    private var layersAtKnee: ExperimentReport.Illustration? {
        guard let point = pointAtKnee else { return nil }
        let grid = LayerGrid(names: weights.map(\.name), values: point.layerSparsities)
        return .init(
            id: "layers-at-knee",
            HeatStrip(
                title: "Sparsity of each matrix at \(MarkupText.percent(point.sparsity)) in all",
                summary: "Share of weights that one global threshold removes from each matrix, by kind and block.",
                rows: grid.kinds, columns: grid.layers.map { "block \($0)" }, values: grid.values),
            caption: "One global threshold takes more from matrices with small weights.")
    }

    private var nearZeroChart: ExperimentReport.Illustration? {
        .init(
            id: "near-zero",
            BarChart(
                title: "Share of weights close to zero",
                summary:
                    "Share of weights below a fraction of the root mean square of their matrix, initial and trained.",
                categories: NearZeroShares.thresholds.map { "|w| < \(MarkupText.number($0)) × RMS" },
                verticalTitle: "per cent of weights",
                series: [
                    .init(name: "initial", values: nearZeroInitial.fixed.map { $0 * 100 }),
                    .init(name: "trained, of the initial RMS", values: nearZeroTrained.fixed.map { $0 * 100 }),
                    .init(name: "trained, of its own RMS", values: nearZeroTrained.relative.map { $0 * 100 }),
                ]),
            caption: "RMS: root mean square of the matrix.")
    }

    var tables: [ExperimentReport.Table] {
        let curves = HTMLTable(
            head: ["method", "s_τ", "knee", "slope before", "slope after", "ratio"],
            rows: sweep.series.map { series in
                let fit = series.knee
                return [series.label, MarkupText.number(series.tolerancePoint, digits: 3)]
                    + [fit?.breakpoint, fit?.slopeBefore, fit?.slopeAfter].map { MarkupText.number($0 ?? .nan) }
                    + [
                        fit.map { $0.slopeRatio.isInfinite ? "∞" : MarkupText.number($0.slopeRatio, digits: 3) }
                            ?? MarkupText.missing
                    ]
            }, numericColumns: [1, 2, 3, 4, 5])
        let losses = HTMLTable(
            head: ["method", "sparsity", "loss", "above dense"],
            rows: sweep.series.flatMap { series in
                series.points.map { point in
                    [
                        series.label, MarkupText.percent(point.sparsity, places: 2),
                        MarkupText.number(point.loss, digits: 5),
                        MarkupText.number(point.loss - denseLoss, digits: 3),
                    ]
                }
            }, numericColumns: [1, 2, 3])
        return [.init(title: "Knees and tolerance points", curves), .init(title: "All losses", losses)]
    }

    var notes: [String] {
        let starved = series(Label.global).map { sweep.starvedWeights(in: $0) } ?? []
        let guessing =
            denseLoss < chanceLoss
            ? []
            : [
                "The model predicts this text no better than guessing does: it has nothing to lose, and the claims about its "
                    + "loss say nothing. Is this the right text?"
            ]
        return guessing
            + starved.map {
                "Global magnitude leaves less than 5 % of \($0.weight) at \(MarkupText.percent($0.sparsity)) in all."
            }
    }

    /// The numbers behind the report.
    func json(languageModel: JSON?, encoder: JSON?, vision: JSON?) -> JSON {
        func interval(_ value: SparsityReport.Interval?) -> JSON {
            value.map { .array([.number($0.low), .number($0.high)]) } ?? .null
        }
        func curve(_ series: SparsityReport.Series) -> JSON {
            let knee = series.knee.map { fit -> JSON in
                .object([
                    "sparsity": .number(fit.breakpoint), "interval": interval(series.kneeInterval),
                    "slope_before": .number(fit.slopeBefore), "slope_after": .number(fit.slopeAfter),
                    "slope_ratio": .number(fit.slopeRatio), "sharp": .bool(fit.isSharp),
                ])
            }
            return .object([
                "method": .string(series.label), "sparsity": .array(series.points.map { .number($0.sparsity) }),
                "loss": .array(series.points.map { .number($0.loss) }),
                "tolerance_point": .number(series.tolerancePoint),
                "tolerance_point_interval": interval(series.tolerancePointInterval), "knee": knee ?? .null,
            ])
        }
        let layers = pointAtKnee.map { point -> JSON in
            let members = zip(weights.map(\.name), point.layerSparsities.map { JSON.number($0) })
            return .object([
                "sparsity": .number(point.sparsity),
                "weights": .object(OrderedDictionary(members) { first, _ in first }),
            ])
        }
        return .object([
            "protocol": "zero-shot", "tolerance": .number(sweep.tolerance), "dense_loss": .number(denseLoss),
            "chance_loss": .number(chanceLoss), "curves": .array(sweep.series.map(curve)),
            "control": .array(control.series.map(curve)), "at_knee": layers ?? .null,
            "near_zero": .object([
                "thresholds": .array(NearZeroShares.thresholds.map { .number($0) }),
                "initial": nearZeroInitial.json, "trained": nearZeroTrained.json,
            ]), "language_model": languageModel ?? .null, "encoder": encoder ?? .null, "vision": vision ?? .null,
        ])
    }
}
