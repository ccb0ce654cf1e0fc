import CoppiceModels

extension BilevelPruningMeasurement {
    /// What the paper says, and whether it is so here.
    package var claims: [Claim] {
        [
            asGoodAsIterative, asGoodAsRewound, cheaperThanIterative, aboveEarlyPruning, aboveLearnedScores,
            aboveMagnitude, nearDense, implicitTerm, insensitive, structured, slicedLatency,
        ]
    }

    private func percent(_ kept: Double) -> String { MarkupText.percent(kept, places: 0) }

    private func leads(
        over other: Arm, at kept: [Double], _ bound: Double, _ relation: Comparison.Relation = .atLeast
    ) -> [Comparison] {
        kept.map {
            Comparison(
                "BiP − \(other.name), \(percent($0)) kept", accuracies.lead(of: .bilevel, over: other, at: $0),
                relation, bound, unit: "points")
        }
    }

    private var asGoodAsIterative: Claim {
        Claim(
            id: "as-good-as-iterative",
            statement: "One run of bi-level pruning finds networks at least as good as iterative pruning does.",
            paper: "Abstract: better winning tickets than iterative magnitude pruning in most cases.",
            criterion:
                "BiP's mean accuracy is at least that of iterative pruning from the initial weights less 0.3 points, "
                + "at every part kept, whether its levels train as the dense network did or as BiP does.",
            comparisons: Arm.fromInitialWeights.flatMap {
                leads(over: $0, at: BilevelPruningExperiment.Size.kept, -0.3)
            })
    }

    private var asGoodAsRewound: Claim {
        Claim(
            id: "as-good-as-rewound",
            statement: "They are at least as good as those of iterative pruning with early rewinding.",
            paper: "Figures: above iterative magnitude pruning with rewinding, too, in most cases; no number here.",
            criterion:
                "BiP's mean accuracy is at least that of iterative pruning whose levels go back to the weights after "
                + "the first epoch less 0.3 points, at every part kept, in both ways of training.",
            comparisons: Arm.fromEarlyWeights.flatMap {
                leads(over: $0, at: BilevelPruningExperiment.Size.kept, -0.3)
            })
    }

    private var cheaperThanIterative: Claim {
        let cost = Double(passes[.bilevel] ?? 0) / Double(passes[.iterative] ?? 0)
        return Claim(
            id: "cheaper-than-iterative", statement: "It costs a fraction of iterative pruning.",
            paper: "Abstract: 2 to 7 times as fast at the same accuracy and sparsity.",
            criterion:
                "Batches that went forwards and backwards until 2 % are kept, BiP's over iterative pruning's: at "
                + "most a fifth.",
            comparisons: [
                Comparison("BiP / iterative, 2 % kept", cost.isFinite && cost > 0 ? cost : .nan, .atMost, 0.2)
            ], remark: "The dense network's training counts for both.")
    }

    private var aboveEarlyPruning: Claim {
        Claim(
            id: "above-early-pruning",
            statement: "It is above pruning before training by SNIP, GraSP and SynFlow.",
            paper: "Figures: above all three; no number here.",
            criterion:
                "BiP's mean accuracy is above that of each, trained as many steps as BiP's weights, at every part "
                + "kept.",
            comparisons: Arm.early.flatMap { arm in
                leads(over: arm, at: BilevelPruningExperiment.Size.kept, 0, .above)
            })
    }

    private var aboveLearnedScores: Claim {
        Claim(
            id: "above-learned-scores",
            statement:
                "Training weights along with the masks beats learning masks of frozen weights and retraining then.",
            paper: "Figures: above HYDRA; no number here.",
            criterion: "BiP's mean accuracy is at least 0.5 points above HYDRA's with retraining at 2 % and 1 % kept.",
            comparisons: leads(over: .learnedScores, at: [0.02, 0.01], 0.5))
    }

    private var aboveMagnitude: Claim {
        Claim(
            id: "above-one-shot-magnitude",
            statement: "It is far above one-shot magnitude pruning with retraining at a high sparsity.",
            paper: "Figures: above one-shot magnitude pruning; no number here.",
            criterion:
                "BiP's mean accuracy is at least 5 points above magnitude pruning's with retraining at 2 % kept.",
            comparisons: leads(over: .magnitude, at: [Self.middle], 5))
    }

    private var nearDense: Claim {
        Claim(
            id: "near-dense", statement: "Little accuracy is lost at 5 % kept.",
            paper: "Figures: within a point or two of the dense network at such ratios.",
            criterion: "The dense networks' mean accuracy is at most 2 points above BiP's at 5 % kept.",
            comparisons: [
                Comparison(
                    "dense − BiP, 5 % kept",
                    100 * (SeedStatistics(dense).mean - accuracies.mean(.bilevel, at: 0.05)), .atMost, 2,
                    unit: "points")
            ])
    }

    private var implicitTerm: Claim {
        Claim(
            id: "implicit-term", statement: "The implicit gradient and separate batches for the two levels help.",
            paper: "The implicit gradient is the method; different batches are reported to help.",
            criterion:
                "BiP's mean accuracy at 2 % kept is above that without the implicit term and that with one batch "
                + "for both levels.",
            comparisons: [Arm.alternating, .sameBatches].flatMap { leads(over: $0, at: [Self.middle], 0, .above) })
    }

    private var insensitive: Claim {
        Claim(
            id: "insensitive", statement: "Neither γ nor other batches for the two levels need care.",
            paper: "γ = 1 and different batches throughout; no number here.",
            criterion:
                "BiP's mean accuracy at 2 % kept differs by less than 1 point from that with γ = 10, with γ = 100 and "
                + "with one batch for both levels.",
            comparisons: [Arm.gamma10, .gamma100, .sameBatches].map {
                Comparison(
                    "|BiP − \($0.name)|, 2 % kept",
                    abs(accuracies.lead(of: .bilevel, over: $0, at: Self.middle)), .below, 1, unit: "points")
            })
    }

    private var structured: Claim {
        Claim(
            id: "structured", statement: "It prunes filters and channels as well.",
            paper: "Abstract: structured pruning too, with real speed-up.",
            criterion:
                "A network of six convolutions that keeps half of every group of channels: BiP's mean accuracy, of "
                + "filters and of channels, is at least that of filters by L1 norm with as long a retraining, at most "
                + "0.6 of the multiplications are left, and smaller networks compute what masked ones do (1e-5) at "
                + "every part kept.",
            unless: filters == nil ? "no filters were pruned" : nil,
            comparisons: filters.map { filters in
                [FilterComparison.Arm.bilevel, .channels].map { arm in
                    Comparison(
                        "\(arm.name) − L1 norm",
                        filters.accuracies.lead(of: arm, over: .norm, at: FilterComparison.middle), .atLeast, 0,
                        unit: "points")
                } + [
                    Comparison(
                        "multiplications left", filters.multiplications[FilterComparison.middle] ?? .nan, .atMost, 0.6),
                    Comparison("largest difference of outputs", filters.difference, .atMost, 1e-5),
                ]
            } ?? [])
    }

    private var slicedLatency: Claim {
        Claim(
            id: "sliced-latency", statement: "The smaller network is faster.",
            paper: "Abstract: structured pruning too, with real speed-up.",
            criterion: "A pass of the network with half of the filters takes at most 0.6 of the dense one's time.",
            notMeasured: "reports hold no times; `coppice compress --measure` with the recipe resnet-bip-filters-half "
                + "measures both networks in turns")
    }
}
