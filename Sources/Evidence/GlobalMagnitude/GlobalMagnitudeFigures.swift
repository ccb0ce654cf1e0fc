import CoppiceCompression
import CoppiceModels

extension GlobalMagnitudeMeasurement {
    private var dense: String { SeedStatistics(denses).percent }
    private static var allSparsities: [Double] { sparsities + extremeSparsities }

    var illustrations: [ExperimentReport.Illustration] {
        [
            accuracies(
                id: "accuracy", title: "LeNet-300-100 after pruning and training",
                summary: "Mean test accuracy by sparsity, a line for each way to share the sparsity out.",
                arms: Self.methods),
            accuracies(
                id: "methods", title: "LeNet-300-100: one threshold beside other methods",
                summary: "Mean test accuracy by sparsity, a line for each method.",
                arms: ["global + floor"] + Self.otherMethods + [Self.iterative]),
        ]
            + outcomes.layerIllustration(
                id: "layers", title: "What is left of each layer at 98 %", arms: Self.methods, at: 0.98,
                sizes: layerSizes, layers: ["fc1", "fc2", "fc3"])
            + outcomes.lossIllustration("LeNet-300-100", arms: Self.methods + [Self.gradual], at: 0.98)
            + outcomes.losses(Self.otherMethods + [Self.iterative], at: 0.98).illustration(
                id: "methods-loss", title: "LeNet-300-100: loss while training at 98 %, other methods",
                caption: "Seed \(outcomes.first?.seed ?? 0); iterative pruning: its last level.")
            + residual.layerIllustration(
                id: "residual-layers", title: "ResNet-20: what is left of each layer at 95 %",
                arms: Self.residualMethods, at: 0.95, sizes: residualWeights.map(\.count),
                layers: residualWeights.map(\.name))
            + residual.lossIllustration(id: "residual-loss", "ResNet-20", arms: Self.residualMethods, at: 0.95)
            + multiplicationsIllustration
    }

    private func accuracies(
        id: String, title: String, summary: String, arms: [String]
    ) -> ExperimentReport.Illustration {
        .init(
            id: id,
            LineChart(
                title: title, summary: summary, horizontalTitle: "sparsity", verticalTitle: "test accuracy",
                series: arms.map { arm in
                    .init(name: arm, points: Self.sparsities.map { ($0, outcomes.accuracies(arm, at: $0).mean) })
                }),
            caption: "Dense: \(dense) %.")
    }

    private var multiplicationsIllustration: [ExperimentReport.Illustration] {
        guard !residual.isEmpty else { return [] }
        return [
            .init(
                id: "residual-multiplications",
                LineChart(
                    title: "ResNet-20: accuracy by multiplications left",
                    summary: "Mean test accuracy by the share of multiplications left, a line for each method.",
                    horizontalTitle: "share of multiplications left", verticalTitle: "test accuracy",
                    series: Self.residualMethods.map { arm in
                        let measured = Self.allSparsities.filter { sparsity in
                            residual.contains { $0.arm == arm && $0.sparsity == sparsity }
                        }
                        return .init(
                            name: arm,
                            points: measured.map {
                                (multiplications(arm, at: $0), residual.accuracies(arm, at: $0).mean)
                            })
                    }),
                caption: "Means over \(residualSeeds.count) seeds.")
        ]
    }

    var tables: [ExperimentReport.Table] {
        let tables = [
            outcomes.table(
                "LeNet-300-100: test accuracy in %, dense \(dense)",
                arms: Self.methods + [Self.standardFloor, Self.gradual], sparsities: Self.allSparsities),
            outcomes.table(
                "LeNet-300-100, other methods: test accuracy in %", arms: Self.otherMethods + [Self.iterative],
                sparsities: Self.sparsities),
            collapse.table(
                "LeNet-5 with a layer of small weights: test accuracy in %", arms: ["global", "global + floor"],
                sparsities: [Self.collapseSparsity]),
        ]
        return residual.isEmpty ? tables : tables + [residualTable]
    }

    private var residualTable: ExperimentReport.Table {
        let rows = (Self.residualMethods + Self.residualReferences).map { arm in
            [arm]
                + Self.allSparsities.flatMap { sparsity -> [String] in
                    let accuracies = residual.accuracies(arm, at: sparsity)
                    guard !accuracies.values.isEmpty else { return ["", ""] }
                    return [accuracies.percent, MarkupText.percent(multiplications(arm, at: sparsity))]
                }
        }
        let head = [""] + Self.allSparsities.flatMap { [percent($0), "multiplications left"] }
        return .init(
            title: "ResNet-20: test accuracy in %",
            HTMLTable(head: head, rows: rows, numericColumns: Set(1..<head.count)))
    }

    var json: JSON {
        .object([
            "perceptron": outcomes.json, "collapse": collapse.json, "residual": residual.json,
            "dense": .array(denses.map { .number($0) }),
            "losses": outcomes.losses(
                Self.methods + [Self.gradual] + Self.otherMethods + [Self.iterative], at: 0.98
            ).json,
            "residual_losses": residual.losses(Self.residualMethods, at: 0.95).json,
        ])
    }
}
