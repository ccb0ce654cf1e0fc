import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

/// Commands on what is left of a model: sparsity-index and masks.
@Suite(.serialized) struct MaskCommandTests {
    private let folder = TemporaryFolder()

    @Test func sparsityIndexOfAnyModel() throws {
        let file = folder.path + "/index.csv"
        let tales = try Program.json("analyze", "sparsity-index", "tales", "--gini", "--csv", file)
        #expect(tales["weights"]?.arrayValue?.count == 1 + 6 * 7)
        let total = try #require(tales["total"]?["index"]?.doubleValue)
        // Normal numbers have 0.153; trained weights are sparser, and far from the end of the scale.
        #expect(total > 0.12 && total < 0.4)
        #expect(tales["model"]?.stringValue == "tales" && tales["weights"]?[0]?["gini"]?.doubleValue != nil)
        let lines = try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n")
        #expect(lines.count == 1 + 43 && lines[0] == "weight,neuron,count,zeros,index,least_retained,gini")
        let network = try folder.lenet("dense")
        let neurons = try Program.json(
            "analyze", "sparsity-index", network, "--p", "1", "--q", "2", "--scope", "neuron")
        #expect(neurons["weights"]?[0]?["neurons"]?.arrayValue?.count == 30)
        // Of two orders of the same weights the larger exponent asks for fewer of them.
        let gentle = try Program.json("analyze", "sparsity-index", network, "--scope", "global")
        let least = { (json: JSON) in json["total"]?["least_retained"]?.doubleValue ?? .nan }
        #expect(gentle["weights"]?.arrayValue?.isEmpty == true && least(neurons) < least(gentle))
        // A file of tensors of no network that is known: equal magnitudes in one, four of eight in the other.
        let path = folder.path + "/plain.safetensors"
        let half = Tensor((0..<8).map { $0 % 2 == 0 ? Float(3) : 0 }, shape: [2, 4])
        try SafetensorsWriter.write([("even", Tensor.ones([3, 3])), ("half", half)], to: path)
        let plain = try Program.json("analyze", "sparsity-index", path, "--count-zeros")
        let values = (plain["weights"]?.arrayValue ?? []).compactMap { $0["index"]?.doubleValue }
        #expect(values.count == 2 && abs(values[0]) < 1e-9 && abs(values[1] - 0.5) < 1e-9)
        let text = try Program.run("analyze", "sparsity-index", path)
        #expect(text.output.contains("half          4  50.0 %  0.0000    100.0 %"), "\(text.output)")
    }

    @Test func sparsityIndexNamesMistakes() throws {
        func fails(_ status: Int32, _ text: String, _ arguments: String...) throws {
            try Program.expectFailure(status, text, ["analyze", "sparsity-index"] + arguments)
        }
        try fails(64, "p, q: 2.0 and 1.0, expected 0 < p < q", "tales", "--p", "2")
        try fails(64, "p, q: 1.0 and 1.0", "tales", "--p", "1")
        try fails(64, "p, q: 0.0 and 1.0", "tales", "--p", "0")
        try fails(66, "/nowhere", "/nowhere.safetensors")
        let path = folder.path + "/nan.safetensors"
        let broken = Tensor([1, 2, 3, 4, .nan, 6], shape: [2, 3])
        try SafetensorsWriter.write([("fine", Tensor.ones([2, 2])), ("broken", broken)], to: path)
        for scope in ["tensor", "neuron", "global"] {
            try fails(65, "nan.safetensors: broken: element [1, 1] is NaN", path, "--scope", scope)
        }
    }

