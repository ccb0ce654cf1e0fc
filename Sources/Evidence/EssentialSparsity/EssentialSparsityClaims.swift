import CoppiceCompression

extension EssentialSparsityMeasurement {
    /// The paper's claims about a finished language model, judged by the measurements.
    var claims: [Claim] {
        [sharpDrop, freeRange, magnitudeBeatsRandom, semiStructuredDrop, nearZero, exactMasks]
    }

    private var sharpDrop: Claim {
        let fit = series(Label.global)?.knee
        let interval = series(Label.global)?.kneeInterval.map {
            " (95 % interval over shards of the text: \(MarkupText.number($0.low, digits: 3)) to "
                + "\(MarkupText.number($0.high, digits: 3)))"
        }
        let slopes = fit.map {
            "; slopes \(MarkupText.number($0.slopeBefore)) and \(MarkupText.number($0.slopeAfter)) nats per unit of sparsity"
        }
        return Claim(
            id: "sharp-drop",
            statement: "One-shot magnitude pruning of a trained model has a sharp dropping point.",
            paper: "A sharp dropping point for pre-trained BERT, ViT and other transformers, between about 30 and 60 % "
                + "depending on the task",
            criterion: "the loss rises at least 5 times as steeply after the knee as before it",
            comparisons: [
                Comparison("slope after / slope before", fit?.slopeRatio ?? .nan, .atLeast, 5),
                Comparison("knee", fit?.breakpoint ?? .nan, .above, 0, unit: "sparsity"),
            ],
            remark: "Global threshold" + (interval ?? "") + (slopes ?? "") + ".")
    }

    private var freeRange: Claim {
        let global = series(Label.global)
        let interval = global?.tolerancePointInterval.map {
            "95 % interval over shards of the text: \(MarkupText.number($0.low, digits: 3)) to "
                + "\(MarkupText.number($0.high, digits: 3)). "
        }
        return Claim(
            id: "free-range",
            statement: "A sizeable part of the weights can be removed in one shot at no cost.",
            paper: "About 30 to 60 % depending on the task",
            criterion: "s_τ ≥ 0.3 for τ = 1 % of what the model has learned",
            // Masks remove ⌊s·N⌋ weights, so a sparsity of 0.3 is measured as up to a weight a matrix less.
            comparisons: [
                Comparison(
                    "s_τ", ((global?.tolerancePoint ?? .nan) * 1e4).rounded() / 1e4, .atLeast, 0.3, unit: "sparsity")
            ],
            remark: (interval ?? "") + "Layer-wise thresholds: s_τ = "
                + MarkupText.number(series(Label.layer)?.tolerancePoint ?? .nan, digits: 3) + ".")
    }

    private var magnitudeBeatsRandom: Claim {
        let tested = EssentialSparsity.tenths.filter { $0 >= 2 }.map { Double($0) / 10 }
        let comparisons = [(Label.random, "random"), (Label.randomErdosRenyi, "random ERK")].flatMap { label, name in
            let gaps = tested.map { Self.loss(series(label), at: $0) - Self.loss(series(Label.global), at: $0) }
            // min() would pass over a NaN that comes later.
            let smallest = gaps.contains(where: \.isNaN) ? .nan : gaps.min() ?? .nan
            return [
                Comparison(
                    "loss of \(name) − magnitude, least over s ≥ 0.2", smallest, .atLeast, 0, unit: "nats"),
                Comparison(
                    "loss of \(name) − magnitude at s = 0.4",
                    Self.loss(series(label), at: 0.4) - Self.loss(series(Label.global), at: 0.4), .atLeast, 0.1,
                    unit: "nats"),
            ]
        }
        return Claim(
            id: "magnitude-beats-random",
            statement: "Magnitude says which weights matter: random masks of the same size do worse.",
            paper: "Random masks, uniform or with ERK densities, lie below magnitude masks at every sparsity",
            criterion: "never worse for s ≥ 0.2, and better by at least 0.1 nats at s = 0.4",
            comparisons: comparisons)
    }

