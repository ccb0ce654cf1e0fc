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
        // Without the trained residual network that claim must not come out either way.
        #expect(report.claims.first { $0.id == "complexity-is-not-required" }?.verdict == .notMeasured)
        #expect(report.count(.notMeasured) == 1)
        let collapse = try #require(report.claims.first { $0.id == "layer-collapse" })
        // The structure of collapse needs no training: a layer of weights that are 50 times smaller is emptied.
        #expect(collapse.comparisons[0].holds && collapse.comparisons[1].holds)
        #expect(report.tables.count == 2)
        // Without the residual network: accuracy, layers, and loss of every way through its training.
        #expect(report.illustrations.map(\.id) == ["accuracy", "layers", "loss"])
        let losses = try #require(report.illustrations.last?.figure as? LineChart)
        #expect(losses.series.count == 7 && losses.series.allSatisfy { !$0.points.isEmpty })
        // Each seed has random masks of its own.
        let outcomes = report.json["data"]?["perceptron"]?.arrayValue ?? []
        let random = outcomes.filter { $0["arm"]?.stringValue == "random" && $0["sparsity"]?.doubleValue == 0.9 }
        #expect(random.count == 2 && random[0]["kept"] != random[1]["kept"])
        let again = try GlobalMagnitude().run(data.setting(), progress: SilentProgress())
        #expect(again.json.serialized() == report.json.serialized())
    }

    @Test func aTinyRunOfRateDistortionMeasuresEachClaim() throws {
        let data = try SmallData()
        let report = try RateDistortion().run(data.setting(), progress: SilentProgress())
        #expect(report.claims.first { $0.id == "deeper-networks" }?.verdict == .notMeasured)
        #expect(report.count(.notMeasured) == 1)
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
