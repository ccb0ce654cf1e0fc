import CoppiceCompression
import CoppiceModels
import OrderedCollections

extension PrecroppingMeasurement {
    /// What the paper says, and whether it is so here.
    package var claims: [Claim] {
        [
            placesDoNotMatter, channelsDoAsWell, programmeBeatsOneFactor, noWorseThanSNIP, budgetsAreMet,
            fasterTraining, largeImages,
        ]
    }

    /// a − b in points.
    private func points(_ a: Arm, _ b: Arm, _ budget: Double) -> Double {
        100 * (accuracy(a, budget) - accuracy(b, budget))
    }

    private func share(_ budget: Double) -> String { MarkupText.percent(budget, places: 0) }

    private var placesDoNotMatter: Claim {
        Claim(
            id: "places-do-not-matter",
            statement: "Which weights of a layer go does not matter, only how many.",
            paper: "Abstract: accuracy depends on the layers' densities, not on the weights or the granularity.",
            criterion: "The shuffled mask's accuracy is within a point of SynFlow's, at each budget.",
            comparisons: budgets.map { budget in
                Comparison(
                    "|shuffled − SynFlow|, \(share(budget))", abs(points(.shuffled, .synflow, budget)), .atMost, 1,
                    unit: "points")
            })
    }

    private var channelsDoAsWell: Claim {
        Claim(
            id: "channels-do-as-well",
            statement: "Whole channels can go instead of single weights, with the same densities of layers.",
            paper: "Abstract: regular dense storage and compute without sacrificing accuracy.",
            criterion: "Cropped by SynFlow's densities is at most 1.5 points below SynFlow, at each budget.",
            comparisons: budgets.map { budget in
                Comparison(
                    "cropped − SynFlow, \(share(budget))", points(.synflowCrop, .synflow, budget), .atLeast, -1.5,
                    unit: "points")
            })
    }

    private var programmeBeatsOneFactor: Claim {
        Claim(
            id: "programme-beats-one-factor",
            statement: "Widths that the convex programme finds are better than one factor for all.",
            paper: "Densities from SynExp; no number for this comparison.",
            criterion:
                "SynExp's widths are at most 0.3 points below the uniform ones at each budget, and at least 0.5 above "
                + "at the smallest.",
            comparisons: budgets.map { budget in
                Comparison(
                    "SynExp − uniform, \(share(budget))", points(.synexpCrop, .uniformCrop, budget), .atLeast,
                    budget == budgets.min() ? 0.5 : -0.3, unit: "points")
            })
    }

    private var noWorseThanSNIP: Claim {
        Claim(
            id: "no-worse-than-single-weights",
            statement: "Widths chosen without data do as well as single weights chosen with them.",
            paper: "+1.9 to +2.7 points over a method of single weights, MobileNetV2 on ImageNet.",
            criterion: "SynExp's widths are at most 1.5 points below SNIP, at each budget.",
            comparisons: budgets.map { budget in
                Comparison(
                    "SynExp − SNIP, \(share(budget))", points(.synexpCrop, .snip, budget), .atLeast, -1.5,
                    unit: "points")
            })
    }

    private var budgetsAreMet: Claim {
        let largest = runs.filter { !$0.arm.isMask }.map { $0.parameterPart - $0.budget }.max() ?? .nan
        return Claim(
            id: "exact", statement: "The programme is solved exactly and its widths keep the budget.",
            paper: "A convex programme; no number.",
            criterion:
                "Its optimality conditions hold to 10⁻⁹, and no cropped network has more parameters than allowed.",
            comparisons: zip(budgets, residuals).map { budget, residual in
                Comparison("error of the conditions, \(share(budget))", residual, .below, 1e-9)
            } + [Comparison("largest part of parameters above a budget", largest, .atMost, 0)])
    }

    private var fasterTraining: Claim {
        Claim(
            id: "faster-training", statement: "Training a cropped network is faster on ordinary kernels.",
            paper: "Abstract: training and inference get cheaper.",
            criterion: "A measured training step at 30 % takes at most 0.6 of the dense one's time.",
            notMeasured: "reports hold no times; `coppice precrop --measure` measures both networks side by side")
    }

