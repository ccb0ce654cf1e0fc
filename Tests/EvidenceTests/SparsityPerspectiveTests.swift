import CoppiceEvidence
import CoppiceModels
import CoppiceTensors
import Testing

@Suite struct SparsityPerspectiveTests {
    private typealias Measurement = SparsityPerspectiveMeasurement

    /// A dense level and four rounds.
    private func curve(
        _ accuracy: Double, last: Double? = nil, densities: [Double] = [1, 0.3, 0.2, 0.1, 0.05],
        indices: [Double] = [0.3, 0.2, 0.25, 0.28, 0.27]
    ) -> DensityCurve {
        var points = zip(densities, indices).map { density, index in
            DensityCurve.Point(density: density, accuracy: accuracy, indices: [index / 2, index])
        }
        for place in points.indices.dropLast() {
            points[place].removedPart = 1 - densities[place + 1] / densities[place]
        }
        if let last { points[points.count - 1].accuracy = last }
        return DensityCurve(points: points)
    }

    /// The settings that are compared, bold as they should be, but for one.
    private static func bolder(
        but setting: FirstRound.Setting? = nil, removes part: Double = 0
    ) -> [FirstRound] {
        let parts: [(FirstRound.Setting, Double)] = [
            (.init(p: 0.1, q: 1), 0.04), (.init(p: 0.5, q: 1), 0.15), (.init(p: 0.9, q: 1), 0.23),
            (.init(p: 1, q: 1.25), 0.28), (.init(p: 1, q: 2), 0.36), (.init(p: 1, q: 2, tail: 0.1), 0.4),
            (.init(p: 1, q: 2, aggressiveness: 1.5), 0.54),
        ]
        return parts.map { FirstRound($0, index: 0.2, removedPart: $0 == setting ? part : $1) }
    }

    /// Two seeds on which everything holds, but for what is given.
    private func verdict(
        _ id: String, _ method: Measurement.Method? = nil, _ given: DensityCurve? = nil, oneShot: Double = 0.85,
        violates: Bool = false, removed: [FirstRound] = Self.bolder()
    ) -> Claim.Verdict? {
        var curves: [Measurement.Method: DensityCurve] = [
            .lotteryTicket: curve(0.86), .layer: curve(0.86), .global: curve(0.855), .forced: curve(0.86, last: 0.7),
            .neuron: curve(0.86), .oneShot: curve(oneShot),
        ]
        if let method { curves[method] = given }
        let trials = [UInt64(1), 2].map { seed in
            Measurement.Trial(
                seed: seed, curves: curves, axioms: [.init(name: "cloning", holds: !violates)], gini: 0.4,
                firstRounds: removed)
        }
        return Measurement(rounds: 4, trials: trials).claims.first { $0.id == id }?.verdict
    }

    @Test func claimsFollowFromTheNumbers() {
        for id in [
            "axioms", "index-falls-first", "index-drops-with-collapse", "sap-matches-lottery-ticket", "sap-is-sparser",
            "rates-adapt", "global-is-worse-when-sparse", "iterative-beats-one-shot", "boldness",
            "neurons-match-lottery-ticket", "sap-beats-one-shot",
        ] {
            #expect(verdict(id) == .holds, "\(id)")
        }
        #expect(verdict("axioms", violates: true) == .doesNotHold)
        let rising = curve(0.86, indices: [0.2, 0.22, 0.24, 0.26, 0.28])
        #expect(verdict("index-falls-first", .lotteryTicket, rising) == .doesNotHold)
        let steady = curve(0.86, last: 0.7, indices: [0.3, 0.2, 0.25, 0.28, 0.29])
        #expect(verdict("index-drops-with-collapse", .forced, steady) == .doesNotHold)
        #expect(verdict("sap-matches-lottery-ticket", .layer, curve(0.856)) == .doesNotHold)
        let sparser = curve(0.86, densities: [1, 0.3, 0.2, 0.1, 0.04])
        #expect(verdict("sap-is-sparser", .lotteryTicket, sparser) == .doesNotHold)
        let constant = curve(0.86, densities: [1, 0.5, 0.25, 0.125, 0.0625])
        #expect(verdict("rates-adapt", .layer, constant) == .doesNotHold)
        let against = curve(0.86, indices: [0.1, 0.3, 0.2, 0.2, 0.2])
        #expect(verdict("rates-adapt", .layer, against) == .doesNotHold)
        #expect(verdict("global-is-worse-when-sparse", .global, curve(0.86)) == .doesNotHold)
        #expect(verdict("iterative-beats-one-shot", oneShot: 0.86) == .doesNotHold)
        #expect(verdict("neurons-match-lottery-ticket", .neuron, curve(0.856)) == .doesNotHold)
        for method in [Measurement.Method.layer, .neuron] {
            #expect(verdict("sap-beats-one-shot", method, curve(0.85)) == .doesNotHold)
        }
    }

    /// Each bolder setting must remove more than the one beside it.
    @Test(
        arguments: [
            (.init(p: 0.9, q: 1), 0.14), (.init(p: 0.1, q: 1), 0.16), (.init(p: 1, q: 1.25), 0.37),
            (.init(p: 1, q: 2, tail: 0.1), 0.35), (.init(p: 1, q: 2, aggressiveness: 1.5), 0.35),
        ] as [(FirstRound.Setting, Double)])
    func boldnessFollowsFromEachSetting(setting: FirstRound.Setting, part: Double) {
        #expect(verdict("boldness", removed: Self.bolder(but: setting, removes: part)) == .doesNotHold)
        #expect(verdict("boldness", removed: Self.bolder().filter { $0.setting != setting }) == .doesNotHold)
    }

    /// A comparison at densities that were not reached is not made at others.
    @Test func whatIsNotReachedIsNotMeasured() {
        let short = curve(0.9, densities: [1, 0.5, 0.3, 0.25, 0.21])
        for method in [Measurement.Method.layer, .lotteryTicket] {
            #expect(verdict("sap-matches-lottery-ticket", method, short) == .notMeasured)
        }
        #expect(verdict("global-is-worse-when-sparse", .global, short) == .notMeasured)
        #expect(verdict("neurons-match-lottery-ticket", .neuron, short) == .notMeasured)
        #expect(verdict("sap-beats-one-shot", .neuron, short) == .notMeasured)
        // Neurons stop at a density of 20 %.
        let stopped = curve(0.86, densities: [1, 0.5, 0.3, 0.25, 0.2])
        #expect(verdict("neurons-match-lottery-ticket", .neuron, stopped) == .holds)
        #expect(verdict("sap-beats-one-shot", .neuron, stopped) == .holds)
        #expect(verdict("sap-beats-one-shot", .layer, stopped) == .notMeasured)
        // Forced on as far as it goes, without a collapse.
        #expect(verdict("index-drops-with-collapse", .forced, curve(0.86, last: 0.77)) == .notMeasured)
    }

    @Test func densitiesAfterRounds() {
        #expect(curve(0.8).density(afterRounds: 2) == 0.2 && curve(0.8).density(afterRounds: 0) == 1)
        // It stopped there.
        #expect(curve(0.8).density(afterRounds: 9) == 0.05)
        #expect(DensityCurve(points: []).density(afterRounds: 1).isNaN)
    }
}