    @Test func masksAreTakenComparedAndApplied() throws {
        let (dense, mask, other) = (
            try folder.lenet("dense"), folder.path + "/a.safetensors", folder.path + "/b.safetensors"
        )
        let taken = try Program.json("mask", "extract", dense, "--sparsity", "0.9", "--output", mask)
        #expect(taken["kept"]?.intValue == taken["weights"]?.intValue.map { $0 - $0 * 9 / 10 })
        _ = try Program.json("mask", "extract", dense, "--sparsity", "0.5", "--scope", "layer", "--output", other)
        let shown = try Program.json("inspect", mask)
        #expect(shown["sparsity"] == taken["sparsity"] && shown["model_digest"] == taken["model_digest"])
        #expect(
            shown["matrices"]?.arrayValue?.map { $0["name"]?.stringValue } == [
                "fc1.weight", "fc2.weight", "fc3.weight",
            ])
        let drawn = try Program.run("inspect", mask)
        #expect(drawn.status == 0 && drawn.output.contains("fc1.weight") && drawn.output.contains("90.0 %"))
        let diff = try Program.json("mask", "diff", mask, other)
        #expect(diff["same_model"] == .bool(true) && diff["matrices"]?.arrayValue?.count == 3)
        // What is left of a tenth is among the larger half of nearly every layer.
        #expect(try #require(diff["overlap"]?.doubleValue) > 0.9)
        #expect(try #require(diff["jaccard"]?.doubleValue) < 0.25)
        let sparse = folder.path + "/sparse"
        let applied = try Program.json("mask", "apply", dense, mask, "--output", sparse)
        #expect(try #require(applied["bytes_after"]?.intValue) < (applied["bytes_before"]?.intValue ?? 0) / 4)
        // The sparse model has the mask of the dense one.
        let back = folder.path + "/back.safetensors"
        _ = try Program.json("mask", "extract", sparse, "--of", dense, "--output", back)
        let same = try Program.json("mask", "diff", mask, back)
        #expect(same["overlap"]?.doubleValue == 1 && same["jaccard"]?.doubleValue == 1)
        #expect(try Data(contentsOf: URL(fileURLWithPath: back)) == Data(contentsOf: URL(fileURLWithPath: mask)))
        let table = try Program.run("mask", "diff", mask, other)
        #expect(table.output.contains("overlap") && table.output.contains("\nall "), "\(table.output)")
        let inspected = try Program.json("inspect", sparse)
        let formats = (inspected["tensors"]?.arrayValue ?? []).compactMap { $0["format"]?.stringValue }
        #expect(formats.filter { $0 == "sparse-bitmask-f32" }.count == 2, "\(formats)")  // fc3 is too small
    }

    /// The masks that analyze sparsity writes are of the same form, and belong to the model.
    @Test func masksAtTheKneeAreApplied() throws {
        let (mask, output) = (folder.path + "/knee.safetensors", folder.path + "/knee")
        let run = try Program.run(
            "analyze", "sparsity", "tales", "--masks", mask, "--windows", "4", "--length", "32", "--grid",
            "0.3,0.6,0.8,0.9", "--no-refine", "--json")
        #expect(run.status == 0, "\(run.errors)")
        let applied = try Program.json("mask", "apply", "tales", mask, "--output", output, "--prefer", "size")
        let sparsity = try #require(applied["mask_sparsity"]?.doubleValue)
        let own = try Program.json(
            "mask", "extract", output, "--of", "tales", "--output", folder.path + "/own.safetensors")
        #expect(abs(try #require(own["sparsity"]?.doubleValue) - sparsity) < 1e-9)
        #expect(own["model_digest"]?.stringValue == (try run.json())["analysis"]?["model_digest"]?.stringValue)
        #expect(try Program.run("evaluate", output, "--context", "64").status == 0)
    }

    @Test func masksOfOthersAreRefused() throws {
        let (dense, other, mask) = (
            try folder.lenet("dense"), try folder.lenet("other", seed: 2), folder.path + "/a.safetensors"
        )
        _ = try Program.json("mask", "extract", dense, "--sparsity", "0.5", "--output", mask)
        let output = folder.path + "/out"
        func fails(_ status: Int32, _ text: String, _ arguments: String...) throws {
            try Program.expectFailure(status, text, ["mask"] + arguments)
            #expect(!FileManager.default.fileExists(atPath: output))
        }
        try fails(65, "is the mask of other weights than those of", "apply", other, mask, "--output", output)
        try fails(65, "fc1.weight: is no weight of", "apply", "tales", mask, "--output", output)
        try fails(65, "is no mask file", "apply", dense, dense + "/model.safetensors", "--output", output)
        try fails(66, "/nowhere", "apply", dense, "/nowhere.safetensors", "--output", output)
        try fails(65, "is no mask file", "diff", mask, dense + "/model.safetensors")
        try fails(64, "--sparsity", "extract", dense, "--sparsity", "1", "--output", output)
        try fails(64, "--scope", "extract", dense, "--scope", "layer", "--output", output)
        try fails(65, "\"fd1\" matches no matrix", "extract", dense, "--ignore", "fd1", "--output", output)
        try fails(65, "is no weight of", "extract", dense, "--of", "tales", "--output", output)
        try fails(73, "/proc", "extract", dense, "--output", "/proc/mask.safetensors")
        let warned = try Program.run("mask", "extract", dense, "--output", mask)
        #expect(warned.status == 0 && warned.output.contains("has no zeros there"))
    }
}
