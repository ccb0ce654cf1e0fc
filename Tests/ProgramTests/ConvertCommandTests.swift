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
