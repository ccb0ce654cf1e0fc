import CoppiceEvidence
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Testing

@Suite struct LayerLotteryExperimentTests {
    /// Where nothing is given, all networks are right on 80 %.
    private func measurement(
        _ accuracies: [LayerLotteryMeasurement.Arm: Double], atOne: [LayerLotteryMeasurement.Arm: Double] = [:],
        stages: [Int] = [2, 2, 2], saved: Double = 0.3
    ) -> LayerLotteryMeasurement {
        var runs: [LayerLotteryMeasurement.Run] = []
        for count in [1, 2, 3] {
            for arm in LayerLotteryMeasurement.Arm.allCases where arm != .shallower || count == 3 {
                let accuracy = (count == 1 ? atOne[arm] : nil) ?? accuracies[arm] ?? 0.8
                runs.append(
                    .init(
                        arm: arm, count: count, seed: 1, accuracy: accuracy, parameterPart: 0.7,
                        multiplicationPart: 1 - saved, removed: []))
            }
        }
        return LayerLotteryMeasurement(
            removable: ["layer1.1"], counts: [1, 2, 3], seeds: [1], denseAccuracies: [0.8], plainAccuracies: [0.7],
            runs: runs, normVictims: [stages])
    }

    private func verdict(_ id: String, _ measured: LayerLotteryMeasurement) -> Claim.Verdict? {
        measured.claims.first { $0.id == id }?.verdict
    }

