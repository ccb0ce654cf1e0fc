import CoppiceModels

extension PrecroppingMeasurement {
    private typealias Arm = PrecroppedNetwork.Arm

    /// What the paper says, and whether it is so here.
    package var claims: [Claim] {
        [
            placesDoNotMatter, channelsDoAsWell, programmeBeatsOneFactor, twoStepsBeatOneFactor, equallyCheap,
            noWorseThanSNIP, budgetsAreMet,
            fasterTraining, allocationTime, largeImages,
        ]
    }

    /// A comparison for each network and budget.
    private func comparisons(
        _ quantity: String, _ relation: Comparison.Relation, unit: String = "points",
        bound: (_ budget: Double) -> Double,
        _ value: (PrecroppedNetwork, _ budget: Double) -> Double
    ) -> [Comparison] {
        networks.flatMap { network in
            Self.budgets.map { budget in
                Comparison(
                    "\(quantity), \(network.name), \(MarkupText.percent(budget, places: 0))", value(network, budget),
                    relation, bound(budget), unit: unit)
            }
        }
    }

    /// The leads of an arm over another, none below a bound.
    private func leads(
        of arm: Arm, over other: Arm, _ quantity: String, atLeast bound: (_ budget: Double) -> Double
    ) -> [Comparison] {
        comparisons(quantity, .atLeast, bound: bound) { $0.lead(of: arm, over: other, $1) }
    }

    private var placesDoNotMatter: Claim {
        Claim(
            id: "places-do-not-matter",
            statement: "Which weights of a layer go does not matter, only how many.",
            paper: "Abstract: accuracy depends on the layers' densities, not on the weights or the granularity.",
            criterion: "The shuffled mask's accuracy is within a point of SynFlow's, on each network at each budget.",
            comparisons: comparisons("|shuffled − SynFlow|", .atMost, bound: { _ in 1 }) {
                abs($0.lead(of: .shuffled, over: .synflow, $1))
            })
    }

    private var channelsDoAsWell: Claim {
        let others = [
            ("SNIP", Arm.snipCrop, Arm.snip), ("GraSP", .graspCrop, .grasp), ("ERK", .erkCrop, .erk),
        ].map { name, crop, mask in
            let found = networks.map { network in
                let leads = Self.budgets.map { MarkupText.number(network.lead(of: crop, over: mask, $0), digits: 2) }
                return "\(leads.joined(separator: ", ")) (\(network.name))"
            }
            return "\(name): \(found.joined(separator: ", "))"
        }
        return Claim(
            id: "channels-do-as-well",
            statement: "Whole channels can go instead of single weights, with the same densities of layers.",
            paper: "Abstract: regular dense storage and compute without sacrificing accuracy.",
            criterion:
                "Cropped by SynFlow's densities is at most 1.5 points below SynFlow, on each network at each budget.",
            comparisons: leads(of: .synflowCrop, over: .synflow, "cropped − SynFlow") { _ in -1.5 },
            remark: "Cropped − single weights by others' densities, points at each budget: "
                + "\(others.joined(separator: "; ")).")
    }

    private var programmeBeatsOneFactor: Claim {
        aboveOneFactor(
            .synexpCrop, id: "programme-beats-one-factor", name: "SynExp",
            statement: "Widths that the convex programme finds are better than one factor for all.",
            paper: "Densities from SynExp; no number for this comparison.")
    }

    private var twoStepsBeatOneFactor: Claim {
        aboveOneFactor(
            .layersCrop, id: "two-steps-beat-one-factor", name: "SynExp in two steps",
            statement: "So are widths that follow the programme's densities of layers, as published.",
            paper: "Section 4: densities of layers by SynExp, which widths follow; no number for this comparison.",
            remark: residualRemark)
    }