    private var semiStructuredDrop: Claim {
        let statement = "The dropping point is there for N:M patterns too."
        let paper = "Holds for N:M patterns"
        let criterion =
            "along N:8 from 7:8 to 1:8 the loss rises at least 5 times as steeply after the knee as before it"
        guard let series = series(Label.groupsOfEight), let fit = series.knee else {
            return Claim(
                id: "n-m-drop", statement: statement, paper: paper, criterion: criterion,
                notMeasured: "some matrix of this model has rows whose length is not a multiple of 8")
        }
        let half = [(Label.groupsOfTwo, "1:2"), (Label.groupsOfFour, "2:4"), (Label.groupsOfEight, "4:8")].map {
            "\($0.1) \(MarkupText.number(Self.loss(self.series($0.0), at: 0.5)))"
        }
        let limit = denseLoss + sweep.tolerance * max(0, chanceLoss - denseLoss)
        return Claim(
            id: "n-m-drop", statement: statement, paper: paper, criterion: criterion,
            comparisons: [Comparison("slope after / slope before", fit.slopeRatio, .atLeast, 5)],
            remark: "Knee at sparsity \(MarkupText.number(fit.breakpoint, digits: 3)). Loss at half of the weights: "
                + half.joined(separator: ", ") + "; the free zone ends at \(MarkupText.number(limit)) nats.")
    }

    private var nearZero: Claim {
        let comparisons = NearZeroShares.judged.map { place in
            Comparison.largerShare(
                "share of |w| < \(PretrainingCourse.threshold(place)), trained − initial", nearZeroTrained.fixed[place],
                than: nearZeroInitial.fixed[place], of: prunableCount)
        }
        func shown(_ shares: [Double]) -> String {
            NearZeroShares.judged.map { MarkupText.percent(shares[$0], places: 4 - $0) }.joined(separator: " and ")
        }
        return Claim(
            id: "near-zero",
            statement: "Training makes weights sparse: more of them are close to zero than at initialisation.",
            paper: "The share of near-zero weights grows during pre-training",
            criterion:
                "the shares below 0.01 and 0.1 of the root mean square at initialisation are larger than at "
                + "initialisation by more than 4 standard errors",
            comparisons: comparisons,
            remark:
                "Initial (normal) \(shown(nearZeroInitial.fixed)), trained \(shown(nearZeroTrained.fixed)); below the same "
                + "parts of the trained matrices' own root mean squares \(shown(nearZeroTrained.relative)).")
    }

    private var exactMasks: Claim {
        let found = invariants
        return Claim(
            id: "exact-masks",
            statement: "Masks are exact: counts, nesting, order, patterns and budgets.",
            paper: "By definition of the method",
            criterion: "no violation",
            comparisons: [
                Comparison("masks that do not keep N − ⌊s·N⌋", Double(found.wrongCounts), .equal, 0),
                Comparison("neighbouring sparsities not nested", Double(found.nestingViolations), .equal, 0),
                Comparison("masks with a removed weight above a kept one", Double(found.orderViolations), .equal, 0),
                Comparison("matrices with a wrong N:M group", Double(found.patternViolations), .equal, 0),
                Comparison("ERK budget error", Double(found.largestBudgetError), .atMost, 1, unit: "weights"),
                Comparison("ERK densities above 1", Double(found.overfullMatrices), .equal, 0),
            ])
    }

    /// What no run here can say.
    static func largeModel(parameters: Int) -> Claim {
        Claim(
            id: "large-language-model",
            statement: "It holds for a large language model.",
            paper: "Holds for Vicuna-7B",
            criterion: "the sharp dropping point above, on a model of billions of parameters",
            notMeasured: "this model has \(parameters) parameters; the 7-billion-parameter model is not at hand")
    }
}
