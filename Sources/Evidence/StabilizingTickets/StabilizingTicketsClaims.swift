import CoppiceCompression
import CoppiceModels

extension StabilizingTicketsMeasurement {
    /// What the paper says, and whether it is so here.
    package var claims: [Claim] {
        [
            initializationMatters, ticketsMatch, stabilityGrows, ticketsAreStabler, shuffledStaysUnstable,
            ticketsAreMoreAccurate, rewindingHelps,
        ]
    }

    private static let figures = "Figures 3 to 6 of the paper: ResNet-20, VGG-16; no table of these numbers."

    /// The steps rewound to, in order.
    var steps: [Int] { Array(Set(rewindings.map(\.step))).sorted() }

    /// One value of each seed.
    func statistics(at step: Int, _ value: (Rewinding) -> Double) -> SeedStatistics {
        SeedStatistics(rewindings.filter { $0.step == step }.map(value))
    }

    private var initializationMatters: Claim {
        let last = searches.compactMap(\.levels.last)
        let gains = last.map { ($0.ticket - ($0.controls["reinitialized"] ?? .nan)) * 100 }
        return Claim(
            id: "initialization-matters",
            statement: "On small networks a ticket's own initial weights train better than fresh ones (k = 0).",
            paper: "Frankle and Carbin (2019), figure 4: LeNet on MNIST.",
            criterion: "At the last density of A the ticket is at least 0.8 points above its mask with other initial "
                + "weights, mean over seeds.",
            comparisons: [
                Comparison(
                    "ticket − reinitialized at density \(MarkupText.percent(last.first?.density ?? .nan))",
                    SeedStatistics(gains).mean, .atLeast, 0.8, unit: "points")
            ])
    }

    private var ticketsMatch: Claim {
        let verdict = MatchingVerdict(dense: searches.map(\.dense))
        let pairs = searches.compactMap { search in
            search.levels.first { $0.density <= 0.21 }.map { (search, $0) }
        }
        let loss = SeedStatistics(pairs.map { ($0.0.dense - $0.1.ticket) * 100 }).mean
        let mean = SeedStatistics(pairs.map(\.1.ticket)).mean
        return Claim(
            id: "tickets-match",
            statement:
                "On small networks tickets of a fifth of the weights reach the dense network's accuracy (k = 0).",
            paper: "Abstract: iterative pruning from initialization works on small vision tasks.",
            criterion: "The first ticket of A at a density of at most 21 % loses at most 0.3 points, mean over seeds.",
            comparisons: [
                Comparison(
                    "dense − ticket at density \(MarkupText.percent(pairs.first?.1.density ?? .nan))", loss, .atMost,
                    0.3, unit: "points")
            ],
            remark:
                "Within one standard deviation of the dense networks (at least "
                + "\(MarkupText.percent(verdict.threshold, places: 2))): "
                + (verdict.isMatched(by: mean) ? "matching." : "not matching."))
    }

    private func ratio(
        _ name: String, _ value: (Rewinding) -> Double, _ reference: (Rewinding) -> Double, bound: Double,
        _ relation: Comparison.Relation = .atMost
    ) -> [Comparison] {
        let (first, last) = (steps.first ?? 0, steps.last ?? 0)
        return [
            Comparison(
                "\(name), k = \(last) / k = \(first)",
                statistics(at: last, value).mean / statistics(at: first, reference).mean, relation, bound)
        ]
    }

    private var stabilityGrows: Claim {
        let kinds: [(String, (Rewinding) -> Double)] = [
            ("to data order", { $0.ticket.toDataOrder.euclidean }), ("to pruning", { $0.ticket.toPruning.euclidean }),
        ]
        let falls = kinds.flatMap { name, value in
            zip(steps, steps.dropFirst()).map { early, late in
                Comparison(
                    "\(name), k = \(early) − k = \(late)",
                    statistics(at: early, value).mean - statistics(at: late, value).mean, .above, 0)
            }
        }
        return Claim(
            id: "stability-grows",
            statement:
                "The later a ticket is rewound to, the closer its trainings end to each other and to the dense one.",
            paper: Self.figures,
            criterion:
                "Both L2 distances of the ticket, means over seeds, fall from each k to the next, and at the last k "
                + "are at most 0.6 of those at k = 0.",
            comparisons: falls + kinds.flatMap { ratio($0.0, $0.1, $0.1, bound: 0.6) })
    }

    private var ticketsAreStabler: Claim {
        Claim(
            id: "tickets-are-stabler", statement: "Random masks of equal size are far less stable.",
            paper: Self.figures,
            criterion:
                "At every k both L2 distances of the ticket are at most 0.6 of the shuffled mask's, means over seeds.",
            comparisons: steps.flatMap { step in
                [
                    Comparison(
                        "to data order, k = \(step)",
                        statistics(at: step) { $0.ticket.toDataOrder.euclidean }.mean
                            / statistics(at: step) { $0.shuffled.toDataOrder.euclidean }.mean, .atMost, 0.6),
                    Comparison(
                        "to pruning, k = \(step)",
                        statistics(at: step) { $0.ticket.toPruning.euclidean }.mean
                            / statistics(at: step) { $0.shuffled.toPruning.euclidean }.mean, .atMost, 0.6),
                ]
            })
    }

    private var shuffledStaysUnstable: Claim {
        Claim(
            id: "random-masks-stay-unstable", statement: "Rewinding does not make random masks stable.",
            paper: Self.figures,
            criterion:
                "The shuffled mask's L2 distances at the last k are at least 0.8 of those at k = 0, means over seeds.",
            comparisons: ratio(
                "to data order", { $0.shuffled.toDataOrder.euclidean }, { $0.shuffled.toDataOrder.euclidean },
                bound: 0.8, .atLeast)
                + ratio(
                    "to pruning", { $0.shuffled.toPruning.euclidean }, { $0.shuffled.toPruning.euclidean }, bound: 0.8,
                    .atLeast))
    }

    private var ticketsAreMoreAccurate: Claim {
        let gains = rewindings.compactMap { own in
            own.levels.last.map { ($0.ticket - ($0.controls["shuffled"] ?? .nan)) * 100 }
        }
        return Claim(
            id: "tickets-are-more-accurate", statement: "The ticket's mask is worth more than its sizes by layer.",
            paper: Self.figures,
            criterion: "The ticket of B is at least 0.5 points above the shuffled mask, mean over k and seeds.",
            comparisons: [
                Comparison("ticket − shuffled", SeedStatistics(gains).mean, .atLeast, 0.5, unit: "points")
            ])
    }

    private var rewindingHelps: Claim {
        func accuracy(_ step: Int) -> Double { statistics(at: step) { $0.levels.last?.ticket ?? .nan }.mean * 100 }
        let later = steps.dropFirst()
        return Claim(
            id: "rewinding-helps",
            statement: "On deeper networks tickets rewound to a step after initialization are more accurate.",
            paper: "Abstract: pruning from iteration 0 fails on deeper networks; 0.1 to 7 % of training is enough.",
            criterion:
                "The tickets of B at k > 0 are at least 0.5 points above those at k = 0, mean over them and seeds.",
            comparisons: [
                Comparison(
                    "k > 0 − k = 0",
                    later.isEmpty ? .nan : SeedStatistics(later.map(accuracy)).mean - accuracy(steps.first ?? 0),
                    .atLeast, 0.5, unit: "points")
            ],
            remark: "Dense networks: "
                + steps.map { step in
                    "\(statistics(at: step) { $0.dense }.percent) % with momentum restarted at step \(step)"
                }.joined(separator: ", ") + ".")
    }
}
