import CoppiceCompression
import CoppiceModels

extension GlobalMagnitudeMeasurement {
    /// What the paper says, and whether it is so here.
    package var claims: [Claim] {
        [
            floorRepairs, floorWhereItBinds, floorIsAmongTheBest, betterThanRandom, amongOtherMethods, likeIterative,
            collapseIsRemoved, gradualHelps, residualNetworks, multiplicationsWhenSparse, gradualMultiplications,
        ]
    }

    private static let abstract = "Abstract, qualitatively; no number for this network."
    private static let allCompared = "Matches or beats all compared methods (abstract); other networks."

    /// By how many points the perceptron's accuracy is above another.
    private func points(_ name: String, at sparsity: Double, over other: Double) -> Double {
        (outcomes.accuracies(name, at: sparsity).mean - other) * 100
    }

    /// That one threshold with a floor is at most so many points below the best of some arms, at each sparsity.
    private func behind(_ others: [String], named name: String) -> [Comparison] {
        Self.sparsities.map { sparsity in
            Comparison(
                "global + floor − \(name) at \(percent(sparsity))",
                points("global + floor", at: sparsity, over: outcomes.best(of: others, at: sparsity)), .atLeast, -1.5,
                unit: "points")
        }
    }

    func percent(_ sparsity: Double) -> String {
        MarkupText.percent(sparsity, places: sparsity == 0.995 ? 1 : 0)
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
            ], remark: kept(["global", "global + floor", "ERK"], at: [0.98]))
    }

    private var floorWhereItBinds: Claim {
        Claim(
            id: "floor-where-it-binds", statement: "Where a floor keeps weights in a layer, it does not cost accuracy.",
            paper: Self.abstract,
            criterion:
                "LeNet-300-100 at 99 and 99.5 %: the floor changes what the layers keep, for every seed, and the mean "
                + "accuracy with it is at least that without.",
            comparisons: Self.extremeSparsities.flatMap { sparsity in
                [
                    Comparison(
                        "weights that the floor moves between layers at \(percent(sparsity)), least",
                        Double(movedByFloor(at: sparsity)), .atLeast, 1),
                    Comparison(
                        "with − without the floor at \(percent(sparsity))",
                        points(
                            "global + floor", at: sparsity, over: outcomes.accuracies("global", at: sparsity).mean),
                        .atLeast, 0, unit: "points"),
                ]
            }, remark: kept(["global", "global + floor", Self.standardFloor], at: Self.extremeSparsities))
    }

    /// How many weights layers keep more with the floor than without, of the seed where they are the fewest; 0 of none.
    private func movedByFloor(at sparsity: Double) -> Int {
        func own(_ arm: String) -> [Outcome] { outcomes.filter { $0.arm == arm && $0.sparsity == sparsity } }
        return zip(own("global"), own("global + floor")).map { bare, floored in
            zip(bare.kept, floored.kept).reduce(0) { $0 + max(0, $1.1 - $1.0) }
        }.min() ?? 0
    }

    /// What the layers keep, of the first seed.
    private func kept(_ arms: [String], at sparsities: [Double]) -> String {
        sparsities.map { sparsity in
            "At \(percent(sparsity)) "
                + arms.compactMap { arm in
                    outcomes.first { $0.arm == arm && $0.sparsity == sparsity }.map { own in
                        "\(arm) keeps \(own.kept.map(String.init).joined(separator: ", "))"
                    }
                }.joined(separator: "; ") + " weights of the layers (seed \(outcomes.first?.seed ?? 0))."
        }.joined(separator: " ")
    }

    private var floorIsAmongTheBest: Claim {
        Claim(
            id: "floor-is-among-the-best",
            statement: "Global magnitude with a floor matches cleverer allocations.",
            paper: Self.allCompared,
            criterion:
                "LeNet-300-100 at 90, 95 and 98 %: mean accuracy at most 1.5 points below the best of uniform, ERK and LAMP.",
            comparisons: behind(["uniform", "ERK", "LAMP"], named: "best of the others"))
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

    private var amongOtherMethods: Claim {
        Claim(
            id: "among-other-methods",
            statement:
                "It matches curvature, pruning at initialization and training that is sparse from the start, too.",
            paper: Self.allCompared,
            criterion:
                "LeNet-300-100 at 90, 95 and 98 %, with as many epochs in all: mean accuracy at most 1.5 points below the "
                + "best of WoodFisher, SNIP, GraSP, SynFlow, SET and RigL.",
            comparisons: behind(Self.otherMethods, named: "best of the others"))
    }

    private var likeIterative: Claim {
        Claim(
            id: "like-iterative-pruning",
            statement: "It matches iterative pruning with rewinding, which trains many times as long.",
            paper: Self.allCompared,
            criterion:
                "LeNet-300-100 at 90, 95 and 98 %: mean accuracy at most 1.5 points below that of iterative magnitude "
                + "pruning.",
            comparisons: behind([Self.iterative], named: "iterative"))
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
            remark: "Dense: \(SeedStatistics(collapseDenses).percent) %.")
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
}

