import CoppiceEvidence
import CoppiceModels
import CoppiceTensors
import Testing

@Suite struct PrecroppingExperimentTests {
    private typealias Arm = PrecroppedNetwork.Arm

    /// One network with two seeds, and an accuracy for each arm at both budgets, or at one.
    private func network(
        _ name: String, _ accuracies: [Arm: Double], at only: Double? = nil, residual: Double = 1e-12,
        part: (Arm) -> Double = { _ in 0 }
    ) -> PrecroppedNetwork {
        var runs: [PrecroppedNetwork.Run] = []
        for budget in PrecroppingMeasurement.budgets {
            for seed in [1, 2] as [UInt64] {
                for arm in Arm.allCases {
                    // Good at both budgets: the programme half a point and a bit above one factor.
                    let usual = [.synexpCrop, .layersCrop, .bothCrop].contains(arm) ? 0.606 : 0.6
                    let own = only == nil || only == budget ? accuracies[arm] : nil
                    runs.append(
                        .init(
                            arm: arm, budget: budget, seed: seed, accuracy: (own ?? usual) + (seed == 1 ? 0.01 : -0.01),
                            parameterPart: budget + part(arm), multiplicationPart: 0.5))
                }
            }
        }
        return PrecroppedNetwork(
            name: name, seeds: [1, 2], denseAccuracies: [0.7, 0.7], runs: runs, residuals: [1e-12, residual])
    }

    private func verdict(_ id: String, _ networks: PrecroppedNetwork...) -> Claim.Verdict? {
        PrecroppingMeasurement(networks).claims.first { $0.id == id }?.verdict
    }

    /// Each claim is judged on both networks at both budgets: one that is broken anywhere does not hold.
    @Test(arguments: [
        ("places-do-not-matter", PrecroppedNetwork.Arm.shuffled, 0.585), ("places-do-not-matter", .shuffled, 0.615),
        ("channels-do-as-well", .synflowCrop, 0.584), ("programme-beats-one-factor", .synexpCrop, 0.596),
        ("no-worse-than-single-weights", .snip, 0.622), ("two-steps-beat-one-factor", .layersCrop, 0.596),
        ("better-at-equal-cost", .bothCrop, 0.596),
    ])
    func aBreachOnEitherNetworkTurnsTheVerdict(id: String, arm: PrecroppedNetwork.Arm, accuracy: Double) {
        let good = network("chain", [:])
        #expect(verdict(id, good, network("residual", [:])) == .holds)
        for budget in PrecroppingMeasurement.budgets {
            let broken = network("residual", [arm: accuracy], at: budget)
            #expect(verdict(id, good, broken) == .doesNotHold && verdict(id, broken, good) == .doesNotHold)
        }
        // A network without the arm was not measured.
        var bare = network("residual", [:])
        bare.runs.removeAll { $0.arm == arm }
        #expect(verdict(id, good, bare) == .doesNotHold)
    }

    /// The programme has to be ahead at the smallest budget alone.
    @Test func theProgrammeMustLeadAtTheSmallestBudget() {
        let id = "programme-beats-one-factor"
        #expect(verdict(id, network("chain", [.synexpCrop: 0.598], at: 0.3)) == .holds)
        #expect(verdict(id, network("chain", [.synexpCrop: 0.604], at: 0.1)) == .doesNotHold)
        let remark = PrecroppingMeasurement([network("chain", [.residualCrop: 0.62])]).claims
            .first { $0.id == "two-steps-beat-one-factor" }?.remark
        #expect(remark?.contains("SynExp − uniform: 2, 2 (chain) points") == true, "\(remark ?? "")")
    }

