import CoppiceCompression
import CoppiceEvidence
import CoppiceModels
import CoppiceTensors
import Testing

@Suite struct ConsensusPolarizationTests {
    private typealias Measurement = ConsensusMeasurement

    /// A seed on which everything holds, but for what is changed.
    private func measurement(_ change: (inout Measurement.Run) -> Void = { _ in }) -> Measurement {
        var runs: [Measurement.Run] = []
        for seed in [UInt64(1), 2] {
            for arm in Measurement.Arm.allCases {
                var run = Measurement.Run(arm: arm, seed: seed, accuracy: arm == .dense ? 0.82 : 0.81)
                run.multiplicationPart = arm == .dense ? 1 : 0.5
                run.cost = arm == .norm ? 1.35 : 1.02
                if [.consensus, .targetOnly, .channels, .staticGates].contains(arm) {
                    run.gates = .init(
                        kept: 4, count: 7, disagreement: arm == .targetOnly ? 0.2 : 0.001, dynamicAccuracy: 0.81,
                        staticAccuracy: arm == .targetOnly && seed == 2 ? 0.8 : 0.81, difference: 1e-7)
                    run.gates?.curve = [(0, [1, 1]), (10, [1, 0])]
                    if arm == .channels {
                        run.gates?.kept = 80
                        run.gates?.count = 160
                    }
                }
                change(&run)
                runs.append(run)
            }
        }
        return Measurement(gatedBlocks: ["layer1.0", "layer1.1"], seeds: [1, 2], runs: runs)
    }

    private func verdict(_ id: String, _ change: @escaping (inout Measurement.Run) -> Void = { _ in }) -> Claim.Verdict?
    {
        measurement(change).claims().first { $0.id == id }?.verdict
    }

    @Test func claimsFollowFromRuns() {
        for id in [
            "consensus", "static-equals-dynamic", "target-reached", "exact-extraction", "accuracy",
            "better-than-others", "one-pass",
        ] {
            #expect(verdict(id) == .holds, "\(id)")
        }
        #expect(verdict("inference-time") == .notMeasured && verdict("cifar") == .notMeasured)
        let worse = measurement { if $0.arm == .consensus { $0.accuracy = 0.8 } }
        #expect(worse.claims(isFull: true).first { $0.id == "cifar" }?.verdict == .doesNotHold)
        func fails(_ id: String, _ arm: Measurement.Arm, _ change: @escaping (inout Measurement.Run) -> Void) {
            #expect(verdict(id) { if $0.arm == arm { change(&$0) } } == .doesNotHold, "\(id) by \(arm)")
        }
        fails("consensus", .consensus) { if $0.seed == 2 { $0.gates?.disagreement = 0.03 } }
        fails("consensus", .channels) { if $0.seed == 1 { $0.gates?.disagreement = 0.2 } }
        fails("consensus", .targetOnly) { if $0.seed == 1 { $0.gates?.disagreement = 0.04 } }
        fails("static-equals-dynamic", .consensus) { if $0.seed == 1 { $0.gates?.staticAccuracy = 0.807 } }
        fails("static-equals-dynamic", .targetOnly) { $0.gates?.staticAccuracy = 0.81 }
        fails("target-reached", .consensus) { if $0.seed == 1 { $0.gates?.kept = 5 } }
        fails("target-reached", .channels) { if $0.seed == 2 { $0.gates?.kept = 100 } }
        fails("exact-extraction", .channels) { $0.gates?.difference = 2e-5 }
        fails("accuracy", .consensus) { $0.accuracy = 0.804 }
        fails("accuracy", .randomBlocks) { $0.accuracy = 0.813 }
        for arm in [Measurement.Arm.norm, .slimming, .staticGates, .gradual] {
            fails("better-than-others", arm) { $0.accuracy = 0.813 }
        }
        fails("one-pass", .consensus) { $0.cost = 1.2 }
        fails("one-pass", .norm) { $0.cost = 1.2 }
    }

    /// A removed weight of a convolution saves a multiplication at each output pixel: half of the second layer of LeNet-5,
    /// 16 × 6 × 25 weights at 10 × 10 pixels, and half of its last.
    @Test func removedWeightsCountWhereTheyAreUsed() throws {
        let architecture = try VisionArchitecture(named: "lenet-5")
        let network = try PrunableNetwork(architecture.makeNetwork(seed: 1))
        let uses = architecture.weightUses
        func removed(_ halved: [String]) throws -> Int {
            network.setMasks(
                network.weights.map { weight in
                    let isHalved = halved.contains(weight.name)
                    return WeightMask(
                        rows: weight.rows, columns: weight.columns,
                        kept: (0..<weight.count).map { !isHalved || $0 % 2 == 0 })
                })
            return ConsensusTrial.multiplications(withRemovedOf: network, uses)
        }
        let names = network.weights.map(\.name)
        let (second, last) = (names[1], try #require(names.last))
        #expect(try removed([]) == 0)
        #expect(try removed([second]) == network.weights[1].count / 2 * (uses[second] ?? 0) && uses[second] != 1)
        #expect(try removed([second, last]) == removed([second]) + (network.weights.last?.count ?? 0) / 2)
    }

    @Test func aTinyRunIsReported() throws {
        let folder = try SmallImageFolder()
        var setting = ExperimentSetting(
            languageModel: { throw CoppiceError(.internal, "no language model is asked for") }, dataFolder: folder.path,
            scale: 0.01)
        setting.seedCount = 1
        let report = try ConsensusPolarization().run(setting, progress: SilentProgress())
        #expect(report.claims.first { $0.id == "exact-extraction" }?.verdict == .holds)
        #expect(report.facts.contains { $0.value.contains("layer3.2") })
        // Gates decide on images that no training sees, so fewer are trained on than were taken.
        func fact(_ name: String) throws -> String { try #require(report.facts.first { $0.name == name }).value }
        let (images, deciding) = (try fact("images"), try fact("images that gates decide on"))
        let heldOut = try #require(Int(deciding))
        #expect(heldOut > 0 && images.contains(" \(44 - heldOut) for training"))
        #expect(report.illustrations.map(\.id) == ["gates-consensus", "gates-target-only", "accuracy", "loss"])
        #expect(report.json.serialized().contains("random-blocks"))
        // Gradual pruning of single weights, to the multiplications of the consensus network.
        let runs = try #require(report.json["data"]?["runs"]?.arrayValue)
        func run(_ arm: String) throws -> JSON { try #require(runs.first { $0["arm"]?.stringValue == arm }) }
        let part = try #require(run("consensus")["multiplications"]?.doubleValue)
        let gradual = try run("gradual")
        #expect(abs(try #require(gradual["multiplications"]?.doubleValue) - part) < 0.01)
        let parameters = try #require(gradual["parameters"]?.doubleValue)
        #expect(part == 1 ? parameters == 1 : parameters < 1)
        #expect(try #require(gradual["training_cost"]?.doubleValue) <= 1)
    }
}