/// Of the residual network.
extension GlobalMagnitudeMeasurement {
    /// Why nothing was measured of it; nil where it was.
    private var withoutResidual: String? {
        residual.isEmpty ? "it needs a data folder with resnet-cifar/resnet20.safetensors in it (--data)" : nil
    }

    private func mean(_ arm: String, at sparsity: Double) -> Double { residual.accuracies(arm, at: sparsity).mean }

    private var residualNetworks: Claim {
        let rivals = ["ERK", "LAMP", "GMP", "M-FAC"]
        return Claim(
            id: "complexity-is-not-required",
            statement:
                "In residual networks with batch norm, one threshold alone matches or beats cleverer allocations.",
            paper: "Matches or beats all compared methods on ResNets and WRNs (abstract).",
            criterion:
                "ResNet-20 on CIFAR-10: mean accuracy at least uniform's − 0.2 points at 90 % and + 0.3 above that, and at "
                + "most 1 point below the best of ERK, LAMP, gradual magnitude pruning (GMP) and M-FAC.",
            unless: withoutResidual,
            comparisons: Self.sparsities.flatMap { sparsity in
                [
                    Comparison(
                        "global − uniform at \(percent(sparsity))",
                        (mean("global", at: sparsity) - mean("uniform", at: sparsity)) * 100, .atLeast,
                        sparsity > 0.9 ? 0.3 : -0.2, unit: "points"),
                    Comparison(
                        "global − best of ERK, LAMP, GMP and M-FAC at \(percent(sparsity))",
                        (mean("global", at: sparsity) - residual.best(of: rivals, at: sparsity)) * 100, .atLeast, -1,
                        unit: "points"),
                ]
            },
            remark: "Dense: \(MarkupText.percent(residualAccuracy)) on the test images; "
                + "\(residualSeeds.count) seed(s). Beside these at \(percent(Self.sparsities[0])): "
                + Self.residualReferences.map { arm in
                    "\(arm) \(MarkupText.percent(mean(arm, at: Self.sparsities[0])))"
                }.joined(separator: ", ") + ".")
    }

    /// By how many points one threshold is above other allocations where it leaves as many multiplications.
    private func leads(over arms: [String], at sparsity: Double) -> [(arm: String, left: Double, points: Double)] {
        arms.map { arm in
            let left = multiplications(arm, at: sparsity)
            let own = accuracyOfOneThreshold(multiplications: left)
            return (arm, left, (own - mean(arm, at: sparsity)) * 100)
        }
    }

    private var multiplicationsWhenSparse: Claim {
        let others = ["uniform", "ERK", "LAMP"]
        return Claim(
            id: "multiplications",
            statement: "At very high sparsity one threshold is among the best by multiplications, too.",
            paper:
                "Abstract: by FLOPs some methods are above it at low sparsity, and it does very well at extremely high "
                + "sparsity.",
            criterion:
                "ResNet-20: where one threshold leaves as many multiplications as uniform, ERK and LAMP do at 98 % "
                + "(interpolated over their logarithm between its own 90, 95, 98, 99 and 99.5 %), its mean accuracy is at "
                + "most 1 point below theirs.",
            unless: withoutResidual,
            comparisons: leads(over: others, at: 0.98).map { own in
                Comparison(
                    "global − \(own.arm), both with \(MarkupText.percent(own.left)) of the multiplications", own.points,
                    .atLeast, -1, unit: "points")
            },
            remark: "The same at 95 %: "
                + leads(over: others, at: 0.95).map { own in
                    "\(own.arm) \(MarkupText.number(own.points, digits: 3)) points (\(MarkupText.percent(own.left)))"
                }.joined(separator: ", ") + ".")
    }

    private var gradualMultiplications: Claim {
        Claim(
            id: "gradual-multiplications",
            statement: "Gradual pruning improves the trade-off of accuracy and multiplications.",
            paper: "Abstract, of ImageNet networks.",
            criterion:
                "ResNet-20 at 95 and 98 %: mean accuracy of gradual magnitude pruning at least that of one threshold at "
                + "once where it leaves as many multiplications.",
            unless: withoutResidual,
            comparisons: [0.95, 0.98].flatMap { sparsity in
                leads(over: ["GMP"], at: sparsity).map { own in
                    Comparison(
                        "gradual − at once, both with \(MarkupText.percent(own.left)) of the multiplications",
                        -own.points, .atLeast, 0, unit: "points")
                }
            })
    }
}
