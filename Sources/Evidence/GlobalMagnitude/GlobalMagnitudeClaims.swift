import CoppiceCompression
import CoppiceModels

extension GlobalMagnitudeMeasurement {
    /// What the paper says, and whether it is so here.
    var claims: [Claim] {
        [floorRepairs, floorIsAmongTheBest, betterThanRandom, collapseIsRemoved, gradualHelps, residualNetworks]
    }

    private static let abstract = "Abstract, qualitatively; no number for this network."

    private func points(_ name: String, at sparsity: Double, over other: Double) -> Double {
        (outcomes.accuracies(name, at: sparsity).mean - other) * 100
    }

    private var floorRepairs: Claim {
        Claim(
            id: "floor-repairs-the-perceptron",
            statement: "Where one threshold nearly empties a layer, a floor for each layer repairs it.",
            paper: Self.abstract,
            criterion:
                "LeNet-300-100 at 98 %: accuracy with the floor is at least 15 points above that without, in the mean.",
            comparisons: [
                Comparison(
                    "with − without the floor",
                    points("global + floor", at: 0.98, over: outcomes.accuracies("global", at: 0.98).mean), .atLeast,
                    15,
                    unit: "points")
            ], remark: keptOfTheMiddle)
    }

    /// What the layers keep at 98 %, of the first seed.
    private var keptOfTheMiddle: String {
        ["global", "global + floor", "ERK"].compactMap { arm in
            outcomes.first { $0.arm == arm && $0.sparsity == 0.98 }.map { own in
                "\(arm) keeps \(own.kept.map(String.init).joined(separator: ", "))"
            }
        }.joined(separator: "; ") + " weights of the layers (seed \(denses.first?.seed ?? 0))."
    }

    private var floorIsAmongTheBest: Claim {
        Claim(
            id: "floor-is-among-the-best",
            statement: "Global magnitude with a floor matches cleverer allocations.",
            paper: "Matches or beats all compared methods (abstract); other networks.",
            criterion:
                "LeNet-300-100 at 90, 95 and 98 %: mean accuracy at most 1.5 points below the best of uniform, ERK and LAMP.",
            comparisons: Self.sparsities.map { sparsity in
                Comparison(
                    "global + floor − best of the others at \(MarkupText.percent(sparsity, places: 0))",
                    points(
                        "global + floor", at: sparsity,
                        over: outcomes.best(of: ["uniform", "ERK", "LAMP"], at: sparsity)),
                    .atLeast, -1.5, unit: "points")
            })
    }

    private var betterThanRandom: Claim {
        Claim(
            id: "better-than-random", statement: "Every choice by magnitude beats random masks of the same size.",
            paper: "Baseline of the comparison.",
            criterion: "LeNet-300-100 at 95 %: mean accuracy at least 5 points above that of random masks.",
            comparisons: Self.methods.filter { $0 != "random" }.map { arm in
                Comparison(
                    "\(arm) − random", points(arm, at: 0.95, over: outcomes.accuracies("random", at: 0.95).mean),
                    .atLeast, 5, unit: "points")
            })
    }

    private var collapseIsRemoved: Claim {
        let bare = collapse.accuracies("global", at: Self.collapseSparsity)
        let floored = collapse.accuracies("global + floor", at: Self.collapseSparsity)
        let emptied = collapse.filter { $0.arm == "global" }.map(\.emptiedCount).min() ?? 0
        let saved = collapse.filter { $0.arm == "global + floor" }.map(\.emptiedCount).max() ?? 1
        return Claim(
            id: "layer-collapse", statement: "The minimum threshold removes layer collapse.",
            paper: "Abstract: collapse is shown, and removed by the minimum threshold.",
            criterion:
                "LeNet-5 with the weights of its second layer scaled down and those of the third up (the same function), at "
                + "90 %: without a floor a layer is empty and accuracy stays at chance (below 15 %) after training; with a "
                + "floor of 5 % of each layer none is, and accuracy is at least 60 points higher.",
            comparisons: [
                Comparison("layers emptied without a floor, least", Double(emptied), .atLeast, 1),
                Comparison("layers emptied with it, most", Double(saved), .equal, 0),
                Comparison("accuracy without, largest", bare.largest * 100, .below, 15, unit: "%"),
                Comparison(
                    "accuracy with − without, in the mean", (floored.mean - bare.mean) * 100, .atLeast, 60,
                    unit: "points"),
            ],
            remark: "Dense: \(SeedStatistics(collapseDenses.map(\.accuracy)).percent) %.")
    }

    private var gradualHelps: Claim {
        Claim(
            id: "gradual-pruning",
            statement: "Pruning gradually is at least as accurate as pruning at once, at high sparsity.",
            paper: "Abstract: gradual pruning improves the trade-off of accuracy and operations.",
            criterion:
                "LeNet-300-100 at 98 %, with the floor, with as many epochs: mean accuracy of the cubic ramp at least that of "
                + "one shot.",
            comparisons: [
                Comparison(
                    "gradual − at once",
                    points(Self.gradual, at: 0.98, over: outcomes.accuracies("global + floor", at: 0.98).mean),
                    .atLeast,
                    0, unit: "points")
            ])
    }

    private var residualNetworks: Claim {
        let (id, statement) = (
            "complexity-is-not-required",
            "In residual networks with batch norm, one threshold alone matches or beats cleverer allocations."
        )
        let paper = "Matches or beats all compared methods on ResNets and WRNs (abstract)."
        let criterion =
            "ResNet-20 on CIFAR-10: mean accuracy at least uniform's − 0.2 points at 90 % and + 0.3 above that, and at most 1 "
            + "point below the best of ERK, LAMP, gradual magnitude pruning (GMP) and M-FAC."
        guard !residual.isEmpty else {
            return Claim(
                id: id, statement: statement, paper: paper, criterion: criterion,
                notMeasured: "it needs a data folder with resnet-cifar/resnet20.safetensors in it (--data)")
        }
        let comparisons = residualSparsities.flatMap { sparsity -> [Comparison] in
            let own = residual.accuracies("global", at: sparsity).mean
            let name = MarkupText.percent(sparsity, places: 0)
            return [
                Comparison(
                    "global − uniform at \(name)", (own - residual.accuracies("uniform", at: sparsity).mean) * 100,
                    .atLeast, sparsity > 0.9 ? 0.3 : -0.2, unit: "points"),
                Comparison(
                    "global − best of ERK, LAMP, GMP and M-FAC at \(name)",
                    (own - residual.best(of: ["ERK", "LAMP", "GMP", "M-FAC"], at: sparsity)) * 100, .atLeast, -1,
                    unit: "points"),
            ]
        }
        return Claim(
            id: id, statement: statement, paper: paper, criterion: criterion, comparisons: comparisons,
            remark: "Dense: \(MarkupText.percent(residualAccuracy ?? .nan)) on the test images; "
                + "\(residualSeeds.count) seed(s). Beside these: "
                + residualSparsities.map { sparsity in
                    let others = ["uniform+", "SNIP", "GraSP", "SynFlow", "random"].map {
                        "\($0) \(MarkupText.percent(residual.accuracies($0, at: sparsity).mean))"
                    }
                    return "\(others.joined(separator: ", ")) at \(MarkupText.percent(sparsity, places: 0))"
                }.joined(separator: "; ") + ".")
    }
}
