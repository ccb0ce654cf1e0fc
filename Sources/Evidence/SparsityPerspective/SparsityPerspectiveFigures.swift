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
                series: series(trial, \.accuracy)),
            caption: "Seed \(trial.seed). A point is a level, or a training of its own (one-shot, random, GMP).")
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
                HTMLTable(head: head, rows: curves, numericColumns: Set(1..<head.count)))
        }
        return [summary] + firstRounds + levels
    }

    private var summary: ExperimentReport.Table {
        func cell(_ curves: [DensityCurve], _ density: Double) -> String {
            let values = curves.compactMap { $0.accuracy(at: density) }
            return values.count == trials.count ? SeedStatistics(values).percent : MarkupText.missing
        }
        return .init(
            title: "Accuracy by density",
            HTMLTable(
                head: ["method"] + Self.densities.map { MarkupText.percent($0, places: 0) } + ["last density"],
                rows: Method.allCases.map { method in
                    let curves = trials.compactMap { $0.curves[method] }
                    let last = SeedStatistics(curves.map(\.lastDensity)).percent
                    return [method.name] + Self.densities.map { cell(curves, $0) } + [last]
                }, numericColumns: Set(1...(Self.densities.count + 1))))
    }

    /// By p (rows) and q, means over seeds: the index of the trained dense weights, what a first round would remove.
    private var firstRounds: [ExperimentReport.Table] {
        func table(_ title: String, _ cell: ([FirstRound]) -> String) -> ExperimentReport.Table {
            let rows = FirstRound.firstNorms.map { p -> [String] in
                [MarkupText.number(p)]
                    + FirstRound.secondNorms.map { q -> String in
                        let setting = FirstRound.Setting(p: p, q: q)
                        return cell(trials.compactMap { $0.firstRounds.first { $0.setting == setting } })
                    }
            }
            return .init(
                title: title,
                HTMLTable(
                    head: ["p"] + FirstRound.secondNorms.map { "q = \(MarkupText.number($0))" }, rows: rows,
                    numericColumns: Set(1...FirstRound.secondNorms.count)))
        }
        return [
            table("PQ index of the trained dense weights") {
                MarkupText.number(SeedStatistics($0.map(\.index)).mean)
            },
            table("Part of the dense weights that a first round of global SAP removes") {
                MarkupText.percent(SeedStatistics($0.map(\.removedPart)).mean)
            },
        ]
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
                    "first_rounds": .array(
                        trial.firstRounds.map { own in
                            .object([
                                "p": .number(own.setting.p), "q": .number(own.setting.q),
                                "eta": .number(own.setting.tail), "gamma": .number(own.setting.aggressiveness),
                                "index": .number(own.index), "removed_part": .number(own.removedPart),
                            ])
                        }),
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
