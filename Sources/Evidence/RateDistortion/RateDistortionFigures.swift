import CoppiceCompression
import CoppiceModels

extension RateDistortionMeasurement {
    var illustrations: [ExperimentReport.Illustration] {
        guard let trial = trials.first else { return [] }
        let largest = trial.joint.splits.map { max($0.sum, $0.joint) }.max() ?? 1
        return [
            .init(
                id: "curves",
                LineChart(
                    title: "Output error by the share of one layer removed",
                    summary: "Mean squared error of the logits when one layer alone is pruned.",
                    horizontalTitle: "share removed", verticalTitle: "squared error",
                    series: trial.curves.map { curve in
                        .init(
                            name: curve.name,
                            points: curve.points.map {
                                (1 - Double($0.kept) / Double(curve.count), $0.distortion)
                            })
                    }),
                caption: "Seed \(trial.dense.seed). The programme chooses a point on each."),
            .init(
                id: "additivity",
                LineChart(
                    title: "Errors of layers add up",
                    summary: "Joint error of random splits by the sum of the layers' own.",
                    horizontalTitle: "sum of the layers' errors", verticalTitle: "joint error",
                    series: [
                        .init(name: "splits", points: trial.joint.splits.map { ($0.sum, $0.joint) }, isJoined: false),
                        .init(name: "equal", points: [(0, 0), (largest, largest)]),
                    ]),
                caption: "Seed \(trial.dense.seed), rates from 0.1 to 0.9."),
            .init(
                id: "accuracy",
                LineChart(
                    title: "LeNet-300-100 after pruning and training",
                    summary: "Mean test accuracy by sparsity and allocation.", horizontalTitle: "sparsity",
                    verticalTitle: "test accuracy",
                    series: Self.methods.map { arm in
                        .init(
                            name: arm,
                            points: Self.sparsities.map { ($0, outcomes.accuracies(arm, at: $0).mean) })
                    }),
                caption: "Dense: \(SeedStatistics(trials.map(\.dense.accuracy)).percent) %."),
        ]
            + outcomes.layerIllustration(
                id: "allocation", title: "LeNet-300-100: what is left of each layer at 90 %", arms: Self.methods,
                at: 0.9, sizes: trial.curves.map(\.count), layers: trial.curves.map(\.name))
            + outcomes.lossIllustration("LeNet-300-100", arms: Self.methods, at: 0.95)
            + residual.layerIllustration(
                id: "residual-allocation", title: "ResNet-20: what is left of each layer at 95 %",
                arms: RoundsArm.names,
                at: 0.95, sizes: residualLayers.map(\.count), layers: residualLayers.map(\.name))
            + residual.lossIllustration(id: "residual-loss", "ResNet-20", arms: RoundsArm.names, at: 0.95)
    }

    var tables: [ExperimentReport.Table] {
        var tables = [distortionTable, beforeTraining, afterTraining, rates, solvers]
        if let residualJoint {
            tables.append(
                Self.table("ResNet-20: squared error of the logits, pruned at once and not trained", [residualJoint]))
        }
        if !residual.isEmpty {
            let dense = "dense \(MarkupText.percent(residualAccuracy ?? .nan))"
            tables.append(
                residual.table(
                    "ResNet-20: test accuracy in % after each round, \(dense)", arms: RoundsArm.names,
                    sparsities: RoundsArm.sparsities))
            tables.append(
                residual.table(
                    "ResNet-20: test accuracy in % right after the pruning of each round", arms: RoundsArm.names,
                    sparsities: RoundsArm.sparsities, of: \.accuracyWhenPruned))
        }
        return tables
    }

    private var distortionTable: ExperimentReport.Table {
        Self.table("LeNet-300-100: squared error of the logits before training, mean over seeds", trials.map(\.joint))
    }

    /// Errors of networks that are pruned at once beside the sums of their layers' own, the mean over networks.
    private static func table(_ title: String, _ found: [JointDistortion]) -> ExperimentReport.Table {
        func mean(_ value: (JointDistortion) -> Double?) -> String {
            MarkupText.number(SeedStatistics(found.map { value($0) ?? .nan }).mean, digits: 4)
        }
        // Curves are of the largest weights, which random masks do not keep.
        let rows = (methods + references).map { arm in
            [arm]
                + sparsities.flatMap { sparsity in
                    [
                        mean { $0.errors[arm]?[sparsity] },
                        arm == "random" ? "–" : mean { $0.predicted[arm]?[sparsity] },
                    ]
                }
        }
        let head = sparsities.flatMap { [MarkupText.percent($0), "sum of layers' own"] }
        return .init(
            title: title,
            HTMLTable(head: [""] + head, rows: rows, numericColumns: Set(1...(2 * sparsities.count))))
    }

    private var beforeTraining: ExperimentReport.Table {
        outcomes.table(
            "LeNet-300-100: test accuracy before training, in %", arms: Self.methods + Self.references + Self.variants,
            sparsities: Self.sparsities, of: \.accuracyWhenPruned)
    }

    private var afterTraining: ExperimentReport.Table {
        outcomes.table(
            "LeNet-300-100: test accuracy after training, in %, dense "
                + SeedStatistics(trials.map(\.dense.accuracy)).percent,
            arms: Self.methods + Self.references + Self.variants, sparsities: Self.sparsities)
    }

    /// What each layer loses, of the first seed.
    private var rates: ExperimentReport.Table {
        let sizes = trials.first?.curves.map(\.count) ?? []
        let rows = (Self.methods + Self.references + Self.variants).flatMap { arm in
            Self.sparsities.compactMap { sparsity -> [String]? in
                outcomes.first { $0.arm == arm && $0.sparsity == sparsity }.map { own in
                    [arm, MarkupText.percent(sparsity)]
                        + zip(own.kept, sizes).map { MarkupText.percent(1 - Double($0) / Double($1)) }
                }
            }
        }
        return .init(
            title: "LeNet-300-100: what layers lose, first seed",
            HTMLTable(
                head: ["", "of all"] + (trials.first?.curves.map(\.name) ?? []), rows: rows,
                numericColumns: Set(1..<(2 + sizes.count))))
    }

    private var solvers: ExperimentReport.Table {
        let names = ["buckets", "1,024 buckets", "Lagrangian", "lower bound"]
        let rows = trials.map { trial in
            ["\(trial.dense.seed)"] + names.map { MarkupText.number((trial.solverExcess[$0] ?? .nan) * 100, digits: 3) }
        }
        return .init(
            title: "Distortion above that of the exact programme at 90 %, in %",
            HTMLTable(head: ["seed"] + names, rows: rows, numericColumns: [0, 1, 2, 3, 4]))
    }

    var json: JSON {
        .object([
            "perceptron": outcomes.json, "residual": residual.json,
            "losses": outcomes.losses(Self.methods, at: 0.95).json,
            "residual_losses": residual.losses(RoundsArm.names, at: 0.95).json,
            "trials": .array(
                trials.map { trial in
                    .object([
                        "seed": .integer(Int(clamping: trial.dense.seed)), "accuracy": .number(trial.dense.accuracy),
                        "splits": .array(
                            trial.joint.splits.map { .object(["sum": .number($0.sum), "joint": .number($0.joint)]) }),
                        "curves": .array(
                            trial.curves.map { curve in
                                .object([
                                    "name": .string(curve.name), "count": .integer(curve.count),
                                    "kept": .array(curve.points.map { .integer($0.kept) }),
                                    "distortion": .array(curve.points.map { .number($0.distortion) }),
                                ])
                            }),
                    ])
                }),
        ])
    }
}
