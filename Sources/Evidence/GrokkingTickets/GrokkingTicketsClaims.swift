import CoppiceCompression
import CoppiceModels

extension GrokkingTicketsMeasurement {
    /// What the paper says, and whether it is so here.
    package var claims: [Claim] {
        [
            ticketsAccelerate, normIsNotEnough, regularizersAreSlower, earlyMasksDoNotHelp, laterSourcesAreFaster,
            withoutDecay, criteriaAtInitialization, transformerToo, imagesToo, structureOnly,
        ]
    }

    private static let abstract = "Abstract, qualitatively; no number."

    /// τ_grok of an arm over that of the dense run; NaN where the dense run has none or the arm was not run.
    private func ratio(_ outcome: GrokkingOutcome?, to reference: GrokkingOutcome?) -> Double {
        guard let outcome, let whole = reference?.curve.delay, whole > 0 else { return .nan }
        return Double(outcome.curve.delayOrBound.steps) / Double(whole)
    }

    private func ticket(_ trial: Trial) -> GrokkingOutcome? { trial.outcome(.ticket(step: nil)) }

    private var ticketsAccelerate: Claim {
        Claim(
            id: "tickets-accelerate",
            statement: "Tickets of the generalizing solution drastically shorten the delay.", paper: Self.abstract,
            criterion: "τ_grok of the ticket (κ = 0.4) is at most a fifth of the dense network's, on each seed.",
            comparisons: trials.map { trial in
                let found = ticket(trial)
                let reached = found?.curve.delay != nil
                return Comparison(
                    "ticket / dense, seed \(trial.seed)", reached ? ratio(found, to: trial.dense.outcome) : .nan,
                    .atMost,
                    0.2)
            })
    }

    private var normIsNotEnough: Claim {
        Claim(
            id: "norm-is-not-enough",
            statement: "Dense networks with the ticket's L1 or L2 norm are slower than the ticket.",
            paper: Self.abstract,
            criterion: "τ_grok of both norm-matched dense networks is at least three times the ticket's, on each seed.",
            comparisons: trials.flatMap { trial in
                WeightNorms.Order.allCases.map { order in
                    Comparison(
                        "\(order.rawValue.uppercased())-matched / ticket, seed \(trial.seed)",
                        ratio(trial.outcome(.matchedNorm(order)), to: ticket(trial)), .atLeast, 3)
                }
            })
    }

    private var regularizersAreSlower: Claim {
        var arms = GrokkingArm.penalties.map { GrokkingArm($0, kept: 1, weightDecay: 0, steps: 1) }
        arms.append(GrokkingArm(.otherDecay, kept: 1, weightDecay: 2 * size.settings.weightDecay, steps: 1))
        func ratio(_ arm: GrokkingArm, _ trial: Trial) -> Double {
            guard let own = ticket(trial)?.curve.delay,
                let outcome = trial.outcome(arm.start, kept: 1, decay: arm.weightDecay)
            else { return .nan }
            return outcome.curve.delay.map { Double($0) / Double(max(1, own)) } ?? .infinity
        }
        return Claim(
            id: "regularizers-are-slower",
            statement:
                "Regularizers of the norm, a penalty in the loss or more decay, do not end the delay as soon as the "
                + "ticket does.",
            paper: "Baselines, qualitatively.",
            criterion:
                "τ_grok of dense networks with a penalty on Σ |w| or Σ w² in the place of decay, in two strengths "
                + "each, and with twice the decay is above the ticket's, on each seed.",
            comparisons: trials.flatMap { trial in
                arms.map { arm in
                    Comparison("\(arm.name) / ticket, seed \(trial.seed)", ratio(arm, trial), .above, 1)
                }
            }, remark: "∞: not generalized in twice the dense t_test. Other strengths were not tried.")
    }

