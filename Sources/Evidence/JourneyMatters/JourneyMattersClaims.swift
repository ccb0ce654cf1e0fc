import CoppiceModels
import CoppiceTraining

extension JourneyMattersMeasurement {
    /// What the paper says, and whether it is so here.
    var claims: [Claim] {
        [
            sameLossAsAverage, sameLossAsDense, betterThanFinal, lateIsWorse, middleIsNearOptimal, lawHoldsForSparse,
            lawHoldsForAll, publishedModels, large,
        ]
    }

    private static let abstract = "Abstract, qualitatively; no number."

    func percent(_ sparsity: Double) -> String { MarkupText.percent(sparsity, places: 0) }

    /// A comparison for each sparsity and seed.
    private func comparisons(_ make: (_ sparsity: Double, _ seed: UInt64, _ name: String) -> Comparison) -> [Comparison]
    {
        size.sparsities.flatMap { sparsity in
            seeds.map { make(sparsity, $0, "\(percent(sparsity)), seed \($0)") }
        }
    }

    private func loss(_ run: JourneyRun?) -> Double { run?.loss ?? .nan }

    private var sameLossAsAverage: Claim {
        Claim(
            id: "same-loss-as-average",
            statement:
                "A model that is pruned while it is trained has the loss of a dense one of its average size on as "
                + "many tokens.",
            paper: Self.abstract,
            criterion: "The losses differ by at most 2 % (3 % at 80 % sparsity), on each seed.",
            comparisons: comparisons { sparsity, seed, name in
                let (own, other) = (
                    loss(sparse(sparsity, .middle, seed: seed)), loss(matchingAverage(sparsity, seed: seed))
                )
                return Comparison(
                    "|sparse − dense| / dense, \(name)", 100 * abs(own - other) / other, .atMost,
                    sparsity > 0.7 ? 3 : 2, unit: "%")
            })
    }

    private var sameLossAsDense: Claim {
        Claim(
            id: "same-loss-as-dense",
            statement: "With the same compute it is as good as the dense model that it begins as, and ends smaller.",
            paper: Self.abstract,
            criterion: "Its loss is at most 2 % above the dense one's (3 % at 80 % sparsity), on each seed.",
            comparisons: comparisons { sparsity, seed, name in
                let (own, other) = (loss(sparse(sparsity, .middle, seed: seed)), loss(matchingCompute(seed: seed)))
                return Comparison(
                    "sparse / dense − 1, \(name)", 100 * (own / other - 1), .atMost, sparsity > 0.7 ? 3 : 2, unit: "%")
            })
    }

    private var betterThanFinal: Claim {
        Claim(
            id: "better-than-final-size",
            statement: "It is better than a dense model of its final size on as many tokens.", paper: Self.abstract,
            criterion: "Its loss is at least 0.03 nats lower, on each seed.",
            comparisons: comparisons { sparsity, seed, name in
                Comparison(
                    "dense of the final size − sparse, \(name)",
                    loss(matchingFinal(sparsity, seed: seed)) - loss(sparse(sparsity, .middle, seed: seed)), .atLeast,
                    0.03, unit: "nats")
            })
    }

    private var lateIsWorse: Claim {
        Claim(
            id: "late-is-worse",
            statement: "Pruning between 25 and 75 % of compute is better than pruning at the end.",
            paper: Self.abstract,
            criterion: "Its loss is at least 0.05 nats below that of 70 to 97 %, at equal compute, on each seed.",
            comparisons: comparisons { sparsity, seed, name in
                Comparison(
                    "70–97 − 25–75, \(name)",
                    loss(sparse(sparsity, .late, seed: seed)) - loss(sparse(sparsity, .middle, seed: seed)), .atLeast,
                    0.05, unit: "nats")
            })
    }

    private var middleIsNearOptimal: Claim {
        Claim(
            id: "middle-is-near-optimal",
            statement: "Starting at 25 and ending at 75 % of compute is near-optimal.", paper: Self.abstract,
            criterion: "Its loss is within 0.02 nats of the best window tried, at equal compute, on each seed.",
            comparisons: comparisons { sparsity, seed, name in
                let losses = JourneyArm.Window.allCases.map { loss(sparse(sparsity, $0, seed: seed)) }
                return Comparison(
                    "25–75 − best, \(name)",
                    loss(sparse(sparsity, .middle, seed: seed))
                        - (losses.contains { $0.isNaN } ? .nan : losses.min() ?? .nan),
                    .atMost, 0.02, unit: "nats")
            },
            remark: "Windows tried: \(JourneyArm.Window.allCases.map(\.rawValue).joined(separator: ", ")) %. Early "
                + "ones see more tokens for the same compute.")
    }

