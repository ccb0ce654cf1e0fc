import CoppiceCompression
import CoppiceModels
import OrderedCollections

extension SparsityPerspectiveMeasurement {
    var illustrations: [ExperimentReport.Illustration] {
        guard let trial = trials.first else { return [] }
        return [accuracies(trial), indices(trial), phases(trial), allocations(trial)]
            + trial.drawn.map(\.losses).illustration(
                title: "Loss while training", caption: "Seed \(trial.seed), levels as in the figure of layers.")
    }

    private func allocations(_ trial: Trial) -> ExperimentReport.Illustration {
        .layers(
            id: "layers", title: "What is left of each layer near a density of 10 %", layers: layers,
            shares: trial.drawn.dropFirst().map { ($0.name, $0.layers) },
            caption: "Seed \(trial.seed), of each method the level nearest to it: "
                + trial.drawn.dropFirst().map { "\($0.name) \(MarkupText.percent($0.density))" }
                .joined(separator: "; ") + ".")
    }

    private func series(_ trial: Trial, _ value: (DensityCurve.Point) -> Double) -> [LineChart.Series] {
        Method.allCases.compactMap { method in
            trial.curves[method].map { curve in
                LineChart.Series(
                    name: method.name, points: curve.points.map { (x: 1 - $0.density, y: value($0)) })
            }
        }
    }

    private func accuracies(_ trial: Trial) -> ExperimentReport.Illustration {
        .init(
            id: "accuracy",
            LineChart(
                title: "Test accuracy by sparsity", summary: "Accuracy after training at each level of each method.",
                horizontalTitle: "share of weights removed", verticalTitle: "test accuracy",
                series: series(trial, \.accuracy) + [
                    .init(
                        name: "one-shot", points: trial.oneShot.points.map { (x: 1 - $0.density, y: $0.accuracy) })
                ]), caption: "Seed \(trial.seed). A point is a level.")
    }

    private func indices(_ trial: Trial) -> ExperimentReport.Illustration {
        .init(
            id: "index",
            LineChart(
                title: "PQ index (1, 2) of the trained network by sparsity",
                summary: "The index of all weights left, after training, at each level of each method.",
                horizontalTitle: "share of weights removed", verticalTitle: "index",
                series: series(trial) { $0.indices[1] }),
            caption: "Seed \(trial.seed). Smaller means that less is redundant.")
    }

    private func phases(_ trial: Trial) -> ExperimentReport.Illustration {
        let points = trial.curves[.forced]?.points ?? []
        func line(_ name: String, _ value: (DensityCurve.Point) -> Double) -> LineChart.Series {
            .init(name: name, points: points.enumerated().map { (x: Double($0.offset), y: value($0.element)) })
        }
        return .init(
            id: "phases",
            LineChart(
                title: "Index and accuracy as a network is pruned into collapse",
                summary: "By round: accuracy, and the index of trained and of pruned weights.",
                horizontalTitle: "round", verticalTitle: "index, accuracy",
                series: [
                    line("accuracy", \.accuracy), line("index, trained") { $0.indices[1] },
                    line("index, pruned") { $0.prunedIndices.last ?? .nan },
                ]), caption: "Seed \(trial.seed), SAP by layers, (1, 2), γ = 1.5.")
    }

    var tables: [ExperimentReport.Table] {
        let head = [
            "method", "round", "density", "accuracy", "after pruning", "I (1/2, 1)", "I (1, 2)", "pruned I (1, 2)",
            "removed",
        ]
        func row(_ name: String, _ round: Int, _ point: DensityCurve.Point) -> [String] {
            [
                name, "\(round)", MarkupText.percent(point.density), MarkupText.percent(point.accuracy, places: 2),
                MarkupText.percent(point.prunedAccuracy, places: 2), MarkupText.number(point.indices[0]),
                MarkupText.number(point.indices[1]), MarkupText.number(point.prunedIndices.last ?? .nan),
                MarkupText.percent(point.removedPart),
            ]
        }
        let levels = trials.map { trial in
            let curves = Method.allCases.flatMap { method in
                (trial.curves[method]?.points ?? []).enumerated().map { row(method.name, $0.offset, $0.element) }
            }
            return ExperimentReport.Table(
                title: "Levels, seed \(trial.seed)",
                HTMLTable(
                    head: head,
                    rows: curves + trial.oneShot.points.enumerated().map { row("one-shot", $0.offset, $0.element) },
                    numericColumns: Set(1..<head.count)))
        }
        return [summary] + levels
    }

    private var summary: ExperimentReport.Table {
        func cell(_ curves: [DensityCurve], _ density: Double) -> String {
            let values = curves.compactMap { $0.accuracy(at: density) }
            return values.count == trials.count ? SeedStatistics(values).percent : MarkupText.missing
        }
        let names: [(String, [DensityCurve])] =
            Method.allCases.map { method in (method.name, trials.compactMap { $0.curves[method] }) }
            + [("one-shot", trials.map(\.oneShot))]
        return .init(
            title: "Accuracy by density",
            HTMLTable(
                head: ["method"] + Self.densities.map { MarkupText.percent($0, places: 0) } + ["last density"],
                rows: names.map { name, curves in
                    let last = SeedStatistics(curves.map(\.lastDensity)).percent
                    return [name] + Self.densities.map { cell(curves, $0) } + [last]
                }, numericColumns: Set(1...(Self.densities.count + 1))))
    }

    var notes: [String] {
        [
            "All weight matrices are pruned, the last one too; biases are not pruned, and are rewound.",
            "The default is this project's size; --full has the paper's rounds and epochs.",
        ]
    }

    var json: JSON {
        func data(_ point: DensityCurve.Point) -> JSON {
            .object([
                "density": .number(point.density), "accuracy": .number(point.accuracy),
                "accuracy_pruned": point.prunedAccuracy.isNaN ? .null : .number(point.prunedAccuracy),
                "index": .array(point.indices.map { .number($0) }),
                "index_pruned": .array(point.prunedIndices.map { .number($0) }),
                "removed_part": point.removedPart.isNaN ? .null : .number(point.removedPart),
            ])
        }
        return .array(
            trials.map { trial in
                let curves = Method.allCases.compactMap { method in
                    trial.curves[method].map { (method.name, JSON.array($0.points.map(data))) }
                }
                return .object([
                    "seed": .integer(Int(clamping: trial.seed)), "gini": .number(trial.gini),
                    "curves": .object(OrderedDictionary(curves) { $1 }),
                    "one_shot": .array(trial.oneShot.points.map(data)),
                    "losses": trial.drawn.map(\.losses).json,
                    "layers": .array(
                        trial.drawn.map { own in
                            .object([
                                "name": .string(own.name), "density": .number(own.density),
                                "kept": .array(own.layers.map { .number($0) }),
                            ])
                        }),
                ])
            })
    }
}
