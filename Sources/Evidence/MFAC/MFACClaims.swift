import CoppiceModels

extension MFACMeasurement {
    private typealias Size = MFACExperiment.Size
    /// Sparsities that claims about pruning are about.
    private static let judged = [0.9, 0.95]

    /// What the paper says, and whether it is so here.
    package var claims: [Claim] {
        [
            exact, saliencyIsExact, aboveMagnitude, aboveDiagonal, likeBlocks, updateMatters, recomputationMatters,
            moreGradients, gradualPruning, optimizer, optimizerAdaptive, optimizerResidual, generalization,
            generalizationOfResidual, generalizationOfEncoder, stepTime, cost,
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

    /// What pruning by an arm has cost: no other arm can gain much more than that over it.
    private func room(above arm: Arm) -> String {
        let lost = Self.judged.map { sparsity in
            "\(MarkupText.number(100 * (SeedStatistics(dense).mean - accuracies.mean(arm, at: sparsity)), digits: 3)) "
                + "points at \(percent(sparsity))"
        }
        return "Dense − \(arm.name): \(lost.joined(separator: ", "))."
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

    /// That pruning by M-FAC is at least ten points above another way.
    private func farAbove(_ other: Arm, named name: String, id: String, statement: String, paper: String) -> Claim {
        Claim(
            id: id, statement: statement, paper: paper,
            criterion: "M-FAC's mean accuracy is at least 10 points above \(name) at 90 and 95 %.",
            comparisons: leads(over: other, atLeast: 10), remark: room(above: other))
    }

    private var aboveMagnitude: Claim {
        farAbove(
            .magnitude, named: "magnitude's", id: "above-magnitude",
            statement: "One-shot pruning by M-FAC is far above magnitude pruning.",
            paper: "Figure 2, one-shot: above magnitude and WoodFisher.")
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
        farAbove(
            .withoutUpdate, named: "that without the update", id: "update-matters",
            statement: "Most of the gain is in the update of the kept weights.", paper: "Section 3.2.")
    }

    private var recomputationMatters: Claim {
        farAbove(
            .once, named: "that in one step", id: "recomputation-matters",
            statement: "The Fisher matrix has to be taken anew on the way.",
            paper: "Appendix: recomputations of one-shot pruning.")
    }

    private var moreGradients: Claim {
        Claim(
            id: "more-gradients", statement: "More gradients prune better.", paper: "Figure 2, right.",
            criterion: "M-FAC's mean accuracy is at least that with a quarter of the gradients at 95 %.",
            comparisons: leads(over: .fewGradients, at: [0.95], atLeast: 0))
    }

    private var gradualPruning: Claim {
        let names = Self.gradualArms
        func mean(_ arm: Int, at sparsity: Double) -> Double { gradual.accuracies(names[arm], at: sparsity).mean }
        return Claim(
            id: "gradual", statement: "Pruning gradually, M-FAC is at least as accurate as magnitude.",
            paper:
                "Above gradual magnitude pruning on ImageNet: MobileNetV1 70.9 % with 75 % removed, ResNet-50 72.6 % with "
                + "95 %.",
            criterion:
                "The trained networks, pruned by the same cubic ramp while they train on: M-FAC's mean accuracy is at least "
                + "that of gradual magnitude pruning (GMP) at 90, 95 and 98 %.",
            comparisons: Size.sparsities.map { sparsity in
                Comparison(
                    "\(names[0]) − \(names[1]), \(percent(sparsity))",
                    100 * (mean(0, at: sparsity) - mean(1, at: sparsity)), .atLeast, 0, unit: "points")
            },
            remark: "\(names[1]) − \(names[2]): "
                + Size.sparsities.map { sparsity in
                    let lead = 100 * (mean(1, at: sparsity) - mean(2, at: sparsity))
                    return "\(MarkupText.number(lead, digits: 3)) points at \(percent(sparsity))"
                }.joined(separator: ", ") + ".")
    }

    /// That M-FAC's loss is at most another's, each at its best rate: at the end, and over all steps.
    private func descends(
        _ trained: Trained, asFastAs other: Descent, rates: String, of what: String, id: String, statement: String,
        paper: String
    ) -> Claim {
        let (own, beside) = (best(trained, .mfac), best(trained, other))
        return Claim(
            id: id, statement: statement, paper: paper,
            criterion:
                "At the best of \(rates) rates each, the loss of \(what) is at most \(other.rawValue)'s, in the mean over "
                + "its last tenth and over all of its steps.",
            comparisons: [
                Comparison(
                    "loss of M-FAC / \(other.rawValue), last tenth of the steps",
                    (own?.loss ?? .nan) / (beside?.loss ?? .nan), .atMost, 1),
                Comparison(
                    "the same, mean over all steps", (own?.meanLoss ?? .nan) / (beside?.meanLoss ?? .nan), .atMost, 1),
            ])
    }

    private var optimizer: Claim {
        descends(
            .perceptron, asFastAs: .sgd, rates: "four", of: "one epoch", id: "optimizer",
            statement: "As an optimizer it descends at least as fast per step as SGD with momentum.",
            paper: "Tables 1 and 2: above SGD and Adam on most tasks.")
    }

    private var optimizerAdaptive: Claim {
        descends(
            .perceptron, asFastAs: .adamW, rates: "four", of: "one epoch", id: "optimizer-adaptive",
            statement: "And as AdamW.", paper: "Tables 1 and 2.")
    }

    private var optimizerResidual: Claim {
        descends(
            .residual, asFastAs: .sgd, rates: "three", of: "the training", id: "optimizer-residual",
            statement: "And as SGD with momentum on a residual network with batch norm.",
            paper: "Section 4: ResNet-20 and ResNet-32 on CIFAR-10.")
    }

    /// That M-FAC's test accuracy is at least another's, each at the rate of the least training loss.
    private func generalizes(
        _ trained: Trained, asWellAs other: Descent, id: String, statement: String, paper: String,
        unless reason: String? = nil
    ) -> Claim {
        let (own, beside) = (best(trained, .mfac)?.accuracy ?? .nan, best(trained, other)?.accuracy ?? .nan)
        return Claim(
            id: id, statement: statement, paper: paper,
            criterion:
                "At the rate of the least training loss each, M-FAC's mean test accuracy is at least \(other.rawValue)'s.",
            unless: reason,
            comparisons: [
                Comparison("M-FAC − \(other.rawValue)", 100 * (own - beside), .atLeast, 0, unit: "points")
            ], remark: "M-FAC \(MarkupText.percent(own)), \(other.rawValue) \(MarkupText.percent(beside)).")
    }

    private var generalization: Claim {
        generalizes(
            .perceptron, asWellAs: .sgd, id: "generalization",
            statement: "What it trains is at least as accurate on test images as what SGD trains.",
            paper: "At least SGD's accuracy on most networks; none is a perceptron.")
    }

    private var generalizationOfResidual: Claim {
        generalizes(
            .residual, asWellAs: .sgd, id: "generalization-residual", statement: "And of a residual network.",
            paper: "ResNet-20 on CIFAR-10, trained to the end: about 92.3 % with M-FAC, 91.8 % with SGD.")
    }

    private var generalizationOfEncoder: Claim {
        generalizes(
            .encoder, asWellAs: .adamW, id: "fine-tuning",
            statement: "Fine-tuning a small encoder with M-FAC is at least as accurate as with Adam.",
            paper: "BERT-tiny: 82.8 ± 0.2 against 81.7 ± 0.3 (F1) on MRPC, 81.2 ± 0.4 against 77.9 ± 0.2 % on QNLI.",
            unless: tests[.encoder] == nil ? "it needs a data folder with \(LetterTexts.titles) in it (--data)" : nil)
    }

    private var stepTime: Claim {
        Claim(
            id: "step-time", statement: "A step costs little more than one of SGD.",
            paper: "The abstract gives the operations of a step; no time of this network.",
            criterion: "LeNet-300-100, a window of 64 gradients: a step takes at most 3 times as long as one of SGD.",
            notMeasured:
                "measured apart, since reports hold no times: missed, see docs/performance.md; `coppice bench --train "
                + "--workload lenet-300-100 --optimizer mfac --gradients 64` measures a step, and with `--optimizer sgd` "
                + "the one beside it")
    }

    private var cost: Claim {
        Claim(
            id: "cost", statement: "Products with the inverse take O(d m) operations, what is precomputed O(d m²).",
            paper: "Abstract and section 3.",
            criterion:
                "Slopes of log seconds: 1 ± 0.15 by log d for products of 10⁵ to 10⁷ weights, about 2 by log m for what is "
                + "precomputed.",
            notMeasured:
                "measured apart, since reports hold no times: the slopes are in docs/performance.md; `coppice bench "
                + "--inverse-fisher --sweep` measures them")
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
            + gradual.lossIllustration(id: "gradual-loss", "LeNet-300-100", arms: Self.gradualArms, at: 0.98)
            + (curves[.perceptron] ?? []).illustration(
                title: "Loss of one epoch",
                caption: "Each optimizer at its best rate, means over \(dense.count) seeds and some steps.")
            + (curves[.residual] ?? []).illustration(
                id: "residual-loss", title: "Loss of the residual network",
                caption: "Each optimizer at its best rate, means over \(dense.count) seeds and some steps.")
            + (curves[.encoder] ?? []).illustration(
                id: "encoder-loss", title: "Loss of the encoder's fine-tuning",
                caption: "Each optimizer at its best rate, means over \(dense.count) seeds and some steps.")
    }

    private func lossTable(_ title: String, _ trained: Trained) -> ExperimentReport.Table {
        let own = Descent.allCases.filter { !$0.rates(of: trained).isEmpty }
        let rows = own.map { descent in
            [descent.rawValue]
                + descent.rates(of: trained).map {
                    let loss = losses[trained]?.mean(descent, at: $0) ?? .nan
                    let accuracy = tests[trained]?.mean(descent, at: $0) ?? .nan
                    return "\(MarkupText.number(loss)), \(MarkupText.percent(accuracy)) at \(MarkupText.number($0))"
                }
        }
        let columns = own.map { $0.rates(of: trained).count }.max() ?? 0
        return .init(
            title: title,
            HTMLTable(
                head: [""] + ["first rate", "second", "third", "fourth"].prefix(columns), rows: rows,
                numericColumns: Set(1...max(1, columns))))
    }

    var tables: [ExperimentReport.Table] {
        [
            accuracies.table(
                "Test accuracy in percent after pruning once", arms: arms,
                settings: Size.sparsities.map { (value: $0, name: percent($0)) }),
            gradual.table(
                "Test accuracy in percent after pruning gradually", arms: Self.gradualArms, sparsities: Size.sparsities),
            lossTable("Loss over the last tenth of one epoch, in nats, and test accuracy, by rate", .perceptron),
            lossTable("The same of the residual network", .residual),
        ] + (tests[.encoder] == nil ? [] : [lossTable("The same of fine-tuning the encoder", .encoder)])
    }

    var notes: [String] {
        func rates(_ trained: Trained) -> String {
            Descent.allCases.filter { !$0.rates(of: trained).isEmpty }.map { descent in
                "\(descent.rawValue) \(best(trained, descent).map { MarkupText.number($0.rate) } ?? "none")"
            }.joined(separator: ", ")
        }
        return [
            "Dense networks: \(SeedStatistics(dense).percent) % of test images right.",
            "Best rates: \(rates(.perceptron)); of the residual network \(rates(.residual))"
                + (tests[.encoder] == nil ? "." : "; of the encoder \(rates(.encoder))."),
        ]
    }

    var json: JSON {
        .object([
            "dense": .array(dense.map { .number($0) }),
            "accuracies": accuracies.json(
                arms: Arm.allCases.map { (arm: $0, name: $0.rawValue) }, settings: Size.sparsities),
            "gradual": gradual.json, "gradual_losses": gradual.losses(Self.gradualArms, at: 0.98).json,
            "losses": lossJSON(.perceptron), "residual_losses": lossJSON(.residual),
            "encoder_losses": lossJSON(.encoder),
            "curves": (curves[.perceptron] ?? []).json, "residual_curves": (curves[.residual] ?? []).json,
            "relative_errors": .object([
                "static": .number(exactness.product), "window": .number(exactness.window),
                "block": .number(exactness.block), "recursion": .number(exactness.recursion),
                "f32": .number(exactness.single), "saliency": .number(exactness.saliency),
            ]),
        ])
    }

    private func lossJSON(_ trained: Trained) -> JSON {
        func means(_ losses: ArmAccuracies<Descent>?, _ descent: Descent) -> JSON {
            .array(descent.rates(of: trained).map { .number(losses?.mean(descent, at: $0) ?? .nan) })
        }
        return .array(
            Descent.allCases.filter { !$0.rates(of: trained).isEmpty }.map { descent in
                .object([
                    "optimizer": .string(descent.rawValue),
                    "rates": .array(descent.rates(of: trained).map { .number($0) }),
                    "losses": means(losses[trained], descent), "mean_losses": means(meanLosses[trained], descent),
                    "test_accuracies": means(tests[trained], descent),
                ])
            })
    }
}
