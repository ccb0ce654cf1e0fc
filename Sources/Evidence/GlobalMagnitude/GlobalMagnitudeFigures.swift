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
                caption: "Dense: \(SeedStatistics(denses.map(\.accuracy)).percent) %.")
        ]
            + outcomes.layerIllustration(
                id: "layers", title: "What is left of each layer at 98 %", arms: Self.methods, at: 0.98,
                sizes: layerSizes, layers: ["fc1", "fc2", "fc3"])
            + outcomes.lossIllustration("LeNet-300-100", arms: Self.methods + [Self.gradual], at: 0.98)
            + residual.layerIllustration(
                id: "residual-layers", title: "ResNet-20: what is left of each layer at 95 %",
                arms: Self.residualMethods, at: 0.95, sizes: residualWeights.map(\.count),
                layers: residualWeights.map(\.name))
            + residual.lossIllustration(id: "residual-loss", "ResNet-20", arms: Self.residualMethods, at: 0.95)
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
        let arms = Self.residualMethods
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
            "losses": outcomes.losses(Self.methods + [Self.gradual], at: 0.98).json,
            "residual_losses": residual.losses(Self.residualMethods, at: 0.95).json,
        ])
    }
}