    @Test func budgetsAndConditionsAreJudgedOnEachNetwork() {
        let good = network("chain", [:])
        #expect(verdict("exact", good) == .holds)
        #expect(verdict("exact", good, network("residual", [:], residual: 1e-6)) == .doesNotHold)
        #expect(
            verdict("exact", good, network("residual", [:]) { $0 == .erkCrop ? 0.001 : 0 }) == .doesNotHold)
        // Masks and the trained network's channels are not the programme's.
        #expect(verdict("exact", good, network("residual", [:]) { $0.rawValue.hasSuffix("crop") ? 0 : 0.1 }) == .holds)
    }

    @Test func timesAndLargeImagesAreNotMeasured() {
        let claims = PrecroppingMeasurement([network("chain", [:])]).claims
        #expect(
            claims.filter { $0.verdict == .notMeasured }.map(\.id) == [
                "faster-training", "allocation-time", "imagenet",
            ])
        // Other methods' densities are said beside the claim.
        let remark = claims.first { $0.id == "channels-do-as-well" }?.remark ?? ""
        for source in ["SNIP", "GraSP", "ERK"] { #expect(remark.contains("\(source): 0, 0 (chain)"), "\(remark)") }
    }

    @Test func aTinyRunIsReported() throws {
        let folder = try SmallImageFolder()
        var setting = ExperimentSetting(
            languageModel: { throw CoppiceError(.internal, "no language model is asked for") }, dataFolder: folder.path,
            scale: 0.01)
        setting.seedCount = 1
        let report = try PrecroppingExperiment().run(setting, progress: SilentProgress())
        #expect(report.claims.first { $0.id == "exact" }?.verdict == .holds)
        #expect(report.tables.count == 4 && report.facts.map(\.name).contains("resnet14-projected × 0.5"))
        let networks = try #require(report.json["data"]?["networks"]?.arrayValue)
        #expect(networks.compactMap { $0["network"]?.stringValue } == ["vgg11-bn", "resnet14-projected"])
        for network in networks {
            let runs = try #require(network["runs"]?.arrayValue)
            let isResidual = network["network"]?.stringValue == "resnet14-projected"
            let arms = Arm.allCases.filter { isResidual || $0 != .residualCrop }
            #expect(runs.count == 2 * arms.count)
            func values(_ arm: Arm, _ field: String) -> [Double] {
                runs.filter { $0["arm"]?.stringValue == arm.rawValue }.compactMap { $0[field]?.doubleValue }
            }
            // A mask that is shuffled in its layers leaves hardly a filter empty; synaptic flow leaves whole filters.
            let (flow, shuffled) = (values(.synflow, "filters_in_use"), values(.shuffled, "filters_in_use"))
            #expect(flow.count == 2 && shuffled.count == 2 && (flow + shuffled).allSatisfy { $0 > 0 && $0 <= 1 })
            if network["network"]?.stringValue == "vgg11-bn" { #expect(zip(flow, shuffled).allSatisfy { $0 < $1 }) }
            #expect(values(.synexpCrop, "filters_in_use") == [1, 1])
            // Masks keep what the budget says, norms and biases counted; narrower networks no more than that.
            let weight = 1 / Double(try #require(network["parameters"]?.intValue))
            for arm in arms {
                for (part, budget) in zip(values(arm, "parameters"), PrecroppingMeasurement.budgets) {
                    #expect(part <= budget + 2 * weight, "\(arm)")
                    // Where multiplications are few, parameters may be left over.
                    #expect(arm == .bothCrop || part > 0.7 * budget, "\(arm)")
                    if [.synflow, .shuffled, .snip, .grasp, .erk].contains(arm) { #expect(part > budget - 2 * weight) }
                }
                let multiplications = values(arm, "multiplications")
                #expect(multiplications.count == 2 && multiplications.allSatisfy { $0 > 0 && $0 <= 1 }, "\(arm)")
            }
        }
        #expect(report.illustrations.map(\.id) == ["accuracy", "loss-vgg11-bn", "loss-resnet14-projected"])
        let losses = try #require(report.illustrations.last?.figure as? LineChart)
        #expect(losses.series.map(\.name).prefix(2) == ["dense", "synflow"] && losses.series.count == 7)
        setting.dataFolder = nil
        #expect(throws: CoppiceError.self) { try PrecroppingExperiment().run(setting, progress: SilentProgress()) }
    }
}
