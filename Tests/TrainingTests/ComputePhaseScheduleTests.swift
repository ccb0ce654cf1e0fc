import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

@Suite struct ComputePhaseScheduleTests {
    struct Published: Sendable {
        var sparsity: Double
        var start: Int
        var end: Int
        var total: Int
        var density: Double
    }

    /// Models of 1.14 billion prunable parameters, 10,000 dense steps.
    private static let published = [
        Published(sparsity: 0.2, start: 2_500, end: 8_100, total: 11_200, density: 0.892),
        Published(sparsity: 0.4, start: 2_500, end: 8_875, total: 13_050, density: 0.765),
        Published(sparsity: 0.6, start: 2_500, end: 10_100, total: 16_375, density: 0.605),
    ]

    @Test(arguments: published) func givesTheStepsOfReleasedModels(row: Published) throws {
        let schedule = try ComputePhaseSchedule(denseSteps: 10_000, finalSparsity: row.sparsity, interval: 50)
        #expect(abs(schedule.startStep - row.start) <= 40)
        #expect(abs(schedule.endStep - row.end) <= 40)
        #expect(abs(schedule.totalSteps - row.total) <= 40)
        #expect(abs(schedule.averageDensity - row.density) <= 0.006)
        // With a cubic ramp it would be another one.
        let cubic = try ComputePhaseSchedule(
            denseSteps: 10_000, finalSparsity: row.sparsity, ramp: .cubic, interval: 50)
        #expect(abs(cubic.averageDensity - row.density) > 0.006)
    }

    @Test func eightyPercentHaveTheReleasedAverageSize() throws {
        let schedule = try ComputePhaseSchedule(denseSteps: 10_000, finalSparsity: 0.8, interval: 50)
        #expect(abs(schedule.averageCount(of: 1_140_000_000) / 1e9 - 0.45) < 0.01)
        #expect(abs(schedule.finalOverAverage - 0.2 / 0.399) < 0.01)
    }

    /// Whatever the options, the densities of all steps add up to the compute, and counts follow the definition.
    @Test func stepsCostTheComputeThatWasGiven() throws {
        var generator = RandomGenerator(seed: 1)
        for _ in 0..<300 {
            let start = Double.random(in: 0..<0.8, using: &generator)
            let window = ComputePhaseSchedule.Window(
                start: start, end: start + Double.random(in: 0.05...0.15, using: &generator))
            let sparsity = Double.random(in: 0.05..<0.95, using: &generator)
            let steps = Int.random(in: 200...3_000, using: &generator)
            let interval = Int.random(in: 1...10, using: &generator)
            for ramp in SparsityRamp.allCases {
                let schedule = try ComputePhaseSchedule(
                    denseSteps: steps, finalSparsity: sparsity, window: window, ramp: ramp, interval: interval)
                let densities = (0..<schedule.totalSteps).map(schedule.density(at:))
                let sum = densities.reduce(0, +)
                #expect(abs(sum - Double(steps)) <= 1)
                #expect(abs(schedule.compute(before: schedule.totalSteps) - sum) < 1e-6)
                let middle = schedule.totalSteps / 2
                #expect(abs(schedule.compute(before: middle) - densities[..<middle].reduce(0, +)) < 1e-6)
                // Falls from 1 to the final density, exactly, and changes only where something is removed.
                #expect(zip(densities, densities.dropFirst()).allSatisfy { $0 >= $1 })
                #expect(densities[..<schedule.startStep].allSatisfy { $0 == 1 })
                #expect(densities[schedule.startStep] < 1)
                #expect(densities[schedule.endStep...].allSatisfy { $0 == 1 - sparsity })
                for step in 1..<schedule.totalSteps where densities[step] != densities[step - 1] {
                    let removed = try #require(schedule.sparsity(at: step))
                    #expect(abs(1 - removed - densities[step]) < 1e-12)
                }
                #expect(schedule.sparsity(at: schedule.endStep) == sparsity)
                #expect(schedule.sparsity(at: schedule.endStep + 1) == nil)
            }
        }
    }

    @Test(arguments: SparsityRamp.allCases) func meanOfARampIsItsIntegral(ramp: SparsityRamp) {
        for final in [0.05, 0.4, 0.8] {
            let parts = 100_000
            let sum = (0..<parts).reduce(0.0) {
                $0 + ramp.density(at: (Double($1) + 0.5) / Double(parts), final: final)
            }
            #expect(abs(sum / Double(parts) - ramp.meanDensity(final: final)) < 1e-8)
            #expect(ramp.density(at: 0, final: final) == 1)
            #expect(abs(ramp.density(at: 1, final: final) - final) < 1e-15)
        }
    }

    @Test func longRunsHaveTheLimitingDensity() throws {
        let schedule = try ComputePhaseSchedule(denseSteps: 1_000_000, finalSparsity: 0.7, interval: 10)
        #expect(abs(schedule.averageDensity - ComputePhaseSchedule.averageDensity(finalSparsity: 0.7)) < 1e-5)
        #expect(ComputePhaseSchedule.averageDensity(finalSparsity: 0) == 1)
    }

    @Test func nothingToPruneIsTheDenseRun() throws {
        let schedule = try ComputePhaseSchedule(denseSteps: 77, finalSparsity: 0)
        #expect(schedule.totalSteps == 77 && schedule.averageDensity == 1)
        #expect((0..<80).allSatisfy { schedule.sparsity(at: $0) == nil && schedule.density(at: $0) == 1 })
    }

    @Test func wrongOptionsAreNamed() {
        func failure(_ make: () throws -> ComputePhaseSchedule) -> String {
            do {
                _ = try make()
                return ""
            } catch { return "\(error)" }
        }
        #expect(failure { try .init(denseSteps: 100, finalSparsity: 1) }.contains("final_sparsity: 1.0, expected"))
        #expect(failure { try .init(denseSteps: 100, finalSparsity: .nan) }.contains("final_sparsity"))
        let backwards = ComputePhaseSchedule.Window(start: 0.7, end: 0.3)
        #expect(
            failure { try .init(denseSteps: 100, finalSparsity: 0.5, window: backwards) }.contains("window: 0.7 to 0.3")
        )
        let toTheEnd = ComputePhaseSchedule.Window(start: 0.5, end: 1)
        #expect(failure { try .init(denseSteps: 100, finalSparsity: 0.5, window: toTheEnd) }.contains("below 1"))
        #expect(failure { try .init(denseSteps: 0, finalSparsity: 0.5) }.contains("at least one step"))
        #expect(failure { try .init(denseSteps: 1, finalSparsity: 0.5) }.contains("too few"))
        #expect(failure { try .init(denseSteps: 100, finalSparsity: 0.5, interval: 90) }.contains("every: 90 steps"))
    }
}
