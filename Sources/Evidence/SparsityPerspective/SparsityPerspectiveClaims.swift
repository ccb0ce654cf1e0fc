import CoppiceCompression
import CoppiceModels

extension SparsityPerspectiveMeasurement {
    /// What the paper says, and whether it is so here.
    package var claims: [Claim] {
        [
            axioms, boldness, fallsFirst, dropsWithCollapse, layersMatch, neuronsMatch, adaptiveBeatsOneShot,
            adaptiveIsSparser, ratesAdapt, globalIsWorse, iterativeBeatsOneShot,
        ]
    }

    private static let figures = "Figures of accuracy and index by density, qualitatively."
    /// Densities at which methods are compared, as far as all reach them.
    static let densities = [0.3, 0.2, 0.1, 0.05]
    /// Those at which pruning by neurons is.
    private static let neuronDensities = densities.filter { $0 >= SparsityPerspective.Size.leastNeuronDensity }

    private func mean(_ value: (Trial) -> Double) -> Double { SeedStatistics(trials.map(value)).mean }

    /// Mean accuracy of a method at a density, NaN where a seed does not reach it.
    private func accuracy(_ method: Method, at density: Double) -> Double {
        mean { $0.curves[method]?.accuracy(at: density) ?? .nan }
    }

    /// Why two methods are not compared at all of some densities; nil where both reach the least on each seed.
    private func unreached(_ a: Method, _ b: Method, at densities: [Double] = Self.densities) -> String? {
        guard densities.contains(where: { (accuracy(a, at: $0) - accuracy(b, at: $0)).isNaN }) else { return nil }
        let reached = [a, b].map { method in
            "\(method.name) ended at \(MarkupText.percent(mean { $0.curves[method]?.lastDensity ?? .nan }))"
        }
        return "a density of \(MarkupText.percent(densities.last ?? 0, places: 0)) was not reached: "
            + reached.joined(separator: ", ")
    }

    private func comparison(
        _ a: Method, minus b: Method, at density: Double, _ relation: Comparison.Relation, _ bound: Double
    ) -> Comparison {
        Comparison(
            "\(a.name) − \(b.name) at density \(MarkupText.percent(density, places: 0))",
            (accuracy(a, at: density) - accuracy(b, at: density)) * 100, relation, bound, unit: "points")
    }

    private var axioms: Claim {
        Claim(
            id: "axioms", statement: "The PQ index has all six properties asked of a measure of sparsity.",
            paper: "Theorem: Robin Hood, scaling, rising tide, cloning, Bill Gates, babies.",
            criterion:
                "On the trained dense network's weights none is violated, for (1/2, 1) and (1, 2), on each seed.",
            comparisons: trials.map { trial in
                Comparison(
                    "violated of \(trial.axioms.count), seed \(trial.seed)",
                    Double(trial.axioms.count { !$0.holds }), .equal, 0)
            },
            remark: "Gini coefficients of the same weights: "
                + trials.map { MarkupText.number($0.gini, digits: 3) }.joined(separator: ", ") + ".")
    }

    private var fallsFirst: Claim {
        Claim(
            id: "index-falls-first",
            statement: "In the first rounds the index of retrained networks falls: redundancy goes.",
            paper: "Abstract: decreases (the regularized phase).",
            criterion:
                "Over the rounds of the lottery ticket the index (1/2, 1) falls by at least 10 % before it rises for "
                + "the first time, on each seed.",
            comparisons: trials.map { trial in
                Comparison(
                    "fall, seed \(trial.seed)",
                    (trial.curves[.lotteryTicket]?.initialFall(ofIndex: 0) ?? .nan) * 100, .atLeast, 10, unit: "%")
            },
            remark: "With (1, 2): "
                + trials.map { trial in
                    MarkupText.percent(trial.curves[.lotteryTicket]?.initialFall(ofIndex: 1) ?? .nan)
                }.joined(separator: ", ") + ".")
    }