    private var equallyCheap: Claim {
        aboveOneFactor(
            .bothCrop, id: "better-at-equal-cost", name: "SynExp at equal multiplications",
            statement: "The programme's widths are better at equal parameters and equal multiplications too.",
            paper: "Budgets of parameters and of FLOPs; +0.3 points on ImageNet at equal FLOPs (EfficientNet-B0).")
    }

    private func aboveOneFactor(
        _ arm: Arm, id: String, name: String, statement: String, paper: String, remark: String = ""
    ) -> Claim {
        let smallest = Self.budgets.min()
        return Claim(
            id: id, statement: statement, paper: paper,
            criterion:
                "\(name): at most 0.3 points below the uniform widths on each network at each budget, and at least 0.5 "
                + "above at the smallest.",
            comparisons: leads(of: arm, over: .uniformCrop, "\(name) − uniform") { $0 == smallest ? 0.5 : -0.3 },
            remark: remark)
    }

    /// Widths by the signal of a residual network as a whole, beside one factor.
    private var residualRemark: String {
        let found = networks.filter { !$0.runs(of: .residualCrop, Self.budgets[0]).isEmpty }.map { network in
            let leads = Self.budgets.map {
                MarkupText.number(network.lead(of: .residualCrop, over: .uniformCrop, $0), digits: 2)
            }
            return "\(leads.joined(separator: ", ")) (\(network.name))"
        }
        guard !found.isEmpty else { return "" }
        return "With the signal through blocks and shortcuts together, SynExp − uniform: "
            + "\(found.joined(separator: ", ")) points."
    }

    private var noWorseThanSNIP: Claim {
        Claim(
            id: "no-worse-than-single-weights",
            statement: "Widths chosen without data do as well as single weights chosen with them.",
            paper: "+1.9 to +2.7 points over a method of single weights, MobileNetV2 on ImageNet.",
            criterion: "SynExp's widths are at most 1.5 points below SNIP, on each network at each budget.",
            comparisons: leads(of: .synexpCrop, over: .snip, "SynExp − SNIP") { _ in -1.5 })
    }

    private var budgetsAreMet: Claim {
        let crops = networks.flatMap(\.runs).filter(\.arm.isCrop)
        let residuals = comparisons("error of the conditions", .below, unit: "", bound: { _ in 1e-9 }) {
            network, budget in
            Self.budgets.firstIndex(of: budget).map { network.residuals[$0] } ?? .nan
        }
        return Claim(
            id: "exact", statement: "The programme is solved exactly and its widths keep the budget.",
            paper: "A convex programme; no number.",
            criterion:
                "Its optimality conditions hold to 10⁻⁹, and no cropped network has more parameters than allowed.",
            comparisons: residuals + [
                Comparison(
                    "largest part of parameters above a budget",
                    crops.map { $0.parameterPart - $0.budget }.max() ?? .nan, .atMost, 0)
            ])
    }

    private var fasterTraining: Claim {
        Claim(
            id: "faster-training", statement: "Training a cropped network is faster on ordinary kernels.",
            paper: "Abstract: training and inference get cheaper.",
            criterion: "A measured training step at 30 % takes at most 0.6 of the dense one's time.",
            notMeasured: "reports hold no times; `coppice precrop --measure` measures both networks side by side")
    }

    private var allocationTime: Claim {
        Claim(
            id: "allocation-time", statement: "Widths are found in milliseconds.",
            paper: "A convex programme in place of SynFlow's 100 passes; no number.",
            criterion:
                "The widths of a network of 200 layers take less than 50 ms, and less than SynFlow's 100 rounds.",
            notMeasured: "reports hold no times; `coppice precrop resnet200 --measure` says how long widths take, by "
                + "each `--density-from`")
    }

    private var largeImages: Claim {
        Claim(
            id: "imagenet", statement: "EfficientNet-B0 gains 0.3 points with 80 % of its parameters at equal FLOPs.",
            paper: "+0.3 points (PreConfig), ImageNet.", criterion: "The same on ImageNet.",
            notMeasured: "it needs ImageNet and weeks of training")
    }
}
