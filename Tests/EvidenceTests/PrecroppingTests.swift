import CoppiceEvidence
import CoppiceModels
import CoppiceTensors
import Testing

@Suite struct PrecroppingExperimentTests {
    /// Two seeds and budgets, with an accuracy for each arm.
    private func measurement(
        _ accuracies: [PrecroppingMeasurement.Arm: Double], residual: Double = 1e-12, part: Double = 0
    ) -> PrecroppingMeasurement {
        var runs: [PrecroppingMeasurement.Run] = []
        for budget in [0.3, 0.1] {
            for seed in [1, 2] as [UInt64] {
                for arm in PrecroppingMeasurement.Arm.allCases {
                    let accuracy = (accuracies[arm] ?? 0.6) + (seed == 1 ? 0.01 : -0.01)
                    runs.append(
                        .init(
                            arm: arm, budget: budget, seed: seed, accuracy: accuracy, parameterPart: budget + part,
                            multiplicationPart: 0.5))
                }
            }
        }
        return PrecroppingMeasurement(
            budgets: [0.3, 0.1], seeds: [1, 2], denseAccuracies: [0.7, 0.7], runs: runs,
            residuals: [residual, residual])
    }

    private func verdict(_ id: String, _ measured: PrecroppingMeasurement) -> Claim.Verdict? {
        measured.claims.first { $0.id == id }?.verdict
    }

    @Test func claimsFollowFromMeans() {
        let good = measurement([.synexpCrop: 0.606])
        for id in ["places-do-not-matter", "channels-do-as-well", "programme-beats-one-factor", "exact"] {
            #expect(verdict(id, good) == .holds, "\(id)")
        }
        #expect(verdict("no-worse-than-single-weights", good) == .holds)
        #expect(verdict("faster-training", good) == .notMeasured)
        #expect(verdict("places-do-not-matter", measurement([.shuffled: 0.585])) == .doesNotHold)
        #expect(verdict("channels-do-as-well", measurement([.synflowCrop: 0.584])) == .doesNotHold)
        #expect(verdict("programme-beats-one-factor", measurement([.synexpCrop: 0.604])) == .doesNotHold)
        #expect(verdict("no-worse-than-single-weights", measurement([.snip: 0.62])) == .doesNotHold)
        #expect(verdict("exact", measurement([:], residual: 1e-6)) == .doesNotHold)
        #expect(verdict("exact", measurement([:], part: 0.001)) == .doesNotHold)
    }

    @Test func aTinyRunIsReported() throws {
        let folder = try SmallImageFolder()
        var setting = ExperimentSetting(
            languageModel: { throw CoppiceError(.internal, "no language model is asked for") }, dataFolder: folder.path,
            scale: 0.01)
        setting.seedCount = 1
        let report = try PrecroppingExperiment().run(setting, progress: SilentProgress())
        #expect(report.claims.first { $0.id == "exact" }?.verdict == .holds)
        #expect(report.tables.count == 2 && report.json.serialized().contains("synexp-crop"))
        // A mask that is shuffled in its layers leaves hardly a filter empty; synaptic flow leaves whole filters.
        func filters(_ arm: String) throws -> [Double] {
            let runs = try #require(report.json["data"]?["runs"]?.arrayValue)
            return runs.filter { $0["arm"]?.stringValue == arm }.compactMap { $0["filters_in_use"]?.doubleValue }
        }
        let (flow, shuffled) = (try filters("synflow"), try filters("shuffled"))
        #expect(flow.count == 2 && zip(flow, shuffled).allSatisfy { $0 < $1 && $1 <= 1 })
        #expect(try filters("synexp-crop") == [1, 1])
        let losses = try #require(report.illustrations.first { $0.id == "loss" }?.figure as? LineChart)
        #expect(losses.series.map(\.name).prefix(2) == ["dense", "synflow"] && losses.series.count == 7)
        setting.dataFolder = nil
        #expect(throws: CoppiceError.self) { try PrecroppingExperiment().run(setting, progress: SilentProgress()) }
    }
}
