import CoppiceEvidence
import CoppiceModels
import CoppiceTensors
import Testing

@Suite struct LayerLotteryExperimentTests {
    private func measurement(
        _ accuracies: [LayerLotteryMeasurement.Arm: Double], stages: [Int] = [2, 2, 2], saved: Double = 0.3
    ) -> LayerLotteryMeasurement {
        var runs: [LayerLotteryMeasurement.Run] = []
        for count in [1, 2, 3] {
            for arm in LayerLotteryMeasurement.Arm.allCases where arm != .shallower || count == 3 {
                runs.append(
                    .init(
                        arm: arm, count: count, seed: 1, accuracy: accuracies[arm] ?? 0.8, parameterPart: 0.7,
                        multiplicationPart: 1 - saved, removed: []))
            }
        }
        return LayerLotteryMeasurement(
            removable: ["layer1.1"], counts: [1, 2, 3], seeds: [1], denseAccuracies: [0.8], runs: runs,
            normVictims: [stages])
    }

    private func verdict(_ id: String, _ measured: LayerLotteryMeasurement) -> Claim.Verdict? {
        measured.claims.first { $0.id == id }?.verdict
    }

    @Test func claimsFollowFromMeans() {
        let good = measurement([.filtersByCount: 0.79, .afterTraining: 0.5])
        for id in [
            "tickets-win", "better-than-filters", "no-worse-than-shallower", "retraining-matters",
            "norms-pick-one-stage",
            "cheaper",
        ] {
            #expect(verdict(id, good) == .holds, "\(id)")
        }
        #expect(verdict("robustness", good) == .notMeasured)
        #expect(verdict("tickets-win", measurement([.grasp: 0.78])) == .doesNotHold)
        #expect(verdict("better-than-filters", measurement([:])) == .doesNotHold)
        #expect(verdict("no-worse-than-shallower", measurement([.shallower: 0.82])) == .doesNotHold)
        #expect(verdict("retraining-matters", measurement([.afterTraining: 0.76])) == .doesNotHold)
        #expect(verdict("norms-pick-one-stage", measurement([:], stages: [0, 1, 2])) == .doesNotHold)
        #expect(verdict("cheaper", measurement([:], saved: 0.2)) == .doesNotHold)
    }

    @Test func aTinyRunIsReported() throws {
        let folder = try SmallImageFolder()
        var setting = ExperimentSetting(
            languageModel: { throw CoppiceError(.internal, "no language model is asked for") }, dataFolder: folder.path,
            scale: 0.01)
        setting.seedCount = 1
        let report = try LayerLotteryExperiment().run(setting, progress: SilentProgress())
        #expect(report.claims.first { $0.id == "cheaper" }?.verdict == .holds)
        #expect(report.facts.contains { $0.value.contains("layer3.2") })
        #expect(report.json.serialized().contains("after-training"))
        // Losses of the dense network and of all that is trained at the most blocks.
        let losses = try #require(report.illustrations.first { $0.id == "loss" }?.figure as? LineChart)
        let names = ["dense", "grasp", "snip", "random", "filters", "filters-by-count", "shallower"]
        #expect(losses.series.map(\.name) == names && losses.series.allSatisfy { !$0.points.isEmpty })
        // As many filters as a ticket lacks, each block's last aside.
        let runs = try #require(report.data["runs"]?.arrayValue)
        let parts = runs.filter { $0["arm"]?.stringValue == "filters-by-count" }.compactMap {
            $0["parameters"]?.doubleValue
        }
        #expect(parts.count == 3 && parts[0] > parts[1] && parts[1] >= parts[2] && parts[0] < 1)
    }
}
