import CoppiceModels

extension MFACMeasurement {
    private typealias Size = MFACExperiment.Size
    /// Sparsities that claims about pruning are about.
    private static let judged = [0.9, 0.95]

    /// What the paper says, and whether it is so here.
    package var claims: [Claim] {
        [
            exact, saliencyIsExact, aboveMagnitude, aboveDiagonal, likeBlocks, updateMatters, recomputationMatters,
            moreGradients, optimizer, optimizerAdaptive, optimizerResidual,
        ]
    }

    private func percent(_ sparsity: Double) -> String { MarkupText.percent(sparsity, places: 0) }

    private func leads(
        of arm: Arm = .whole, over other: Arm, at sparsities: [Double] = MFACMeasurement.judged, atLeast bound: Double
    ) -> [Comparison] {
        sparsities.map {
            Comparison(
                "\(arm.name) − \(other.name), \(percent($0))", accuracies.lead(of: arm, over: other, at: $0), .atLeast,
                bound, unit: "points")
        }
    }

    private var exact: Claim {
        Claim(
            id: "exact",
            statement: "Products with the inverse are exact, without ever forming a matrix of weights by weights.",
            paper: "Sections 3 and 4: the static and the dynamic algorithm.",
            criterion:
                "Relative distance from the matrix formed and inverted, at λ = 10⁻⁵ for up to 200 weights and 32 "
                + "gradients: at most 10⁻⁹ in f64, 10⁻³ in f32.",
            comparisons: [
                Comparison("static", exactness.product, .atMost, 1e-9),
                Comparison("sliding window", exactness.window, .atMost, 1e-9),
                Comparison("one block", exactness.block, .atMost, 1e-9),
                Comparison("the paper's recursion", exactness.recursion, .atMost, 1e-9),
                Comparison("f32", exactness.single, .atMost, 1e-3),
            ])
    }

    private var saliencyIsExact: Claim {
        Claim(
            id: "saliency",
            statement: "On a quadratic loss, removing a weight and updating the others costs its saliency.",
            paper: "Section 3.2, the optimal-brain-surgeon formulas.",
            criterion: "Relative distance between the rise of the quadratic and w²/(2 [F⁻¹]ₖₖ): at most 10⁻⁶.",
            comparisons: [Comparison("relative distance", exactness.saliency, .atMost, 1e-6)])
    }

    private var aboveMagnitude: Claim {
        Claim(
            id: "above-magnitude", statement: "One-shot pruning by M-FAC is far above magnitude pruning.",
            paper: "Figure 2, one-shot: above magnitude and WoodFisher.",
            criterion: "M-FAC's mean accuracy is at least 10 points above magnitude's at 95 %, and above it at 90 %.",
            comparisons: leads(over: .magnitude, at: [0.9], atLeast: 0)
                + leads(over: .magnitude, at: [0.95], atLeast: 10))
    }

    private var aboveDiagonal: Claim {
        Claim(
            id: "above-diagonal", statement: "What the diagonal leaves out matters.",
            paper: "Section 3.2 and figure 2.",
            criterion: "M-FAC's mean accuracy is at least 1 point above the diagonal Fisher matrix's at 95 %.",
            comparisons: leads(over: .diagonal, at: [0.95], atLeast: 1))
    }

    private var likeBlocks: Claim {
        Claim(
            id: "like-blocks", statement: "Blocks of 128 weights come close to the whole matrix.",
            paper: "Figure 2: larger blocks are better, slowly.",
            criterion: "The mean accuracies of M-FAC and WoodFisher are within 3 points of each other.",
            comparisons: Self.judged.map {
                Comparison(
                    "|M-FAC − WoodFisher|, \(percent($0))", abs(accuracies.lead(of: .whole, over: .blocks, at: $0)),
                    .atMost, 3, unit: "points")
            })
    }

    private var updateMatters: Claim {
        Claim(
            id: "update-matters", statement: "Most of the gain is in the update of the kept weights.",
            paper: "Section 3.2.",
            criterion:
                "M-FAC's mean accuracy is at least 10 points above that without the update at 95 %, and above it at "
                + "90 %.",
            comparisons: leads(over: .withoutUpdate, at: [0.9], atLeast: 0)
                + leads(over: .withoutUpdate, at: [0.95], atLeast: 10))
    }

    private var recomputationMatters: Claim {
        Claim(
            id: "recomputation-matters", statement: "The Fisher matrix has to be taken anew on the way.",
            paper: "Appendix: recomputations of one-shot pruning.",
            criterion:
                "M-FAC's mean accuracy is at least 10 points above that in one step at 95 %, and above it at 90 %.",
            comparisons: leads(over: .once, at: [0.9], atLeast: 0) + leads(over: .once, at: [0.95], atLeast: 10))
    }

    private var moreGradients: Claim {
        Claim(
            id: "more-gradients", statement: "More gradients prune better.", paper: "Figure 2, right.",
            criterion: "M-FAC's mean accuracy is at least that with a quarter of the gradients at 95 %.",
            comparisons: leads(over: .fewGradients, at: [0.95], atLeast: 0))
    }

    private func descent(_ other: Descent) -> [Comparison] {
        [
            Comparison(
                "loss of M-FAC / \(other.rawValue)", (best(.mfac)?.loss ?? .nan) / (best(other)?.loss ?? .nan), .atMost,
                1)
        ]
    }

