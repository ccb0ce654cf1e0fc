import CoppiceCompression
import CoppiceModels

extension GlobalMagnitudeMeasurement {
    var illustrations: [ExperimentReport.Illustration] {
        [
            .init(
                id: "accuracy",
                LineChart(
                    title: "LeNet-300-100 after pruning and training",
                    summary: "Mean test accuracy by sparsity, a line for each way to share the sparsity out.",
                    horizontalTitle: "sparsity", verticalTitle: "test accuracy",
                    series: Self.methods.map { arm in
                        .init(
                            name: arm,
                            points: Self.sparsities.map { ($0, outcomes.accuracies(arm, at: $0).mean) })
                    }),
                caption: "Dense: \(SeedStatistics(denses.map(\.accuracy)).percent) %."),
            .init(
                id: "layers",
                BarChart(
                    title: "What is left of each layer at 98 %",
                    summary: "Share of each layer's weights that is kept, by method.",
                    categories: ["fc1", "fc2", "fc3"], verticalTitle: "share kept",
                    series: Self.methods.compactMap { arm in
                        outcomes.first { $0.arm == arm && $0.sparsity == 0.98 }.map { own in
                            .init(name: arm, values: zip(own.kept, layerSizes).map { Double($0) / Double($1) })
                        }
                    }, label: .percent),
                caption: "Seed \(denses.first?.seed ?? 0). One threshold takes most of where weights are small."),
        ]
    }

    /// Weights of the perceptron's layers.
    private var layerSizes: [Int] {
        let network = comparison.study.makeNetwork(seed: 0)
        return (try? PrunableNetwork(network).weights.map(\.count)) ?? []
    }

    var tables: [ExperimentReport.Table] {
        var tables = [
            outcomes.table(
                "LeNet-300-100: test accuracy in %, dense \(SeedStatistics(denses.map(\.accuracy)).percent)",
                arms: Self.methods + [Self.gradual], sparsities: Self.sparsities),
            collapse.table(
                "LeNet-5 with a layer of small weights: test accuracy in %", arms: ["global", "global + floor"],
                sparsities: [Self.collapseSparsity]),
        ]
        guard !residual.isEmpty else { return tables }
        let arms = Self.methods.filter { $0 != "global + floor" }
        let rows = arms.map { arm in
            [arm]
                + residualSparsities.flatMap { sparsity in
                    [
                        residual.accuracies(arm, at: sparsity).percent,
                        MarkupText.percent(residualOperations[arm]?[sparsity] ?? .nan),
                    ]
                }
        }
        let head =
            [""] + residualSparsities.flatMap { ["\(MarkupText.percent($0, places: 0))", "multiplications left"] }
        tables.append(
            .init(
                title: "ResNet-20: test accuracy in %",
                HTMLTable(head: head, rows: rows, numericColumns: Set(1..<head.count))))
        return tables
    }

    var json: JSON {
        .object([
            "perceptron": outcomes.json, "collapse": collapse.json, "residual": residual.json,
            "dense": .array(denses.map { .number($0.accuracy) }),
        ])
    }
}