    private var largeImages: Claim {
        Claim(
            id: "imagenet", statement: "EfficientNet-B0 gains 0.3 points with 80 % of its parameters at equal FLOPs.",
            paper: "+0.3 points (PreConfig), ImageNet.", criterion: "The same on ImageNet.",
            notMeasured: "it needs ImageNet and weeks of training")
    }
}

extension PrecroppingMeasurement {
    var tables: [ExperimentReport.Table] {
        let dense = SeedStatistics(denseAccuracies).percent
        let rows = budgets.flatMap { budget in
            Arm.allCases.map { arm -> [String] in
                let own = runs.filter { $0.arm == arm && $0.budget == budget }
                return [
                    arm.rawValue, share(budget), statistics(arm, budget).percent,
                    MarkupText.percent(SeedStatistics(own.map(\.parameterPart)).mean),
                    MarkupText.percent(SeedStatistics(own.map(\.multiplicationPart)).mean),
                    arm.isMask ? MarkupText.percent(SeedStatistics(own.map(\.filtersInUse)).mean) : "–",
                ]
            }
        }
        let head = [
            "network", "budget", "test accuracy, %", "parameters kept", "multiplications of dense kernels",
            "filters with weights left",
        ]
        let widthRows = widths.map { [$0.name, "\($0.full)"] + $0.cropped.map(String.init) }
        return [
            .init(
                title: "Accuracy over \(seeds.count) seeds",
                HTMLTable(
                    head: head, rows: [["dense", "100 %", dense, "100 %", "100 %", "–"]] + rows,
                    numericColumns: [1, 2, 3, 4, 5])),
            .init(
                title: "Widths by the programme",
                HTMLTable(
                    head: ["layer", "dense"] + budgets.map(share), rows: widthRows,
                    numericColumns: Set(1...budgets.count + 1))),
        ]
    }

    var illustrations: [ExperimentReport.Illustration] {
        let categories = ["dense"] + Arm.allCases.map(\.rawValue)
        let series = budgets.map { budget in
            BarChart.Series(
                name: share(budget),
                values: [SeedStatistics(denseAccuracies).mean] + Arm.allCases.map { accuracy($0, budget) })
        }
        return [
            .init(
                id: "accuracy",
                BarChart(
                    title: "Test accuracy by way of pruning at initialization",
                    summary: "Mean test accuracy of the dense network and of each arm at both budgets.",
                    categories: categories, horizontalTitle: "network", verticalTitle: "test accuracy", series: series),
                caption: "Means over seeds. The first three keep the network's full width and its dense kernels.")
        ]
            + losses.illustration(
                title: "Loss while training, \(share(budgets.min() ?? 1)) of the parameters",
                caption: "Seed \(seeds.first ?? 0), at the smaller budget.")
    }

    /// Of the first seed: the dense network, and each arm at the smallest budget.
    private var losses: [LossCurve] {
        let own = runs.filter { $0.seed == seeds.first && $0.budget == budgets.min() }
        return ([denseLosses] + own.map(\.losses)).compactMap { $0 }
    }

    var notes: [String] {
        [
            "A mask that is shuffled within layers is a random mask with equal densities: the two controls are one arm."
        ]
    }

    var json: JSON {
        .object([
            "dense_accuracy": .array(denseAccuracies.map { .number($0) }),
            "runs": .array(
                runs.map { run in
                    .object([
                        "arm": .string(run.arm.rawValue), "budget": .number(run.budget),
                        "seed": .integer(Int(truncatingIfNeeded: run.seed)), "accuracy": .number(run.accuracy),
                        "parameters": .number(run.parameterPart), "multiplications": .number(run.multiplicationPart),
                        "filters_in_use": .number(run.filtersInUse),
                    ])
                }),
            "residuals": .array(residuals.map { .number($0) }),
        ])
    }
}