    private var optimizer: Claim {
        Claim(
            id: "optimizer", statement: "As an optimizer it descends at least as fast per step as SGD with momentum.",
            paper: "Tables 1 and 2: above SGD and Adam on most tasks.",
            criterion: "The mean loss at the end of one epoch, at the best of four rates each, is at most SGD's.",
            comparisons: descent(.sgd))
    }

    private var optimizerAdaptive: Claim {
        Claim(
            id: "optimizer-adaptive", statement: "And as AdamW.", paper: "Tables 1 and 2.",
            criterion: "The mean loss at the end of one epoch, at the best of four rates each, is at most AdamW's.",
            comparisons: descent(.adamW))
    }

    private var optimizerResidual: Claim {
        Claim(
            id: "optimizer-residual", statement: "And as SGD with momentum on a residual network with batch norm.",
            paper: "Section 4: ResNet-20 and ResNet-32 on CIFAR-10.",
            criterion: "The mean loss at the end of training, at the best of three rates each, is at most SGD's.",
            comparisons: [
                Comparison(
                    "loss of M-FAC / SGD, residual network",
                    (residualBest(.mfac)?.loss ?? .nan) / (residualBest(.sgd)?.loss ?? .nan), .atMost, 1)
            ])
    }
}

extension MFACMeasurement {
    private var arms: [(arm: Arm, name: String)] { Arm.allCases.map { (arm: $0, name: $0.name) } }

    var illustrations: [ExperimentReport.Illustration] {
        [
            .init(
                id: "accuracy",
                LineChart(
                    title: "Accuracy after pruning once", summary: "Mean test accuracy by sparsity, nothing trained.",
                    horizontalTitle: "sparsity", verticalTitle: "test accuracy",
                    series: Arm.allCases.map { arm in
                        .init(name: arm.name, points: Size.sparsities.map { ($0, accuracies.mean(arm, at: $0)) })
                    }), caption: "Means over \(dense.count) seeds.")
        ]
            + curves.illustration(
                title: "Loss of one epoch",
                caption: "Each optimizer at its best rate, means over \(dense.count) seeds and some steps.")
            + residualCurves.illustration(
                id: "residual-loss", title: "Loss of the residual network",
                caption: "Each optimizer at its best rate, means over \(dense.count) seeds and some steps.")
    }

    private func lossTable(
        _ title: String, _ losses: ArmAccuracies<Descent>, _ rates: (Descent) -> [Double]
    ) -> ExperimentReport.Table {
        let own = Descent.allCases.filter { !rates($0).isEmpty }
        let rows = own.map { descent in
            [descent.rawValue]
                + rates(descent).map {
                    "\(MarkupText.number(losses.statistics(descent, at: $0).mean)) at \(MarkupText.number($0))"
                }
        }
        let columns = own.map { rates($0).count }.max() ?? 0
        return .init(
            title: title,
            HTMLTable(
                head: [""] + ["first rate", "second", "third", "fourth"].prefix(columns), rows: rows,
                numericColumns: Set(1...max(1, columns))))
    }

    var tables: [ExperimentReport.Table] {
        return [
            accuracies.table(
                "Test accuracy in percent after pruning once", arms: arms,
                settings: Size.sparsities.map { (value: $0, name: percent($0)) }),
            lossTable("Loss at the end of one epoch, in nats, by rate", losses, \.rates),
            lossTable("The same of the residual network", residualLosses, \.residualRates),
        ] + stepTimes.tables
    }

    var notes: [String] {
        [
            "Dense networks: \(SeedStatistics(dense).percent) % of test images right.",
            "Best rates: "
                + Descent.allCases.map { descent in
                    "\(descent.rawValue) \(best(descent).map { MarkupText.number($0.rate) } ?? "none")"
                }.joined(separator: ", ") + "; of the residual network "
                + Descent.allCases.filter { !$0.residualRates.isEmpty }.map { descent in
                    "\(descent.rawValue) \(residualBest(descent).map { MarkupText.number($0.rate) } ?? "none")"
                }.joined(separator: ", ") + ".",
        ]
            + stepTimes.filter { $0.workload == .leNet300 && $0.rule != .sgd }.compactMap { own in
                stepTimes.ratio(own).map {
                    "A step of \(own.workload.rawValue) with \(own.rule) took \(MarkupText.number($0)) times the processor "
                        + "time of one with SGD: medians over five turns each, on a machine that may have had other work."
                }
            }
    }

    var json: JSON {
        .object([
            "dense": .array(dense.map { .number($0) }),
            "accuracies": accuracies.json(
                arms: Arm.allCases.map { (arm: $0, name: $0.rawValue) }, settings: Size.sparsities),
            "losses": lossJSON(losses, \.rates), "residual_losses": lossJSON(residualLosses, \.residualRates),
            "curves": curves.json, "residual_curves": residualCurves.json, "step_times": stepTimes.json,
            "relative_errors": .object([
                "static": .number(exactness.product), "window": .number(exactness.window),
                "block": .number(exactness.block), "recursion": .number(exactness.recursion),
                "f32": .number(exactness.single), "saliency": .number(exactness.saliency),
            ]),
        ])
    }
    private func lossJSON(_ losses: ArmAccuracies<Descent>, _ rates: (Descent) -> [Double]) -> JSON {
        .array(
            Descent.allCases.filter { !rates($0).isEmpty }.map { descent in
                .object([
                    "optimizer": .string(descent.rawValue), "rates": .array(rates(descent).map { .number($0) }),
                    "losses": .array(rates(descent).map { .number(losses.mean(descent, at: $0)) }),
                ])
            })
    }
}
