import CoppiceTraining
import Foundation
import Testing

@Suite struct ScheduleTests {
    private func schedule(_ kind: LearningRateSchedule.Kind, warmup: Int = 10, ratio: Double = 0.1, total: Int = 111)
        -> LearningRateSchedule
    {
        LearningRateSchedule(kind: kind, peak: 2, warmupSteps: warmup, minimumRatio: ratio, totalSteps: total)
    }

    @Test(arguments: LearningRateSchedule.Kind.allCases)
    func warmsUpInEqualSteps(kind: LearningRateSchedule.Kind) {
        let schedule = schedule(kind)
        for step in 0..<10 { #expect(abs(schedule.rate(at: step) - 0.2 * Double(step + 1)) < 1e-12) }
        #expect(schedule.rate(at: 10) == 2)
    }

    @Test func cosineFollowsItsFormula() {
        let schedule = schedule(.cosine)
        #expect(abs(schedule.rate(at: 60) - 1.1) < 1e-12)  // half way: the mean of 2 and 0.2
        #expect(abs(schedule.rate(at: 35) - (0.2 + 1.8 * 0.5 * (1 + 0.5.squareRoot()))) < 1e-12)  // a quarter
        #expect(abs(schedule.rate(at: 110) - 0.2) < 1e-12)
        #expect(abs(schedule.rate(at: 5000) - 0.2) < 1e-12)
    }

    @Test func linearFallsEvenly() {
        let schedule = schedule(.linear)
        #expect(abs(schedule.rate(at: 60) - 1.1) < 1e-12)
        #expect(abs((schedule.rate(at: 20) - schedule.rate(at: 21)) - 0.018) < 1e-12)
        #expect(abs(schedule.rate(at: 110) - 0.2) < 1e-12)
    }

    @Test func constantStays() {
        #expect([10, 50, 110, 900].allSatisfy { schedule(.constant).rate(at: $0) == 2 })
    }

    @Test func runsShorterThanTheirWarmUpOrOfOneStepAreFinite() {
        for total in [1, 2, 5] {
            for warmup in [0, 1, total] {
                for kind in LearningRateSchedule.Kind.allCases {
                    let schedule = schedule(kind, warmup: warmup, total: total)
                    for step in 0..<total {
                        let rate = schedule.rate(at: step)
                        #expect(rate > 0 && rate <= 2)
                    }
                }
            }
        }
    }
}
