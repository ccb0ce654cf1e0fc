import CoppiceCompression
import CoppiceEvidence
import CoppiceTensors
import CoppiceTraining
import Testing

/// Checkpoints of pre-trainings, and what weights near zero along them say.
@Suite struct PretrainingCourseTests {
    @Test func checkpointsAreEquallySpacedByTheirLogarithms() {
        #expect(SupervisedTraining.checkpointSteps(of: 1_000, count: 4) == [1, 10, 100, 1_000])
        #expect(SupervisedTraining.checkpointSteps(of: 64, count: 7) == [1, 2, 4, 8, 16, 32, 64])
        #expect(SupervisedTraining.checkpointSteps(of: 9, count: 1) == [9])
        // Whole numbers cannot be nearer than one.
        #expect(SupervisedTraining.checkpointSteps(of: 100, count: 10) == [1, 2, 3, 5, 8, 13, 22, 36, 60, 100])
        for count in 1...21 {
            for total in count...(count + 300) {
                let steps = SupervisedTraining.checkpointSteps(of: total, count: count)
                #expect(steps.count == count && steps.last == total && steps[0] >= 1, "\(count) of \(total)")
                #expect(zip(steps, steps.dropFirst()).allSatisfy(<), "\(count) of \(total)")
            }
        }
    }

    @Test func fixedThresholdsSeeWhatShrinks() {
        let (first, second) = (
            Tensor([Float(3), -1, 1, 0.02], shape: [2, 2]), Tensor([Float(10), 0.5], shape: [1, 2])
        )
        let counter = NearZeroCounter([first, second])
        // Root mean squares 1.658 and 7.08: below a tenth 0.02 of the first matrix and 0.5 of the second.
        let start = counter.shares(of: [first, second])
        #expect(start.fixed == start.relative && start.fixed == [0, 0, 2.0 / 6])
        let shrunk = counter.shares(of: [first * 0.1, second * 0.01])
        #expect(shrunk.relative == start.relative)
        // 0.1, 0.1 and 0.002 of the first are below 0.1658, of the second 0.1 and 0.005 below 0.708; below a hundredth of
        // that 0.002 and 0.005, below a thousandth 0.005 alone.
        let sixths: [Double] = [1, 2, 5].map { $0 / 6 }
        #expect(shrunk.fixed == sixths)
        let grown = counter.shares(of: [first * 10, second * 2])
        #expect(grown.relative == start.relative && grown.fixed == [0, 0, 0])
    }

    /// A course of shares below a tenth, of fixed thresholds; those of relative ones go the other way.
    private func course(_ shares: [Double]) -> PretrainingCourse {
        PretrainingCourse(
            "course",
            [0.001, -0.001].map { noise in
                shares.enumerated().map { step, share in
                    let own = step > 0 ? share + noise : share
                    return PretrainingCheckpoint(
                        step: step * 10,
                        nearZero: NearZeroShares(
                            fixed: [own / 100, own / 10, own], relative: [1 - own, 1 - own, 1 - own]))
                }
            })
    }

    @Test func risesAreThoseOfFixedThresholds() {
        #expect(course([0.08, 0.09, 0.10]).rises(of: 100_000).allSatisfy { $0.holds })
        #expect(course([0.08, 0.09, 0.07]).rises(of: 100_000).allSatisfy { !$0.holds })
        // Half a point of 200,000 weights is 5.8 standard errors; of 20,000 it is 1.8.
        let small = course([0.08, 0.085])
        #expect(small.rises(of: 100_000)[1].holds && !small.rises(of: 10_000)[1].holds)
        // At a hundredth there are a tenth as many: 1.7 standard errors.
        #expect(!small.rises(of: 100_000)[0].holds)
    }

    @Test func abruptRisesBeginBehindTheStart() {
        func verdict(_ shares: [Double]) -> [Bool] { course(shares).risesAbruptly.map(\.holds) }
        #expect(verdict([0.08, 0.08, 0.081, 0.13, 0.131, 0.131]) == [true, true])
        #expect(course([0.08, 0.08, 0.081, 0.13, 0.131, 0.131]).largestRise.step == 20)
        #expect(verdict([0.08, 0.13, 0.131, 0.131, 0.131, 0.132]) == [true, false])
        #expect(verdict([0.08, 0.09, 0.10, 0.112, 0.12, 0.13]) == [false, true])
        // A jump on the way down is none to sparsity.
        #expect(verdict([0.13, 0.09, 0.10, 0.08, 0.08, 0.08]) == [false, false])
    }
}
