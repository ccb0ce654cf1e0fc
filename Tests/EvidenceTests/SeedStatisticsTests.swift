import CoppiceEvidence
import Testing

@Suite struct SeedStatisticsTests {
    @Test func meansHaveTheirDeviations() {
        // Deviations with n − 1: of 0.8, 0.9 and 1.0 a tenth.
        #expect(SeedStatistics([0.8, 0.9, 1.0]).percent == "90.00 ± 10.00")
        #expect(SeedStatistics([0.5]).percent == "50.00 ± 0.00")
        #expect(SeedStatistics([-0.001, -0.001]).percent == "-0.10 ± 0.00")
    }

    /// What was not measured has no deviation of 0 either.
    @Test func nothingIsADash() {
        #expect(SeedStatistics([Double]()).percent == "–")
    }
}