    private var earlyMasksDoNotHelp: Claim {
        func best(_ outcome: GrokkingOutcome?, _ trial: Trial) -> Double {
            guard let outcome, let limit = trial.dense.outcome.curve.testStep else { return .nan }
            return outcome.curve.points.filter { $0.step <= limit }.map(\.testAccuracy).max() ?? .nan
        }
        return Claim(
            id: "early-masks-do-not-help",
            statement: "Masks drawn at random or from the memorizing network do not give the speed-up.",
            paper: Self.abstract,
            criterion:
                "Random masks and tickets of step \(size.sourceSteps[0]) stay below a test accuracy of 0.95 for as long as "
                + "the dense network needs, on each seed.",
            comparisons: trials.flatMap { trial in
                [
                    Comparison(
                        "random, best test accuracy, seed \(trial.seed)", best(trial.outcome(.random), trial), .below,
                        0.95),
                    Comparison(
                        "ticket of step \(size.sourceSteps[0]), best test accuracy, seed \(trial.seed)",
                        best(trial.outcome(.ticket(step: size.sourceSteps[0])), trial), .below, 0.95),
                ]
            })
    }

    private var laterSourcesAreFaster: Claim {
        Claim(
            id: "later-sources-are-faster",
            statement: "The later a ticket is taken, up to generalization, the shorter its delay.",
            paper: "Figure on tickets from different epochs, qualitatively.",
            criterion:
                "τ_grok falls from each source step (\(size.sourceSteps.map(String.init).joined(separator: ", ")), the "
                + "end) to the next, on each seed.",
            comparisons: trials.flatMap { trial in
                let steps: [Int?] = size.sourceSteps.map(Optional.some) + [nil]
                return zip(steps, steps.dropFirst()).map { early, late in
                    Comparison(
                        "τ of step \(early.map(String.init) ?? "end") − τ of \(late.map { "step \($0)" } ?? "the end"), "
                            + "seed \(trial.seed)",
                        difference(trial.outcome(.ticket(step: early)), trial.outcome(.ticket(step: late))), .above, 0,
                        unit: "steps")
                }
            }, remark: "A ticket that did not generalize counts with the steps it was given, twice the dense t_test.")
    }

    /// NaN where one was not run, or both did not generalize.
    private func difference(_ a: GrokkingOutcome?, _ b: GrokkingOutcome?) -> Double {
        guard let a, let b, b.curve.delay != nil else { return .nan }
        return Double(a.curve.delayOrBound.steps - b.curve.delayOrBound.steps)
    }

    private var withoutDecay: Claim {
        Claim(
            id: "no-decay-needed",
            statement:
                "At a suitable pruning rate the ticket generalizes without weight decay; the dense network does not.",
            paper: Self.abstract,
            criterion:
                "Within \(size.stepsWithoutDecay) steps without decay the ticket has a test accuracy of at least 0.95 and "
                + "the dense network stays below 0.2, on each seed.",
            comparisons: trials.flatMap { trial in
                [
                    Comparison(
                        "ticket, best test accuracy, seed \(trial.seed)",
                        trial.outcome(.ticket(step: nil), decay: 0)?.curve.bestTestAccuracy ?? .nan, .atLeast, 0.95),
                    Comparison(
                        "dense, best test accuracy, seed \(trial.seed)",
                        trial.outcome(.dense, kept: 1, decay: 0)?.curve.bestTestAccuracy ?? .nan, .below, 0.2),
                ]
            })
    }

    private var criteriaAtInitialization: Claim {
        Claim(
            id: "pruning-at-initialization-does-not-help",
            statement: "Masks by SNIP, GraSP and SynFlow at initialization do not give the speed-up.",
            paper: Self.abstract,
            criterion:
                "None has a τ_grok below half the dense network's at κ = 0.4 (one that does not generalize has none), on "
                + "each seed.",
            comparisons: trials.flatMap { trial in
                [(GrokkingArm.Start.snip, "SNIP"), (.grasp, "GraSP"), (.synflow, "SynFlow")].map { start, name in
                    let outcome = trial.outcome(start)
                    let speed = outcome?.speedUp(over: trial.dense.outcome) ?? 0
                    return Comparison(
                        "\(name), speed-up, seed \(trial.seed)",
                        outcome == nil || trial.dense.outcome.curve.delay == nil ? .nan : speed, .below, 2)
                }
            }, remark: "A speed-up of 0 stands for not generalizing while the dense network did.")
    }

