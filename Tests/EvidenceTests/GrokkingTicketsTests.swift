import CoppiceCompression
import CoppiceEvidence
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Testing

@Suite struct GrokkingTicketsTests {
    private func report(seed: UInt64 = 7) throws -> ExperimentReport {
        var setting = ExperimentSetting(
            languageModel: { throw CoppiceError(.internal, "no language model is asked for") }, scale: 0.004, seed: seed
        )
        setting.seedCount = 2
        return try GrokkingTickets().run(setting, progress: SilentProgress())
    }

    @Test func aTinyRunTellsWhatItCannotTell() throws {
        let report = try report()
        #expect(report.identifier == "grokking-tickets")
        let ids = report.claims.map(\.id)
        #expect(Set(ids).count == ids.count && ids.contains("tickets-accelerate"))
        // Nothing generalizes in so few steps: what compares delays must not hold.
        for id in [
            "tickets-accelerate", "norm-is-not-enough", "regularizers-are-slower", "later-sources-are-faster",
            "transformer-too",
        ] {
            #expect(report.claims.first { $0.id == id }?.verdict == .doesNotHold)
        }
        #expect(report.claims.first { $0.id == "images-too" }?.verdict == .notMeasured)
        // Each claim about seeds is about each of them.
        for claim in report.claims where claim.id == "no-decay-needed" || claim.id == "norm-is-not-enough" {
            #expect(claim.comparisons.count == 4)
        }
        #expect(report.tables.count == 4)
        #expect(Set(report.illustrations.map(\.id)).count == report.illustrations.count)
        #expect(report.text.contains("grokking-tickets") || report.text.contains(report.title))
    }

    @Test func theSameSettingGivesTheSameReport() throws {
        #expect(try report().json.serialized() == report().json.serialized())
        #expect(try report().json.serialized() != report(seed: 8).json.serialized())
    }
}

/// Claims on runs that were never run.
@Suite struct GrokkingTicketsClaimTests {
    /// τ_grok, or where that is nil the best test accuracy.
    private struct Course {
        var delay: Int?
        var best = 0.1

        /// Learned at step 100. What does not generalize is waited for until step 7000.
        var curve: GrokkingCurve {
            var curve = GrokkingCurve()
            let end = delay.map { (100 + $0, 1.0) } ?? (7_000, best)
            curve.points = [(100, min(best, 0.1)), end].map { step, accuracy in
                .init(
                    step: step, trainAccuracy: 1, testAccuracy: accuracy, trainLoss: 0, testLoss: 0,
                    norms: WeightNorms(of: [Tensor]()))
            }
            return curve
        }
    }

    /// With these, every claim holds.
    private static let courses: [(arm: GrokkingArm, course: Course)] = [
        (GrokkingArm(.ticket(step: nil), steps: 7_000), Course(delay: 200)),
        (GrokkingArm(.ticket(step: 500), steps: 7_000), Course()),
        (GrokkingArm(.ticket(step: 1_500), steps: 7_000), Course(delay: 4_000)),
        (GrokkingArm(.ticket(step: 2_500), steps: 7_000), Course(delay: 2_000)),
        (GrokkingArm(.matchedNorm(.l1), steps: 7_000), Course(delay: 3_000)),
        (GrokkingArm(.matchedNorm(.l2), steps: 7_000), Course(delay: 3_000)),
        (GrokkingArm(.random, steps: 7_000), Course()),
        (GrokkingArm(.snip, steps: 7_000), Course()),
        (GrokkingArm(.grasp, steps: 7_000), Course()),
        (GrokkingArm(.synflow, steps: 7_000), Course()),
        (GrokkingArm(.ticket(step: nil), weightDecay: 0, steps: 8_000), Course(delay: 800)),
        (GrokkingArm(.dense, kept: 1, weightDecay: 0, steps: 8_000), Course()),
        (GrokkingArm(.otherDecay, kept: 1, weightDecay: 2, steps: 7_000), Course(delay: 1_600)),
    ]

    /// Penalties never generalize.
    private static let penalized: [(arm: GrokkingArm, course: Course)] = GrokkingArm.penalties.map {
        (arm: GrokkingArm($0, kept: 1, weightDecay: 0, steps: 7_000), course: Course())
    }

