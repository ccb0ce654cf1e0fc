import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

/// `coppice analyze curves` and `analyze allocate` as their users run them.
@Suite(.serialized) struct CurveCommandTests {
    private let folder = TemporaryFolder()

    private func curves(_ network: String) throws -> String {
        let path = folder.path + "/curves.json"
        let found = try Program.json(
            "analyze", "curves", network, "--calibration", "gaussian", "--grid", "6", "--samples", "8", "--output", path
        )
        #expect(found["layers"]?.intValue == 3 && found["weights"]?.intValue == 23_920)
        #expect(found["samples"]?.intValue == 8 && (found["points"]?.intValue ?? 0) > 3 * 6)
        return path
    }

    @Test func curvesAreMeasuredOnceAndAllocateManyTimes() throws {
        let network = try folder.lenet("dense")
        let path = try curves(network)
        let csv = folder.path + "/rates.csv"
        for options in [["--exact"], ["--buckets", "100"], ["--lagrangian"], []] {
            let run = try Program.run(
                arguments: ["analyze", "allocate", path, "--sparsity", "0.9", "--json", "--csv", csv] + options)
            let found = try run.json()
            #expect(found["kept"]?.intValue == 2_392)
            #expect(abs((found["removed"]?.doubleValue ?? 0) - 0.9) < 1e-9)
            let (distortion, bound) = (found["distortion"]?.doubleValue, found["lower_bound"]?.doubleValue)
            #expect(try #require(bound) <= #require(distortion) && (found["gap"]?.doubleValue ?? -1) >= 0)
            #expect(found["solver"]?.stringValue == String(options.first?.dropFirst(2) ?? "buckets"))
        }
        #expect(try String(contentsOfFile: csv, encoding: .utf8).hasPrefix("layer,weights,kept,rate,distortion\nfc1."))
        let text = try Program.run("analyze", "allocate", path, "--sparsity", "0.8", "--of", "multiplications")
        #expect(text.output.contains("multiplications") && text.output.contains("80.00 %"), "\(text.output)")
        #expect(text.output.contains("above the best split"), "\(text.output)")

        let recipe = try folder.file(
            "r.yaml",
            "stages: [{ prune: { method: magnitude, sparsity: 0.5, allocation: rate-distortion, curves: \"\(path)\" } }]"
        )
        let output = folder.path + "/small"
        let swept = try Program.json(
            "compress", network, "--recipe", recipe, "--output", output, "--sparsity", "0.5,0.9")
        #expect(swept["points"]?.arrayValue?.count == 2, "\(swept)")
        let other = try folder.lenet("other", seed: 2)
        try Program.expectFailure(
            65, "curves.json: model: the curves are of other weights, biases or statistics than those of",
            ["compress", other, "--recipe", recipe, "--output", folder.path + "/none"])
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/none"))
    }

    @Test func mistakesAreNamed() throws {
        let network = try folder.lenet("dense")
        let output = folder.path + "/none.json"
        func fails(_ status: Int32, _ text: String, _ arguments: String...) throws {
            try Program.expectFailure(status, text, ["analyze"] + arguments)
            #expect(!FileManager.default.fileExists(atPath: output))
        }
        try fails(64, "--data: is missing", "curves", network, "--output", output)
        try fails(64, "--text: is for language models", "curves", network, "--text", "t", "--output", output)
        try fails(64, "--data: is for vision networks", "curves", "tales", "--data", "d", "--output", output)
        try fails(64, "method: bip scores no single weights", "curves", "tales", "--method", "bip", "--output", output)
        try fails(64, "--grid: expected 1 to 1000", "curves", network, "--grid", "0", "--output", output)
        try fails(73, "/nowhere/", "curves", network, "--calibration", "gaussian", "--output", "/nowhere/c.json")
        try fails(64, "--sparsity: expected a number", "allocate", "c.json", "--sparsity", "1")
        try fails(64, "at most one of", "allocate", "c.json", "--sparsity", "0.5", "--exact", "--lagrangian")
        try fails(66, "/nowhere.json", "allocate", "/nowhere.json", "--sparsity", "0.5")
        let path = try curves(network)
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let broken = try folder.file("broken.json", String(text.prefix(text.count / 2)))
        try fails(65, "broken.json", "allocate", broken, "--sparsity", "0.5")
        try fails(64, "below the", "allocate", path, "--sparsity", "0.99999")
    }
}