    private var boldness: Claim {
        typealias Setting = FirstRound.Setting
        let base = FirstRound.base
        let pairs: [(name: String, bolder: Setting, than: Setting)] = [
            ("(0.9, 1) − (0.5, 1)", Setting(p: 0.9, q: 1), Setting(p: 0.5, q: 1)),
            ("(0.5, 1) − (0.1, 1)", Setting(p: 0.5, q: 1), Setting(p: 0.1, q: 1)),
            ("(1, 2) − (1, 1.25)", base, Setting(p: 1, q: 1.25)),
            ("η = \(MarkupText.number(FirstRound.withTail.tail)) − η = 0", FirstRound.withTail, base),
            (
                "γ = \(MarkupText.number(FirstRound.withAggressiveness.aggressiveness)) − γ = 1",
                FirstRound.withAggressiveness, base
            ),
        ]
        return Claim(
            id: "boldness",
            statement:
                "SAP is bolder with q = 1 and p near it, with p = 1 and q far from it, with a tail and with γ above 1.",
            paper: "Talk: more aggressive when q = 1 and p → 1, or p = 1 and q far from it, or η > 0, or γ > 1.",
            criterion:
                "Of the trained dense weights together a first round would remove more in each bolder setting, on each "
                + "seed; η and γ are raised with (1, 2).",
            comparisons: pairs.map { pair in
                let leads = trials.map { $0.removedPart(pair.bolder) - $0.removedPart(pair.than) }
                return Comparison(
                    "\(pair.name), least of the seeds", (leads.min() ?? .nan) * 100, .above, 0, unit: "points")
            })
    }

    private var dropsWithCollapse: Claim {
        let curves = trials.map { $0.curves[.forced] ?? DensityCurve(points: []) }
        let lost = curves.map { curve -> Double in
            let accuracies = curve.points.map(\.accuracy)
            return (accuracies.max() ?? .nan) - (accuracies.last ?? .nan)
        }
        func list(_ values: [String]) -> String { values.joined(separator: ", ") }
        let ends =
            "accuracy lost \(list(lost.map { MarkupText.number($0 * 100, digits: 3) })) points, at densities of "
            + list(curves.map { MarkupText.percent($0.lastDensity, places: 2) }) + ", after "
            + list(curves.map { "\(max(0, $0.points.count - 1))" }) + " rounds"
        let hasCollapsed = !lost.isEmpty && lost.allSatisfy { $0 >= SparsityPerspective.Size.collapse - 1e-9 }
        return Claim(
            id: "index-drops-with-collapse",
            statement: "Pruned beyond its limit, a network collapses and its index falls again.",
            paper: "Abstract: after rising, the index falls as the network collapses.",
            criterion:
                "Forced on (γ = 1.5, by layers) until accuracy is 10 points below its best, the index (1, 2) ends "
                + "below its largest value since its first fall, on each seed.",
            unless: hasCollapsed ? nil : "no collapse was reached: \(ends)",
            comparisons: zip(trials, curves).map { trial, curve in
                let indices = curve.points.map { $0.indices[1] }
                let valley = indices.indices.min { indices[$0] < indices[$1] } ?? 0
                let largest = indices.dropFirst(min(valley, max(0, indices.count - 2))).max() ?? .nan
                return Comparison(
                    "last index − its largest late value, seed \(trial.seed)", (indices.last ?? .nan) - largest,
                    .below, 0)
            },
            remark: "At the end: \(ends).")
    }

    private var layersMatch: Claim {
        Claim(
            id: "sap-matches-lottery-ticket",
            statement: "Pruning by the index of each layer is as accurate as the lottery ticket at equal density.",
            paper: "Abstract: more efficient and more robust; figures show SAP by layers above.",
            criterion: "The mean over seeds is at most 0.3 points below at densities of 30, 20, 10 and 5 %.",
            unless: unreached(.layer, .lotteryTicket),
            comparisons: Self.densities.map { comparison(.layer, minus: .lotteryTicket, at: $0, .atLeast, -0.3) })
    }