    private var transformerToo: Claim {
        let (id, statement) = ("transformer-too", "Tickets shorten the delay of a transformer as well.")
        let criterion = "τ_grok of the transformer's ticket (κ = 0.4) is at most a fifth of the dense one's."
        guard let transformer else {
            return Claim(
                id: id, statement: statement, paper: Self.abstract, criterion: criterion,
                notMeasured: "the transformer was not trained")
        }
        let found = ticket(transformer)
        return Claim(
            id: id, statement: statement, paper: Self.abstract, criterion: criterion,
            comparisons: [
                Comparison(
                    "ticket / dense, seed \(transformer.seed)",
                    found?.curve.delay == nil ? .nan : ratio(found, to: transformer.dense.outcome), .atMost, 0.2)
            ])
    }

    private var structureOnly: Claim {
        let curves = trials.compactMap { trial in trial.edgePopup.map { (trial.seed, $0) } }
        let statement = "Choosing the structure alone, with the weights of a memorizing network frozen, generalizes."
        let criterion =
            "Scores trained by edge-popup (κ = 0.4 of each tensor) on the weights of step \(size.sourceSteps[0]) reach a "
            + "test accuracy of 0.95 within \(size.edgePopupSteps) steps, on each seed."
        guard !curves.isEmpty else {
            return Claim(
                id: "structure-only", statement: statement, paper: "A later version of the work.", criterion: criterion,
                notMeasured: "the dense run ended before step \(size.sourceSteps[0])")
        }
        return Claim(
            id: "structure-only", statement: statement, paper: "A later version of the work.", criterion: criterion,
            comparisons: curves.map {
                Comparison("best test accuracy, seed \($0.0)", $0.1.bestTestAccuracy, .atLeast, 0.95)
            },
            remark: "Test accuracies of the unmasked memorizing networks: "
                + trials.map { MarkupText.number(accuracy(of: $0, at: size.sourceSteps[0]), digits: 3) }
                .joined(separator: ", ") + ".")
    }

    /// The dense run's test accuracy at the last measurement up to a step.
    private func accuracy(of trial: Trial, at step: Int) -> Double {
        trial.dense.outcome.curve.points.last { $0.step <= step }?.testAccuracy ?? .nan
    }

    private var imagesToo: Claim {
        let (id, statement) = ("images-too", "Tickets shorten the delay on images as well.")
        let criterion =
            "On 1,000 images of MNIST, with accuracies of \(MarkupText.number(size.imageSettings.threshold)), τ_grok of the "
            + "ticket (κ = 0.4) is at most half the dense network's, and below those of both norm-matched networks."
        guard let images else {
            return Claim(
                id: id, statement: statement, paper: Self.abstract, criterion: criterion,
                notMeasured: "it needs a data folder with mnist in it (--data)")
        }
        let found = ticket(images)
        let isThere = found?.curve.delay != nil
        return Claim(
            id: id, statement: statement, paper: Self.abstract, criterion: criterion,
            comparisons: [
                Comparison(
                    "ticket / dense, seed \(images.seed)", isThere ? ratio(found, to: images.dense.outcome) : .nan,
                    .atMost, 0.5)
            ]
                + WeightNorms.Order.allCases.map { order in
                    Comparison(
                        "\(order.rawValue.uppercased())-matched / ticket, seed \(images.seed)",
                        ratio(images.outcome(.matchedNorm(order)), to: found), .above, 1)
                })
    }
}