    /// - Parameter changes: by the names of arms.
    private func trial(
        _ seed: UInt64, _ changes: [String: Course] = [:], edgePopup: Double? = 0.96
    ) -> GrokkingTicketsMeasurement.Trial {
        func outcome(_ arm: GrokkingArm, _ course: Course) -> GrokkingOutcome {
            GrokkingOutcome(arm: arm, curve: course.curve, initialNorms: WeightNorms(of: [Tensor]()))
        }
        let dense = GrokkingStudy.Dense(
            outcome: outcome(GrokkingArm(.dense, kept: 1, steps: 12_000), Course(delay: 3_000)),
            initial: Snapshot(of: Module()), checkpoints: [:], lastStep: 3_100)
        return .init(
            seed: seed, dense: dense,
            outcomes: (Self.courses + Self.penalized).map { outcome($0.arm, changes[$0.arm.name] ?? $0.course) },
            edgePopup: edgePopup.map { Course(best: $0).curve })
    }

    private func verdicts(
        _ changed: GrokkingTicketsMeasurement.Trial, transformer: GrokkingTicketsMeasurement.Trial? = nil,
        images: GrokkingTicketsMeasurement.Trial? = nil
    ) -> [String: Claim.Verdict] {
        let measured = GrokkingTicketsMeasurement(
            size: .small, taskName: "addition", weightCount: 1, trials: [trial(1), changed],
            transformer: transformer ?? trial(1), images: images ?? trial(1))
        return Dictionary(uniqueKeysWithValues: measured.claims.map { ($0.id, $0.verdict) })
    }

    /// One arm of one seed decides.
    @Test func claimsBreakWithOneComparison() {
        let holding = verdicts(trial(2))
        #expect(holding.count == 10 && holding.values.allSatisfy { $0 == .holds })
        let changes: [(claim: String, arm: String, course: Course)] = [
            ("tickets-accelerate", "ticket-k0.4", Course(delay: 601)),
            ("norm-is-not-enough", "dense-l1-k0.4", Course(delay: 599)),
            ("norm-is-not-enough", "dense-l2-k0.4", Course(delay: 599)),
            ("regularizers-are-slower", "dense-decay-2.0", Course(delay: 200)),
            ("regularizers-are-slower", "dense-penalty-l1-1e-05", Course(delay: 200)),
            ("regularizers-are-slower", "dense-penalty-l2-0.001", Course(delay: 199)),
            ("early-masks-do-not-help", "random-k0.4", Course(delay: 2_000)),
            ("later-sources-are-faster", "ticket-2500-k0.4", Course(delay: 4_000)),
            ("no-decay-needed", "ticket-k0.4-no-decay", Course(best: 0.94)),
            ("no-decay-needed", "dense-no-decay", Course(best: 0.2)),
            ("pruning-at-initialization-does-not-help", "snip-k0.4", Course(delay: 1_500)),
            ("pruning-at-initialization-does-not-help", "grasp-k0.4", Course(delay: 1_500)),
            ("pruning-at-initialization-does-not-help", "synflow-k0.4", Course(delay: 1_500)),
        ]
        for (claim, arm, course) in changes {
            let broken = verdicts(trial(2, [arm: course])).filter { $0.value != .holds }
            #expect(broken == [claim: .doesNotHold], "\(arm)")
        }
        #expect(verdicts(trial(2, edgePopup: 0.94)).filter { $0.value != .holds } == ["structure-only": .doesNotHold])
        let slow = trial(1, ["ticket-k0.4": Course(delay: 601)])
        #expect(
            verdicts(trial(2), transformer: slow).filter { $0.value != .holds } == ["transformer-too": .doesNotHold])
        for (arm, delay) in [("ticket-k0.4", 1_501), ("dense-l1-k0.4", 200), ("dense-l2-k0.4", 200)] {
            let images = trial(1, [arm: Course(delay: delay)])
            #expect(
                verdicts(trial(2), images: images).filter { $0.value != .holds } == ["images-too": .doesNotHold],
                "\(arm)")
        }
    }

    @Test func whatWasNotTrainedIsNotMeasured() {
        let measured = GrokkingTicketsMeasurement(
            size: .small, taskName: "addition", weightCount: 1, trials: [trial(1, edgePopup: nil)])
        for claim in measured.claims {
            let isMissing = ["transformer-too", "images-too", "structure-only"].contains(claim.id)
            #expect(claim.verdict == (isMissing ? .notMeasured : .holds), "\(claim.id)")
        }
    }
}
