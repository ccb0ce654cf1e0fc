import CoppiceCompression
import CoppiceEvidence
import Testing

/// Claims on trainings that were never run.
@Suite struct StabilizingTicketsClaimTests {
    /// With the standard values every claim holds. Lists are by k = 0, 7 and 37.
    private struct Values {
        var dense = 0.85
        /// A: the ticket at a density of 17 %, the last one, and that from other initial weights.
        var early = 0.85
        var last = 0.85
        var reinitialized = 0.84
        /// B: L2 distances.
        var toOrder = [10.0, 8, 5]
        var toPruning = [11.0, 9, 6]
        var shuffledToOrder = [20.0, 20, 20]
        var shuffledToPruning = [20.0, 20, 20]
        /// B: accuracies.
        var tickets = [0.80, 0.81, 0.81]
        var shuffled = 0.79

        private func stability(_ toPruning: Double, _ toOrder: Double) -> TicketStability {
            TicketStability(
                toPruning: .init(euclidean: toPruning, angle: 1), toDataOrder: .init(euclidean: toOrder, angle: 1),
                path: LinearPath(errors: [0.2, 0.2]))
        }

        func verdicts(seeds: [UInt64] = [1, 2]) -> [String: Claim.Verdict] {
            typealias Measurement = StabilizingTicketsMeasurement
            let network = Measurement.Network(architecture: "small", description: "small", steps: 372, layers: [])
            let searches = seeds.map { seed in
                Measurement.Search(
                    seed: seed, dense: dense,
                    levels: [
                        .init(number: 1, density: 0.26, ticket: 0.2), .init(number: 2, density: 0.17, ticket: early),
                        .init(number: 3, density: 0.07, ticket: last, controls: ["reinitialized": reinitialized]),
                    ])
            }
            let rewindings = seeds.flatMap { seed in
                [0, 7, 37].enumerated().map { place, step in
                    Measurement.Rewinding(
                        seed: seed, step: step, dense: dense,
                        levels: [
                            .init(
                                number: 1, density: 0.08, ticket: tickets[place], controls: ["shuffled": shuffled])
                        ], ticket: stability(toPruning[place], toOrder[place]),
                        shuffled: stability(shuffledToPruning[place], shuffledToOrder[place]))
                }
            }
            let measured = Measurement(
                size: .small, perceptron: network, residual: network, searches: searches, rewindings: rewindings)
            return Dictionary(uniqueKeysWithValues: measured.claims.map { ($0.id, $0.verdict) })
        }
    }

    @Test func claimsBreakWithOneComparison() {
        let holding = Values().verdicts()
        #expect(holding.count == 7 && holding.values.allSatisfy { $0 == .holds })
        let changes: [(claim: String, values: Values)] = [
            ("initialization-matters", Values(reinitialized: 0.843)),
            ("tickets-match", Values(early: 0.846)),
            // Not from one k to the next; not far enough.
            ("stability-grows", Values(toOrder: [10, 10, 5])),
            ("stability-grows", Values(toPruning: [11, 11.5, 6])),
            ("stability-grows", Values(toOrder: [10, 8, 6.1])),
            ("stability-grows", Values(toPruning: [11, 9, 6.7])),
            ("tickets-are-stabler", Values(shuffledToOrder: [16, 16, 16])),
            ("tickets-are-stabler", Values(shuffledToPruning: [20, 14, 20])),
            ("random-masks-stay-unstable", Values(shuffledToOrder: [20, 20, 15])),
            ("random-masks-stay-unstable", Values(shuffledToPruning: [20, 20, 15])),
            ("tickets-are-more-accurate", Values(shuffled: 0.803)),
            ("rewinding-helps", Values(tickets: [0.80, 0.80, 0.808])),
        ]
        for (claim, values) in changes {
            let broken = values.verdicts().filter { $0.value != .holds }
            #expect(broken == [claim: .doesNotHold], "\(values)")
        }
    }
}
