import CoppiceModels
import Foundation
import Testing

/// `convert` to the formats of other tools.
@Suite(.serialized) struct ConvertCommandTests {
    @Test func aCompressedModelIsWrittenForCompressedTensors() throws {
        let folder = TemporaryFolder()
        _ = try Program.run(
            "compress", "tales", "--recipe", Program.root.path + "/Recipes/int4-group32.yaml", "--output",
            folder.path + "/small", "--skip-evaluation", "--json")
        let run = try Program.run(
            "convert", folder.path + "/small", "--to", "compressed-tensors", "--output", folder.path + "/out", "--json")
        #expect(run.status == 0, "\(run.errors)")
        let tensors = try #require(
            try Program.run("inspect", folder.path + "/out", "--json").json()["tensors"]?.arrayValue)
        #expect(tensors.contains { $0["format"]?.stringValue == "int4-group32" })
        func logits(_ model: String) throws -> JSON? {
            try Program.run("logits", model, "--ids", "9,8,7", "--json").json()["logits"]
        }
        #expect(try logits(folder.path + "/out") == logits(folder.path + "/small"))
        for file in ["config.json", "model.safetensors", "tokenizer.json"] {
            #expect(FileManager.default.fileExists(atPath: folder.path + "/out/" + file), "\(file)")
        }
    }

    /// A pruned vision network becomes one that PyTorch loads, and answers the same.
    @Test func aCompressedVisionNetworkBecomesDense() throws {
        let folder = TemporaryFolder()
        let (small, dense) = (folder.path + "/small", folder.path + "/dense")
        let recipe = try folder.file("r.yaml", "stages: [{ prune: { method: magnitude, sparsity: 0.8 } }]\n")
        _ = try Program.json("compress", VisionStock.shared.model, "--recipe", recipe, "--output", small)
        #expect(try Program.json("convert", small, "--output", dense)["tensors"]?.intValue == 6)
        let tensors = try #require(try Program.json("inspect", dense)["tensors"]?.arrayValue)
        #expect(tensors.allSatisfy { $0["format"]?.stringValue == "f32" })
        #expect(tensors.contains { abs(($0["sparsity"]?.doubleValue ?? 0) - 0.8) < 0.01 })
        let results = try [small, dense].map {
            try Program.json("evaluate", $0, "--images", VisionStock.shared.images)["loss"]?.doubleValue
        }
        #expect(results[0] != nil && results[0] == results[1])
        try Program.expectFailure(
            64, "gguf is for language models; vision networks become safetensors",
            ["convert", small, "--to", "gguf", "--output", folder.path + "/x.gguf"])
    }

    @Test func whatCannotBeWrittenIsSaidInOneLine() throws {
        let folder = TemporaryFolder()
        let output = folder.path + "/out"
        try Program.expectFailure(64, "compressed-tensors", ["convert", "tales", "--to", "onnx", "--output", output])
        try Program.expectFailure(
            65, "has only dense weights, expected compressed ones; convert to safetensors",
            ["convert", "tales", "--to", "compressed-tensors", "--output", output])
        #expect(!FileManager.default.fileExists(atPath: output))
    }
}
