import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

/// `prune-blocks` of language models, and running what it writes.
@Suite(.serialized) struct DecoderBlockCommandTests {
    private static let tales = Program.root.path + "/Sources/coppice/Resources/tales"
    private let few = ["--windows", "2", "--length", "16"]

    private func run(_ arguments: [String]) throws -> JSON {
        let run = try Program.run(arguments: arguments + ["--json"])
        #expect(run.status == 0, "\(arguments): \(run.errors)")
        return try run.json()
    }

    @Test func layersGoAndTheModelWrites() throws {
        let folder = TemporaryFolder()
        let output = folder.path + "/small"
        let json = try run(["prune-blocks", "tales", "--count", "1", "--output", output] + few)
        #expect(json["criterion"]?.stringValue == "kl")
        let removed = try #require(json["removed"]?[0]?.stringValue)
        #expect(json["blocks"]?.arrayValue?.count == 6 && json["layers_after"]?.intValue == 5)
        let before = try #require(json["perplexity_before"]?.doubleValue)
        let after = try #require(json["perplexity_after"]?.doubleValue)
        #expect(abs(before - 30.57) < 0.01 && after > before)
        // What was measured is what was written.
        let measured = try run(["evaluate", output])["perplexity"]?.doubleValue ?? 0
        #expect(abs(measured / after - 1) < 1e-9)
        let (whole, small) = (try Checkpoint.open(Self.tales), try Checkpoint.open(output))
        #expect(small.configuration.layerCount == 5 && small.configuration.hasAllSubLayers)
        #expect(
            json["parameters_after"]?.intValue
                == small.weightNames.reduce(0) {
                    $0 + (small.shape(of: $1) ?? []).reduce(1, *)
                })
        let layer = try #require(Int(removed.split(separator: ".")[2]))
        let last = "mlp.down_proj.weight"
        #expect(
            try small.tensor("model.layers.4." + last).converted(to: .f32).floats()
                == whole.tensor("model.layers.\(layer == 5 ? 4 : 5)." + last).converted(to: .f32).floats())
        let text = try run(["generate", output, "--prompt", "Once upon a time", "--max-tokens", "8", "--seed", "1"])
        #expect(text["text"]?.stringValue?.isEmpty == false)
    }

    @Test(arguments: ["attention", "mlp"]) func subLayersGoAndTheModelWrites(kind: String) throws {
        let folder = TemporaryFolder()
        let output = folder.path + "/small"
        let json = try run(
            ["prune-blocks", "tales", "--blocks", kind, "--criterion", "snip", "--count", "2", "--output", output]
                + few)
        #expect(json["removed"]?.arrayValue?.count == 2 && json["layers_after"]?.intValue == 6)
        let after = try #require(json["perplexity_after"]?.doubleValue)
        #expect(abs((try run(["evaluate", output])["perplexity"]?.doubleValue ?? 0) / after - 1) < 1e-9)
        let text = try run(["generate", output, "--prompt", "Once upon a time", "--max-tokens", "8", "--seed", "1"])
        #expect(text["text"]?.stringValue?.isEmpty == false)
        try Program.expectFailure(
            65, "sub-layer, which GGUF cannot say",
            ["convert", output, "--to", "gguf", "--output", folder.path + "/small.gguf"])
        let inspected = try Program.run("inspect", output)
        #expect(inspected.output.contains("without the \(kind) of layers "))
        // Layers of what is left can go too.
        let further = try run(
            [
                "prune-blocks", output, "--criterion", "l1", "--count", "1", "--skip-evaluation", "--output",
                folder.path + "/tiny",
            ])
        #expect(further["perplexity_after"]?.isNull == true && further["layers_after"]?.intValue == 5)
        #expect(try run(["evaluate", folder.path + "/tiny"])["perplexity"]?.doubleValue ?? 0 > after)
    }

    /// Judged by one model's weights, left with another's.
    @Test func blocksAreRewound() throws {
        let folder = TemporaryFolder()
        let (run, output) = (folder.path + "/long.run", folder.path + "/small")
        let checkpoint = try Checkpoint.open(Self.tales)
        try FileManager.default.createDirectory(atPath: run + "/latest", withIntermediateDirectories: true)
        try "{}".write(toFile: run + "/run.json", atomically: true, encoding: .utf8)
        try #"{"version": 1, "state": {"step": 70}}"#.write(
            toFile: run + "/latest/state.json", atomically: true, encoding: .utf8)
        try SafetensorsWriter.write(
            checkpoint.weightNames.map { ($0, try checkpoint.tensor($0).converted(to: .f32) * 0.5) },
            to: run + "/latest/state.safetensors")
        let command = ["prune-blocks", "tales", "--criterion", "l1", "--count", "1", "--skip-evaluation"]
        let json = try self.run(command + ["--rewind", run, "--output", output])
        #expect(json["rewound_step"]?.intValue == 70)
        let removed = try #require(json["removed"]?[0]?.stringValue)
        let removal = try DecoderBlockRemoval(of: [removed], from: checkpoint.configuration)
        let small = try Checkpoint.open(output)
        for name in small.weightNames {
            let own = try small.tensor(name)
            #expect(own.dataType == .bf16)
            let original = try checkpoint.tensor(removal.originalName(name)).converted(to: .f32) * 0.5
            #expect(own.converted(to: .f32).floats() == original.floats(), "\(name)")
        }
        // A stored model of the same shape, which the smaller one is not.
        let again = try self.run(command + ["--rewind", "tales", "--output", output])
        #expect(again["rewound_step"]?.isNull == true && again["rewound_to"]?.stringValue == "tales")
        try Program.expectFailure(65, "small: configuration: is another one", command + ["--rewind", output])
    }

    @Test func speedIsMeasured() throws {
        let base = ["prune-blocks", "tales", "--criterion", "l1", "--skip-evaluation", "--length", "16"]
        let json = try run(base + ["--latency", "100000", "--measure", "--watts", "20"])
        #expect(json["removed"]?.arrayValue?.isEmpty == true)
        for name in ["training_step_after", "prompt_before", "token_after"] {
            let seconds = try #require(json["seconds"]?[name]?.doubleValue)
            let joules = try #require(json["joules"]?[name]?.doubleValue)
            #expect(seconds > 0 && abs(joules - 20 * seconds) < 1e-9)
        }
        let one = try #require(try run(base + ["--count", "1", "--measure"])["bytes"])
        for name in ["training_step", "weights_per_token", "cache_per_token"] {
            let (before, after) = (one[name + "_before"]?.intValue, one[name + "_after"]?.intValue)
            #expect(try #require(after) < #require(before), "\(name)")
        }
        try Program.expectFailure(65, "latency: 1e-06 ms, expected at least", base + ["--latency", "0.000001"])
    }

    @Test func mistakesAreSaidInOneLine() throws {
        let folder = TemporaryFolder()
        let base = ["prune-blocks", "tales", "--criterion", "l1"]
        try Program.expectFailure(64, "expected 1 to 5 of the 6 blocks", base + ["--count", "6"])
        try Program.expectFailure(64, "--blocks", base + ["--blocks", "heads", "--count", "1"])
        try Program.expectFailure(64, "--data: is for vision networks", base + ["--count", "1", "--data", folder.path])
        try Program.expectFailure(64, "--windows: is not looked at", base + ["--count", "1", "--windows", "3"])
        try Program.expectFailure(
            64, "--blocks: is for language models", ["prune-blocks", "resnet20", "--blocks", "mlp", "--count", "1"])
        try Program.expectFailure(65, "flops: 1000, expected at least", base + ["--flops", "1k"])
        let snip = ["prune-blocks", "tales", "--criterion", "snip", "--count", "1"]
        try Program.expectFailure(
            64, "--length: 5000 is longer than the model's context of 512", snip + ["--length", "5000"])
        let text = try folder.file("short.txt", "Once")
        try Program.expectFailure(65, "expected at least one window of 128 (--length)", snip + ["--calibration", text])
        try Program.expectFailure(66, "none.txt: no such file", snip + ["--calibration", folder.path + "/none.txt"])
        try Program.expectFailure(
            66, "none: no such file or folder", base + ["--count", "1", "--rewind", folder.path + "/none"])
    }
}