    @Test func claimsFollowFromMeans() {
        let trained: [LayerLotteryMeasurement.Arm: Double] = [.afterTraining: 0.5, .plainAfterTraining: 0.3]
        let good = measurement(trained.merging([.filtersByCount: 0.79]) { $1 })
        for id in [
            "tickets-win", "better-than-filters", "no-worse-than-shallower", "rewinding-wins", "retraining-matters",
            "residual-loses-less", "norms-pick-one-stage", "cheaper",
        ] {
            #expect(verdict(id, good) == .holds, "\(id)")
        }
        for id in ["faster", "robustness"] { #expect(verdict(id, good) == .notMeasured) }
        #expect(verdict("tickets-win", measurement([.grasp: 0.78])) == .doesNotHold)
        #expect(verdict("better-than-filters", measurement([:])) == .doesNotHold)
        #expect(verdict("no-worse-than-shallower", measurement([.shallower: 0.82])) == .doesNotHold)
        for arm in [
            LayerLotteryMeasurement.Arm.rewound, .rewoundToStart, .rewoundByKL, .rewoundByCKA, .rewoundAtRandom,
        ] {
            #expect(verdict("rewinding-wins", measurement([arm: 0.78])) == .doesNotHold, "\(arm)")
        }
        // What is no criterion is reported only.
        #expect(verdict("rewinding-wins", measurement([.reinitialized: 0.5, .rewoundByL1: 0.5])) == .holds)
        // At every number of blocks.
        #expect(verdict("retraining-matters", measurement(trained, atOne: [.afterTraining: 0.76])) == .doesNotHold)
        // From its own accuracy: 32 points, then 28; the residual network loses 30.
        for accuracy in [0.38, 0.42] {
            let close = measurement(trained, atOne: [.plainAfterTraining: accuracy])
            #expect(verdict("residual-loses-less", close) == (accuracy < 0.4 ? .holds : .doesNotHold))
        }
        #expect(verdict("norms-pick-one-stage", measurement([:], stages: [0, 1, 2])) == .doesNotHold)
        #expect(verdict("cheaper", measurement([:], saved: 0.2)) == .doesNotHold)
    }

    /// A stem of 442,368 multiplications, 4,718,592 of each block but for those that reduce, 3,538,944, and 640 of the
    /// head: ResNet-32 has 68.9 million, ResNet-56 125.5.
    @Test func publishedCostsAreThoseOfTheStructure() throws {
        let claim = try #require(measurement([:]).claims.first { $0.id == "published-costs" })
        func saved(_ count: Int, ofBlocks blocks: Int) -> Double {
            Double(count * 4_718_592) / Double(442_368 + (blocks - 2) * 4_718_592 + 2 * 3_538_944 + 640)
        }
        let expected = [abs(saved(4, ofBlocks: 15) - 0.34), abs(saved(12, ofBlocks: 27) - 0.45)].map { 100 * $0 }
        #expect(zip(claim.comparisons, expected).allSatisfy { abs($0.value - $1) < 1e-3 })
        #expect(claim.comparisons.map(\.holds) == [false, true])
        #expect(claim.remark.contains("34.3 %"))
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
        // Losses of the dense network and of all that is trained at the most blocks.
        let losses = try #require(report.illustrations.first { $0.id == "loss" }?.figure as? LineChart)
        let names = [
            "dense", "grasp", "snip", "random", "filters", "filters-by-count", "filters-by-snip", "shallower",
            "rewound-to-start", "rewound", "reinitialized", "rewound-kl", "rewound-cka", "rewound-l1", "rewound-random",
        ]
        #expect(losses.series.map(\.name) == names && losses.series.allSatisfy { !$0.points.isEmpty })
        let runs = try #require(report.data["runs"]?.arrayValue)
        func own<Value>(_ arm: String, _ value: (JSON) -> Value?) -> [Value] {
            runs.filter { $0["arm"]?.stringValue == arm }.compactMap(value)
        }
        // As many filters as a ticket lacks, each block's last aside; at the fewest and the most blocks.
        for arm in ["filters-by-count", "filters-by-snip"] {
            let parts = own(arm) { $0["parameters"]?.doubleValue }
            #expect(parts.count == 2 && parts[0] > parts[1] && parts[0] < 1, "\(arm)")
        }
        // GraSP also removes all blocks that may go; trained networks lose its tickets' blocks.
        func blocks(_ arm: String) -> [[String]] { own(arm) { $0["removed"]?.arrayValue?.compactMap(\.stringValue) } }
        #expect(blocks("grasp").map(\.count) == [1, 2, 3, 7])
        for arm in ["after-training", "plain-after-training"] {
            #expect(blocks(arm) == Array(blocks("grasp").prefix(3)))
        }
        #expect(blocks("rewound") == blocks("rewound-to-start") && blocks("rewound").map(\.count) == [3])
        // Others name their own; the smallest norms are in the first stage.
        for arm in ["rewound-kl", "rewound-cka", "rewound-l1", "rewound-random"] {
            #expect(blocks(arm).map { Set($0).count } == [3], "\(arm)")
        }
        #expect(blocks("rewound-l1").first?.allSatisfy { $0.hasPrefix("layer1") } == true)
    }

    /// Nothing gets past a layer of zeros where there is no shortcut; without that layer it does.
    @Test func plainNetworksHaveNoWayAroundTheirLayers() throws {
        let architecture = try VisionArchitecture(named: "resnet20", inputChannels: 1, widthMultiplier: 0.25)
        let images = Array(ImageDataSet.shapes(4, size: 16, seed: 3).batches(of: 4))[0].inputs
        func spread(_ network: any SupervisedNetwork) -> Double {
            let outputs = network.inUse { network.outputs(images) }
            return (outputs - outputs.slice(axis: 0, 0..<1)).abs().sum().doubles()[0]
        }
        let network = architecture.makeNetwork(seed: 5)
        let plain = try PlainNetwork(network)
        #expect(plain.parameters.map(\.name) == network.parameters.map(\.name))
        #expect(plain.stateTensors.map(\.name) == network.stateTensors.map(\.name))
        #expect(spread(plain) > 1e-4 && spread(network) > 1e-4)
        let removal = try BlockRemoval(of: ["layer2.1"], from: architecture)
        removal.silence(network)
        #expect(spread(plain) < 1e-6 && spread(network) > 1e-4)
        #expect(spread(try PlainNetwork(removal(network))) > 1e-4)
        let other = try VisionArchitecture(named: "lenet-300-100").makeNetwork(seed: 1)
        #expect { _ = try PlainNetwork(other) } throws: { "\($0)".contains("no plain counterpart") }
    }
}
