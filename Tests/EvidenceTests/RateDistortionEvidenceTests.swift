import CoppiceEvidence
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Testing

@Suite struct RateDistortionEvidenceTests {
    private typealias Measurement = RateDistortionMeasurement

    /// Means of accuracies by arm at 90 and 95 %, of two seeds.
    private func outcomes(_ accuracies: [String: Double]) -> [Measurement.Outcome] {
        accuracies.flatMap { arm, mean in
            [0.9, 0.95].flatMap { sparsity in
                [(UInt64(1), -0.001), (2, 0.001)].map { seed, shift in
                    Measurement.Outcome(
                        arm: arm, sparsity: sparsity, seed: seed, accuracy: mean + shift,
                        losses: LossCurve(arm, steps: 1))
                }
            }
        }
    }

    private static func joint(slope: Double, noise: Double = 0, errors: [String: Double] = [:]) -> JointDistortion {
        JointDistortion(
            splits: (1...20).map { place -> (sum: Double, joint: Double) in
                let sum = Double(place)
                return (sum, slope * sum + noise * Double(place % 2 * 2 - 1))
            }, errors: errors.mapValues { [0.8: $0, 0.9: $0] })
    }

    private func measurement(
        slope: Double = 1.1, noise: Double = 0, error: [String: Double] = [:], accuracy: [String: Double] = [:],
        residual: [String: Double]? = nil, residualSlope: Double = 1.1, excess: [String: Double] = [:]
    ) throws -> Measurement {
        let network = try VisionArchitecture(named: "lenet-5").makeNetwork(seed: 1)
        let errors = ["RD": 0.9, "global": 1, "uniform": 1.5, "ERK": 0.9, "LAMP": 0.9].merging(error) { $1 }
        let trials = [UInt64(1), 2].map { seed in
            Measurement.Trial(
                dense: .init(seed: seed, weights: Snapshot(of: network), accuracy: 0.87),
                joint: Self.joint(slope: slope, noise: noise, errors: errors),
                solverExcess: ["buckets": 0, "lower bound": -0.01].merging(excess) { $1 })
        }
        let accuracies = ["RD": 0.86, "global": 0.86, "uniform": 0.85, "ERK": 0.86, "LAMP": 0.86, "RD, noise": 0.855]
        var measured = Measurement(trials: trials, outcomes: outcomes(accuracies.merging(accuracy) { $1 }))
        if let residual {
            let own = ["RD": 0.7, "global": 0.7, "uniform": 0.6, "LAMP": 0.7].merging(residual) { $1 }
            measured.residual = outcomes(own)
            measured.residualJoint = Self.joint(slope: residualSlope)
        }
        return measured
    }

    private func verdict(_ id: String, _ measured: Measurement) -> Claim.Verdict? {
        measured.claims.first { $0.id == id }?.verdict
    }

    @Test func claimsFollowFromTheNumbers() throws {
        for claim in try measurement(residual: [:]).claims { #expect(claim.verdict == .holds, "\(claim.id)") }
        #expect(verdict("additivity", try measurement(slope: 1.5)) == .doesNotHold)
        #expect(verdict("deeper-additivity", try measurement(residual: [:], residualSlope: 1.5)) == .doesNotHold)
        #expect(verdict("deeper-additivity", try measurement()) == .notMeasured)
        #expect(verdict("additivity", try measurement(slope: 0.7)) == .doesNotHold)
        #expect(verdict("additivity", try measurement(noise: 5)) == .doesNotHold)
        for (other, error) in [("global", 0.94), ("uniform", 0.94), ("ERK", 0.87), ("LAMP", 0.87)] {
            #expect(verdict("less-distortion", try measurement(error: [other: error])) == .doesNotHold, "\(other)")
        }
        for other in ["global", "uniform", "ERK", "LAMP"] {
            let measured = try measurement(accuracy: [other: 0.864])
            #expect(verdict("accuracy-after-training", measured) == .doesNotHold, "\(other)")
        }
        #expect(verdict("zero-data", try measurement(accuracy: ["RD, noise": 0.849])) == .doesNotHold)
        #expect(verdict("the-programme-is-exact", try measurement(excess: ["buckets": 0.002])) == .doesNotHold)
        #expect(verdict("the-programme-is-exact", try measurement(excess: ["lower bound": 0.01])) == .doesNotHold)
    }

    @Test func deeperNetworksAreJudgedAlike() throws {
        #expect(verdict("deeper-networks", try measurement()) == .notMeasured)
        for (other, accuracy) in [("global", 0.703), ("uniform", 0.696), ("LAMP", 0.704)] {
            let measured = try measurement(residual: [other: accuracy])
            #expect(verdict("deeper-networks", measured) == .doesNotHold, "\(other)")
        }
    }

    @Test func whatIsMissingDoesNotHold() throws {
        let unmeasured = Measurement(trials: try measurement().trials, outcomes: [])
        for id in ["accuracy-after-training", "zero-data"] { #expect(verdict(id, unmeasured) == .doesNotHold, "\(id)") }
    }
}
