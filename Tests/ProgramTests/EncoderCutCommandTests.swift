import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

/// `prune-blocks` and `analyze curves` of an encoder that fills gaps.
@Suite struct EncoderCutCommandTests {
    private let folder = TemporaryFolder()
    private let encoder =
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().path
        + "/Fixtures/encoders/bert-published"

    private func text() throws -> String {
        try folder.file(
            "text.txt", String(repeating: "The quick brown fox didn't jump and the cafés, a fox: ", count: 40))
    }

    @Test func layersAreRemoved() throws {
        let (text, output) = (try text(), folder.path + "/shallow")
        let arguments = [
            "prune-blocks", encoder, "--calibration", text, "--evaluate", text, "--windows", "4", "--length", "16",
        ]
        let run = try Program.run(arguments: arguments + ["--count", "1", "--output", output, "--json"])
        #expect(run.status == 0, "\(run.errors)")
        let json = try run.json()
        #expect(json["layers_before"]?.intValue == 2 && json["layers_after"]?.intValue == 1)
        #expect(json["criterion"]?.stringValue == "kl")
        let removed = try #require(json["removed"]?[0]?.stringValue)
        let scores = try #require(json["blocks"]?.arrayValue)
        #expect(scores.map { $0["name"]?.stringValue } == ["bert.encoder.layer.0", "bert.encoder.layer.1"])
        #expect(scores.first { $0["removed"]?.boolValue == true }?["name"]?.stringValue == removed)
        for (model, key) in [(encoder, "perplexity_before"), (output, "perplexity_after")] {
            let found = try Program.run(arguments: ["evaluate", model, "--text", text, "--json"]).json()
            #expect(found["perplexity"]?.doubleValue == json[key]?.doubleValue)
        }
        #expect(try EncoderCheckpoint.open(output).configuration.layerCount == 1)
        let quick = try Program.run(arguments: [
            "prune-blocks", encoder, "--criterion", "l1", "--flops", "60%", "--skip-evaluation",
        ])
        #expect(quick.status == 0 && quick.output.contains("2 layers → 1: "), "\(quick.errors)")
        func fails(_ status: Int32, _ expected: String, _ more: String...) throws {
            let run = try Program.run(arguments: arguments + more)
            #expect(run.status == status && run.errors.contains(expected), "\(more): \(run.status) \(run.errors)")
        }
        try fails(64, "expected 1 to 1 of the 2 blocks", "--count", "2")
        try fails(64, "layers of encoders go as a whole", "--count", "1", "--blocks", "mlp")
        try fails(64, "--measure: is for vision networks and language models", "--count", "1", "--measure")
        try fails(64, "--data: is for vision networks", "--count", "1", "--data", folder.path)
        try fails(65, "flops: 1, expected at least", "--flops", "1")
    }

    @Test func curvesAreMeasuredOnceAndShareAnySparsity() throws {
        let (text, curves) = (try text(), folder.path + "/curves.json")
        let run = try Program.run(arguments: [
            "analyze", "curves", encoder, "--text", text, "--output", curves, "--method", "wanda", "--length", "16",
            "--samples", "2", "--grid", "4", "--json",
        ])
        #expect(run.status == 0, "\(run.errors)")
        #expect(try run.json()["layers"]?.intValue == 12 && run.json()["samples"]?.intValue == 2)
        let plan = try Program.run(arguments: ["analyze", "allocate", curves, "--sparsity", "0.6", "--json"]).json()
        let recipe = try folder.file(
            "recipe.yaml",
            "calibration: { samples: 4, sequence_length: 16 }\nstages:\n"
                + "  - prune: { method: wanda, sparsity: 0.6, allocation: rate-distortion, curves: \(curves) }\n")
        let output = folder.path + "/out"
        let compressed = try Program.run(arguments: [
            "compress", encoder, "--recipe", recipe, "--output", output, "--calibration", text, "--skip-evaluation",
        ])
        #expect(compressed.status == 0, "\(compressed.errors)")
        let pruned = try EncoderCheckpoint.open(output)
        for layer in try #require(plan["layers"]?.arrayValue) {
            let tensor = try pruned.storedTensor(layer["name"]?.stringValue ?? "")
            #expect(tensor.count - tensor.zeroCount == layer["kept"]?.intValue)
        }
        let images = try Program.run(arguments: [
            "analyze", "curves", encoder, "--data", folder.path, "--output", curves,
        ])
        #expect(images.status == 64 && images.errors.contains("--data: is for vision networks"))
    }
}