    private var lawHoldsForSparse: Claim {
        oneLaw(
            id: "one-law",
            statement:
                "One law in the average number of parameters and the tokens holds for dense models and those that are "
                + "pruned between 25 and 75 % of compute.",
            of: sparseRuns(.middle), named: "25–75 %")
    }

    private var lawHoldsForAll: Claim {
        oneLaw(
            id: "one-law-for-all",
            statement:
                "One law in the average number of parameters and the tokens holds for dense models and all that are "
                + "pruned on the way, whenever and however.",
            of: shrinkingRuns, named: "all windows, cubic ramps and pruning at once")
    }

    /// Whether the law of the dense runs says the loss of others by their average size, better than by their final one.
    private func oneLaw(id: String, statement: String, of runs: [JourneyRun], named name: String) -> Claim {
        let (error, final) = (lawError(on: runs), lawError(on: runs, byFinalSize: true))
        let fitted = fit.map {
            "Fitted to \($0.runs.count) dense runs, mean error on them "
                + "\(MarkupText.percent(ScalingLawFit.meanRelativeError(of: $0.law, on: $0.runs)))."
        }
        return Claim(
            id: id, statement: statement, paper: Self.abstract,
            criterion:
                "A law fitted to the dense runs alone says the loss of the others (\(name)) with a mean error of at "
                + "most 2.5 %, and at least twice as well as with their final size in place of the average. Not measured "
                + "where the runs do not determine a law: an exponent outside 0.05 to 3, or E below 0.01 nats.",
            unless: undetermined,
            comparisons: [
                Comparison("mean error by average size", 100 * error, .atMost, 2.5, unit: "%"),
                Comparison("error by final size / error by average size", final / error, .atLeast, 2),
            ], remark: "Over \(runs.count) runs. \(fitted ?? "")")
    }

    /// Why the dense runs give no law; nil where they do.
    private var undetermined: String? {
        guard let fit else { return "the dense runs do not suffice to fit a law" }
        guard determinedLaw == nil else { return nil }
        let middle = sparseRuns(.middle)
        return "the \(fit.runs.count) dense runs do not determine a law: E = "
            + "\(MarkupText.number(fit.law.irreducibleLoss)) nats, α = "
            + "\(MarkupText.number(fit.law.parameterExponent)), β = "
            + "\(MarkupText.number(fit.law.tokenExponent)). What was fitted errs by "
            + "\(MarkupText.percent(lawError(on: middle), places: 2)) by average size, "
            + "\(MarkupText.percent(lawError(on: middle, byFinalSize: true), places: 2)) by final size (25–75 %)"
    }

    /// No training: the arithmetic of the schedule against the released models.
    private var publishedModels: Claim {
        // Final sparsity, last step of pruning and steps where they are known, mean density; 10,000 dense steps.
        let rows: [(sparsity: Double, steps: [Double], density: Double)] = [
            (0.2, [8_100, 11_200], 0.892), (0.4, [8_875, 13_050], 0.765), (0.6, [10_100, 16_375], 0.605),
            (0.8, [], 0.45 / 1.14),
        ]
        return Claim(
            id: "published-schedules",
            statement: "Phases of compute with a geometric ramp are those of the released models.",
            paper: "Model cards: 20 %: 2,500, 8,100 and 11,200 steps, mean density 0.892; 40 %: 8,875, 13,050, 0.765; "
                + "60 %: 10,100, 16,375, 0.605; 80 %: 0.45 of 1.14 billion parameters on average, no steps.",
            criterion: "Steps within 40, densities within 0.006.",
            comparisons: rows.flatMap { row -> [Comparison] in
                let name = percent(row.sparsity)
                let schedule = try? ComputePhaseSchedule(denseSteps: 10_000, finalSparsity: row.sparsity, interval: 50)
                let own = schedule.map { [Double($0.endStep), Double($0.totalSteps)] } ?? [.nan, .nan]
                var comparisons = zip(["end", "steps"], zip(own, row.steps)).map { quantity, steps in
                    Comparison(
                        "|\(quantity) − published|, \(name)", abs(steps.0 - steps.1), .atMost, 40, unit: "steps")
                }
                comparisons.append(
                    Comparison(
                        "|density − published|, \(name)",
                        abs((schedule?.averageDensity ?? .nan) - row.density), .atMost, 0.006))
                return comparisons
            })
    }

    private var large: Claim {
        Claim(
            id: "large-models",
            statement:
                "Models of 1.14 billion prunable weights at 20, 40 and 60 % match or beat their dense references.",
            paper:
                "WikiText-103 perplexity: 19.58, 19.93 and 20.80; a dense model of the average size of the last: 22.58.",
            criterion: "The released models' losses, measured here.",
            notMeasured: "training models of that size on 90 billion tokens is out of reach of this experiment")
    }
}
