import CoppiceModels

extension BilevelPruningMeasurement {
    private typealias Size = BilevelPruningExperiment.Size

    var illustrations: [ExperimentReport.Illustration] {
        let series = Arm.compared.map { arm in
            LineChart.Series(
                name: arm.name, points: Size.kept.map { (x: 100 * $0, y: accuracies.mean(arm, at: $0)) })
        }
        let dense = LineChart.Series(
            name: "dense", points: Size.kept.map { (x: 100 * $0, y: SeedStatistics(self.dense).mean) })
        return [
            .init(
                id: "accuracy",
                LineChart(
                    title: "Accuracy by weights kept", summary: "Mean test accuracy of each way by the part kept.",
                    horizontalTitle: "weights kept, %", verticalTitle: "test accuracy", series: series + [dense]),
                caption: "Means over \(self.dense.count) seeds.")
        ]
            + losses.illustration(
                title: "Loss while training to 2 % kept",
                caption:
                    "First seed. Bi-level pruning trains masks and weights; the others train weights under fixed masks."
            )
            + (filters.map { [$0.illustration] } ?? [])
            + (filters?.losses ?? []).illustration(
                id: "filter-loss", title: "Convolutional network: loss while half of the channels go",
                caption: "First seed. BiP chooses until three quarters of its steps, criteria before the first.")
    }

    var tables: [ExperimentReport.Table] {
        let settings = Size.kept.map { (value: $0, name: MarkupText.percent($0, places: 0) + " kept") }
        let arms = Arm.allCases.map { (arm: $0, name: $0.name) }
        let costs = Arm.allCases.compactMap { arm in
            passes[arm].map { [arm.name, "\($0)", swaps[arm].map { MarkupText.number($0, digits: 3) } ?? ""] }
        }
        return [
            accuracies.table("Test accuracy in percent", arms: arms, settings: settings),
            .init(
                title: "Cost at 2 % kept",
                HTMLTable(
                    head: ["", "batches forwards and backwards", "weights that entered the mask / kept"], rows: costs,
                    numericColumns: [1, 2])),
        ] + (filters.map { [$0.table] } ?? [])
    }

    var notes: [String] { ["Dense networks: \(SeedStatistics(dense).percent) % of test images right."] }

    var json: JSON {
        .object([
            "dense": .array(dense.map { .number($0) }),
            "accuracies": accuracies.json(
                arms: Arm.allCases.map { (arm: $0, name: $0.rawValue) }, settings: Size.kept),
            "filters": filters?.json ?? .null, "losses": losses.json,
            "passes": .array(
                Arm.allCases.compactMap { arm in
                    passes[arm].map { .object(["arm": .string(arm.rawValue), "batches": .integer($0)]) }
                }),
        ])
    }
}