    private var neuronsMatch: Claim {
        Claim(
            id: "neurons-match-lottery-ticket", statement: "So is pruning by the index of each neuron.",
            paper: "Talk: by layers and by neurons SAP does better than the lottery ticket.",
            criterion: "The mean over seeds is at most 0.3 points below at densities of 30 and 20 %.",
            unless: unreached(.neuron, .lotteryTicket, at: Self.neuronDensities),
            comparisons: Self.neuronDensities.map {
                comparison(.neuron, minus: .lotteryTicket, at: $0, .atLeast, -0.3)
            })
    }

    private var adaptiveBeatsOneShot: Claim {
        Claim(
            id: "sap-beats-one-shot", statement: "By layers and by neurons it does better than pruning once.",
            paper: "Talk: by layers and by neurons SAP does better than one-shot pruning.",
            criterion: "The mean accuracy is larger, by layers at densities of 10 and 5 %, by neurons at 20 %.",
            unless: unreached(.layer, .oneShot) ?? unreached(.neuron, .oneShot, at: Self.neuronDensities),
            comparisons: [
                comparison(.layer, minus: .oneShot, at: 0.1, .above, 0),
                comparison(.layer, minus: .oneShot, at: 0.05, .above, 0),
                comparison(.neuron, minus: .oneShot, at: 0.2, .above, 0),
            ])
    }

    private var adaptiveIsSparser: Claim {
        Claim(
            id: "sap-is-sparser",
            statement: "In its aggressive setting it gets sparser than the lottery ticket in as many rounds.",
            paper: "Talk: (1, 2) prunes more than a fifth a round.",
            criterion:
                "After \(rounds) rounds the density of SAP (layer, (1, 2)) is at most the lottery ticket's, on each seed.",
            comparisons: trials.map { trial in
                Comparison(
                    "SAP / lottery ticket, seed \(trial.seed)",
                    (trial.curves[.layer]?.density(afterRounds: rounds) ?? .nan)
                        / (trial.curves[.lotteryTicket]?.density(afterRounds: rounds) ?? .nan), .atMost, 1)
            },
            remark: "The last round of the lottery ticket removes 20 %, of SAP "
                + "\(MarkupText.percent(mean { $0.curves[.layer]?.removedParts.last ?? .nan })).")
    }

    private var ratesAdapt: Claim {
        Claim(
            id: "rates-adapt", statement: "How much goes is not constant: less where the index is smaller.",
            paper: "Algorithm 1.",
            criterion:
                "The parts that SAP (layer, (1, 2)) removes vary by at least a tenth of their mean and correlate "
                + "positively with the index before they are removed, on each seed.",
            comparisons: trials.flatMap { trial in
                [
                    Comparison(
                        "variation, seed \(trial.seed)", trial.curves[.layer]?.variation ?? .nan, .atLeast, 0.1),
                    Comparison(
                        "correlation, seed \(trial.seed)", trial.curves[.layer]?.correlation(withIndex: 1) ?? .nan,
                        .above, 0),
                ]
            })
    }

    private var globalIsWorse: Claim {
        Claim(
            id: "global-is-worse-when-sparse",
            statement: "One index for the whole network does worse than one for each layer at small densities.",
            paper: "Talk: global SAP is worse at small densities.",
            criterion: "At a density of 5 % the layers' mean accuracy is larger.", unless: unreached(.layer, .global),
            comparisons: [
                comparison(.layer, minus: .global, at: SparsityPerspective.Size.leastDensity, .above, 0)
            ])
    }

    private var iterativeBeatsOneShot: Claim {
        let least = trials.first?.curves[.oneShot]?.lastDensity ?? .nan
        return Claim(
            id: "iterative-beats-one-shot", statement: "Many levels are better than one at small densities.",
            paper: Self.figures,
            criterion: "At the last density of the lottery ticket one-shot pruning is less accurate, mean over seeds.",
            comparisons: [
                Comparison(
                    "lottery ticket − one-shot at density \(MarkupText.percent(least))",
                    mean {
                        ($0.curves[.lotteryTicket]?.points.last?.accuracy ?? .nan)
                            - ($0.curves[.oneShot]?.points.last?.accuracy ?? .nan)
                    } * 100, .above, 0, unit: "points")
            ])
    }
}
