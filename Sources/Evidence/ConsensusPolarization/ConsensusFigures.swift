import CoppiceModels

extension ConsensusMeasurement {
    var tables: [ExperimentReport.Table] {
        let rows = Arm.allCases.compactMap { arm -> [String]? in
            guard !runs(of: arm).isEmpty else { return nil }
            return [
                arm.name, statistics(arm).percent, MarkupText.number(lead(of: arm, over: .dense), digits: 2),
                MarkupText.percent(mean(arm, \.multiplicationPart)), MarkupText.percent(mean(arm, \.parameterPart)),
                MarkupText.number(mean(arm, \.cost), digits: 3),
            ]
        }
        let gated = runs.compactMap { run -> [String]? in
            guard let gates = run.gates else { return nil }
            return [
                run.arm.name, "\(run.seed)", "\(gates.kept) of \(gates.count)",
                MarkupText.number(gates.disagreement, digits: 4), MarkupText.percent(gates.dynamicAccuracy),
                MarkupText.percent(gates.staticAccuracy), MarkupText.percent(run.accuracy), "\(gates.reopenings)",
                gates.closedBlocks.joined(separator: " "),
            ]
        }
        return [
            .init(
                title: "Networks over \(seeds.count) seeds",
                HTMLTable(
                    head: [
                        "network", "test accuracy, %", "against dense", "multiplications", "parameters",
                        "training, in dense trainings",
                    ], rows: rows, numericColumns: [1, 2, 3, 4, 5])),
            .init(
                title: "Gates",
                HTMLTable(
                    head: [
                        "network", "seed", "kept", "largest disagreement", "with gates", "cut", "norms measured anew",
                        "re-openings", "closed",
                    ], rows: gated, numericColumns: [1, 3, 4, 5, 6, 7])),
        ]
    }

    var illustrations: [ExperimentReport.Illustration] {
        let curves = [(Arm.consensus, "with polarization"), (.targetOnly, "target only")].compactMap { arm, words in
            curve(arm, words)
        }
        let points = Arm.allCases.map { arm in
            LineChart.Series(
                name: arm.name,
                points: runs(of: arm).map { (x: $0.multiplicationPart, y: $0.accuracy) }.sorted { $0.x < $1.x },
                isJoined: false)
        }
        return curves + [
            .init(
                id: "accuracy",
                LineChart(
                    title: "Test accuracy by multiplications",
                    summary: "Test accuracy of each network of each seed by its part of the dense multiplications.",
                    horizontalTitle: "multiplications, of the dense network's", verticalTitle: "test accuracy",
                    series: points), caption: "One point for each seed.")
        ]
            + runs.filter { $0.seed == seeds.first }.compactMap(\.losses).illustration(
                title: "Loss while training",
                caption: "First seed; of gates with what is added for them. Fine-tuning is not shown.")
    }

    private func curve(_ arm: Arm, _ words: String) -> ExperimentReport.Illustration? {
        guard let curve = runs(of: arm).first?.gates?.curve, !curve.isEmpty else { return nil }
        let series = gatedBlocks.enumerated().map { index, name in
            LineChart.Series(
                name: name,
                points: curve.map { (x: Double($0.step), y: index < $0.means.count ? $0.means[index] : .nan) })
        }
        return .init(
            id: "gates-\(arm.rawValue)",
            LineChart(
                title: "Gates over training, \(words)",
                summary: "The part of the images that each block's gate is open for, by step.",
                horizontalTitle: "step", verticalTitle: "open for", series: series),
            caption: "Running averages of the first seed.")
    }

    var notes: [String] {
        [
            "Dynamic gating without polarization is the network of the target alone with its gates: “with gates” in the "
                + "table.",
            "Multiplications are counted; a gated network in training computes closed branches too.",
        ]
    }

    var json: JSON {
        .object([
            "runs": .array(
                runs.map { run in
                    var fields: [(String, JSON)] = [
                        ("arm", .string(run.arm.rawValue)), ("seed", .integer(Int(truncatingIfNeeded: run.seed))),
                        ("accuracy", .number(run.accuracy)), ("multiplications", .number(run.multiplicationPart)),
                        ("parameters", .number(run.parameterPart)), ("training_cost", .number(run.cost)),
                    ]
                    if let gates = run.gates {
                        fields += [
                            ("kept", .integer(gates.kept)), ("gates", .integer(gates.count)),
                            ("disagreement", .number(gates.disagreement)),
                            ("gated_accuracy", .number(gates.dynamicAccuracy)),
                            ("cut_accuracy", .number(gates.staticAccuracy)), ("difference", .number(gates.difference)),
                            ("reopenings", .integer(gates.reopenings)),
                            ("closed", .array(gates.closedBlocks.map { .string($0) })),
                        ]
                    }
                    return .object(.init(uniqueKeysWithValues: fields))
                })
        ])
    }
}
