import CoppiceEvidence
import CoppiceModels
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
        for id in ["tickets-accelerate", "norm-is-not-enough", "later-sources-are-faster", "transformer-too"] {
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
