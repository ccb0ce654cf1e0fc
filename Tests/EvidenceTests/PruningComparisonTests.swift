import CoppiceEvidence
import CoppiceModels
import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

/// A data folder with a small set in the place of Fashion-MNIST.
private final class SmallData {
    let path = FileManager.default.temporaryDirectory.path + "/allocations-\(UUID().uuidString)"

    init() throws {
        let folder = path + "/fashion-mnist"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        for (prefix, count, seed) in [("train", 400, 1), ("t10k", 100, 2)] as [(String, Int, UInt64)] {
            let set = ImageDataSet.shapes(count, seed: seed)
            let pixels = set.pixels.slice(axis: 1, 0..<1).contiguous().withElements(UInt8.self) { Array($0) }
            try write("\(folder)/\(prefix)-images-idx3-ubyte", shape: [count, set.rows, set.columns], pixels)
            try write("\(folder)/\(prefix)-labels-idx1-ubyte", shape: [count], set.labels.map { UInt8($0) })
        }
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    private func write(_ file: String, shape: [Int], _ bytes: [UInt8]) throws {
        var header: [UInt8] = [0, 0, 8, UInt8(shape.count)]
        for extent in shape { header += (0..<4).reversed().map { UInt8(extent >> (8 * $0) & 255) } }
        try Data(header + bytes).write(to: URL(fileURLWithPath: file))
    }

    func setting(seed: UInt64 = 7) -> ExperimentSetting {
        var setting = ExperimentSetting(
            languageModel: { throw CoppiceError(.internal, "no language model is asked for") }, dataFolder: path,
            scale: 0.01, seed: seed)
        setting.seedCount = 2
        return setting
    }
}

@Suite struct PruningComparisonTests {
    @Test func aTinyRunOfGlobalMagnitudeMeasuresEachClaim() throws {
        let data = try SmallData()
        let report = try GlobalMagnitude().run(data.setting(), progress: SilentProgress())
        #expect(report.identifier == "global-mp")
        let ids = report.claims.map(\.id)
        #expect(Set(ids).count == ids.count)
        // Without the trained residual network its claims must not come out either way.
        let open = report.claims.filter { $0.verdict == .notMeasured }.map(\.id)
        #expect(open == ["complexity-is-not-required", "multiplications", "gradual-multiplications"])
        #expect(report.claims.allSatisfy { $0.comparisons.allSatisfy(\.value.isFinite) })
        let collapse = try #require(report.claims.first { $0.id == "layer-collapse" })
        // The structure of collapse needs no training: a layer of weights that are 50 times smaller is emptied.
        #expect(collapse.comparisons[0].holds && collapse.comparisons[1].holds)
        #expect(report.tables.count == 3)
        // Without the residual network: accuracies, layers, and loss of every way through its training.
        #expect(report.illustrations.map(\.id) == ["accuracy", "methods", "layers", "loss", "methods-loss"])
        let losses = try #require(report.illustrations[3].figure as? LineChart)
        #expect(losses.series.count == 7 && losses.series.allSatisfy { !$0.points.isEmpty })
        // One step is an epoch here: 3 after pruning, 8 in all for what is sparse from the start.
        #expect(losses.series.allSatisfy { $0.points.last?.x == 3 })
        let others = try #require(report.illustrations[4].figure as? LineChart).series
        #expect(others.map(\.name).last == "IMP with rewinding" && others.count == 7)
        for series in others {
            #expect(series.points.last?.x == (series.name == "WoodFisher" ? 3 : 8), "\(series.name)")
        }
        // Both start from the same random masks and move connections in their own ways.
        let moving = others.filter { ["SET", "RigL"].contains($0.name) }.map { $0.points.map(\.y) }
        #expect(moving.count == 2 && moving[0].prefix(2) == moving[1].prefix(2) && moving[0] != moving[1])
        // Each seed has random masks of its own.
        let outcomes = report.json["data"]?["perceptron"]?.arrayValue ?? []
        let random = outcomes.filter { $0["arm"]?.stringValue == "random" && $0["sparsity"]?.doubleValue == 0.9 }
        #expect(random.count == 2 && random[0]["kept"] != random[1]["kept"])
        // Exact counts: 5 % of 266,200 weights, however they were chosen; densities by layer are rounded.
        for arm in ["global", "WoodFisher", "SNIP", "GraSP", "SynFlow", "SET", "RigL", "IMP with rewinding"] {
            let own = outcomes.first { $0["arm"]?.stringValue == arm && $0["sparsity"]?.doubleValue == 0.95 }
            let kept = (own?["kept"]?.arrayValue ?? []).compactMap(\.intValue).reduce(0, +)
            #expect(abs(kept - 13_310) <= 3, "\(arm) keeps \(kept)")
        }
        let again = try GlobalMagnitude().run(data.setting(), progress: SilentProgress())
        #expect(again.json.serialized() == report.json.serialized())
    }

    @Test func aTinyRunOfRateDistortionMeasuresEachClaim() throws {
        let data = try SmallData()
        let report = try RateDistortion().run(data.setting(), progress: SilentProgress())
        #expect(report.claims.first { $0.id == "deeper-networks" }?.verdict == .notMeasured)
        #expect(report.claims.first { $0.id == "deeper-additivity" }?.verdict == .notMeasured)
        #expect(report.count(.notMeasured) == 2)
        // Exactness does not depend on how well the network is trained.
        #expect(report.claims.first { $0.id == "the-programme-is-exact" }?.verdict == .holds)
        let additivity = try #require(report.claims.first { $0.id == "additivity" })
        #expect(additivity.comparisons.count == 6)
        #expect(additivity.comparisons.allSatisfy { $0.value.isFinite })
        #expect(report.illustrations.map(\.id) == ["curves", "additivity", "accuracy", "allocation", "loss"])
        let shares = try #require(report.illustrations[3].figure as? BarChart)
        #expect(shares.categories == ["fc1.weight", "fc2.weight", "fc3.weight"] && shares.series.count == 5)
        // Equal shares are equal.
        let even = try #require(shares.series.first { $0.name == "uniform" })
        #expect(even.values.allSatisfy { abs($0 - 0.1) < 1e-3 })
    }

    @Test func withoutDataTheMessageSaysWhatIsNeeded() {
        var setting = ExperimentSetting(languageModel: { throw CoppiceError(.internal, "none") })
        setting.dataFolder = nil
        for experiment in [GlobalMagnitude(), RateDistortion()] as [any Experiment] {
            #expect(throws: CoppiceError.self) { try experiment.run(setting, progress: SilentProgress()) }
        }
    }
}
