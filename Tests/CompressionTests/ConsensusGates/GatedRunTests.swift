import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

/// `coppice train` with gates, from a recipe to the smaller network's folder.
@Suite(.serialized) struct GatedRunTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        try FileManager.default.createDirectory(
            atPath: folder.path + "/figures", withIntermediateDirectories: true)
        for (prefix, count, seed) in [("train", 200, UInt64(1)), ("t10k", 60, 2)] {
            let set = ImageDataSet.shapes(count, size: 12, seed: seed)
            func write(_ name: String, _ extents: [Int], _ bytes: [UInt8]) throws {
                let header: [UInt8] = extents.flatMap { [0, 0, UInt8($0 >> 8), UInt8($0 & 255)] }
                try Data([0, 0, 8, UInt8(extents.count)] + header + bytes).write(
                    to: URL(fileURLWithPath: "\(folder.path)/figures/\(prefix)-\(name)"))
            }
            try write("images-idx3-ubyte", [count, 12, 12], set.pixels.withElements(UInt8.self) { Array($0) })
            try write("labels-idx1-ubyte", [count], set.labels.map { UInt8($0) })
        }
    }

    private func run(
        _ output: String, _ gates: String, rest: String = "", resumes: Bool = false
    ) throws -> ClassificationRun {
        let recipe = try ClassificationRecipe(
            yaml: """
                seed: 3
                model: { architecture: resnet14, width_multiplier: 0.25 }
                images: { directory: figures, normalization: computed }
                optimizer: { learning_rate: 0.1, weight_decay: 5e-4 }
                training: { batch_size: 20, epochs: 3, log_every: 2 }
                gates: { \(gates) }
                \(rest)
                """, source: "gates.yaml")
        return ClassificationRun(
            recipe: recipe,
            options: .init(output: folder.path + "/" + output, resumes: resumes, dataFolder: folder.path),
            gating: ConsensusTraining.of)
    }

    /// Asks for the end of a run when it has come to a step.
    private struct StopAt: ProgressReporter {
        let step: Int
        let interruption: TrainingInterruption
        func begin(_ title: String, total: Int, completed: Int, unit: String) {}
        func advance(to completed: Int, note: String) { if completed == step { interruption.request() } }
        func report(_ line: String) {}
        func end(_ summary: String) {}
    }

    @Test(arguments: [
        "mode: layer", "mode: layer, estimator: gumbel, lazy: true", "mode: channel, flop_weighted: true",
    ])
    func endsInASmallerPlainNetwork(gates: String) throws {
        let result = try run("out", gates + ", max_disagreement: 0.25").execute()
        let summary = try #require(result.gates)
        #expect(result.outcome == .completed && summary.difference <= 1e-5)
        let checkpoint = try VisionCheckpoint.open(folder.path + "/out")
        let cost = try NetworkCost(
            of: checkpoint.network(), example: .zeros([1] + checkpoint.architecture.inputShape))
        #expect(cost == summary.after && result.parameters == cost.parameters)
        #expect(checkpoint.architecture.name == result.architecture)
        #expect(!checkpoint.tensors.names.contains { $0.hasPrefix("gates.") })
        // What was written classifies the test images as was reported.
        var images = try ImageDataSet.open(folder.path + "/figures", split: .test)
        images.normalization = try #require(checkpoint.normalization)
        #expect(Classification.measure(try checkpoint.network(), on: images) == result.test)
        let lines = TrainingLog.read(result.runFolder + "/log.jsonl").filter { $0.event == "progress" }
        #expect(lines.allSatisfy { $0.gates?.count == summary.report.blocks.count })
        #expect(lines.allSatisfy { ($0.expectedMultiplications ?? 0) > 0 && $0.gateReopenings != nil })
        #expect(result.json["gates"]?["kept"]?.intValue == summary.keptCount)
        #expect(result.description.contains("kept") && result.state.best == nil)
        let card = try String(contentsOfFile: folder.path + "/out/README.md", encoding: .utf8)
        #expect(card.contains("## Gates"))
    }

    @Test(arguments: ["mode: layer, estimator: gumbel", "mode: channel"])
    func resumesBitForBit(gates: String) throws {
        let gates = gates + ", max_disagreement: 0.25"
        let whole = try run("whole", gates).execute()
        let interruption = TrainingInterruption()
        let part = try run("parts", gates).execute(
            progress: StopAt(step: 5, interruption: interruption), interruption: interruption)
        #expect(part.outcome == .interrupted && part.gates == nil)
        let parts = try run("parts", gates, resumes: true).execute()
        #expect(parts.gates == whole.gates && parts.test == whole.test)
        for name in ["/model.safetensors", ".run/latest/state.safetensors"] {
            let files = try ["whole", "parts"].map {
                try Data(contentsOf: URL(fileURLWithPath: folder.path + "/" + $0 + name))
            }
            #expect(files[0] == files[1], "\(name)")
        }
    }

    /// Gives gates of a checkpoint random second layers, so that they look at the image.
    private func scatterGates(_ output: String, seed: UInt64) throws {
        let path = folder.path + "/" + output + ".run/latest/state.safetensors"
        let file = try SafetensorsFile(path: path)
        var generator = RandomGenerator(seed: seed)
        let tensors = try file.names.map { name -> (name: String, tensor: Tensor) in
            let own = try file.tensor(name).copied()
            guard name.hasPrefix("gates."), name.contains(".fc2.") else { return (name, own) }
            return (name, .normal(own.shape, using: &generator) * (name.hasSuffix("weight") ? 6 : 0.5))
        }
        try SafetensorsWriter.write(tensors, metadata: file.metadata, to: path)
    }

    @Test func gatesThatDisagreeAreRefusedAndCutThroughLater() throws {
        let gates = "mode: layer"
        _ = try run("out", gates + ", max_disagreement: 0.25").execute()
        try FileManager.default.removeItem(atPath: folder.path + "/out")
        let stored = {
            try ClassificationRun(
                runFolder: folder.path + "/out.run", dataFolder: folder.path, gating: ConsensusTraining.of)
        }
        var seed: UInt64 = 0
        repeat {
            seed += 1
            try scatterGates("out", seed: seed)
        } while try stored().extractGates(limit: nil).extracted.summary.report.disagreement == 0 && seed < 20
        #expect {
            _ = try stored().extractGates(limit: 0)
        } throws: {
            "\($0)".contains("out.run: gates: do not agree over the images: layer")
        }
        #expect {
            _ = try run("out", gates + ", max_disagreement: 0", resumes: true).execute()
        } throws: {
            "\($0)".contains("do not agree over the images")
        }
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/out"))
        let found = try stored().extractGates(limit: nil)
        #expect(found.step == 27 && found.extracted.summary.difference <= 1e-5)
        // A larger limit and --resume train no further.
        let result = try run("out", gates + ", max_disagreement: 0.25", resumes: true).execute()
        #expect(result.gates?.report == found.extracted.summary.report)
        #expect(try VisionCheckpoint.open(folder.path + "/out").architecture.name == result.architecture)
    }

    @Test func whatDoesNotGoTogetherIsSaid() throws {
        func message(_ body: () throws -> Void) -> String {
            do { try body() } catch { return "\(error)" }
            return "nothing was wrong"
        }
        #expect(message { _ = try run("a", "keep: 0.5") }.contains("gates: the key \"mode\" is missing"))
        #expect(message { _ = try run("a", "mode: layer, keep: 0") }.contains("gates.keep: expected a number above 0"))
        #expect(message { _ = try run("a", "mode: layer, keep: 1.5") }.contains("gates.keep"))
        #expect(message { _ = try run("a", "mode: blocks") }.contains("gates.mode: unknown value"))
        #expect(message { _ = try run("a", "mode: channel, lazy: true") }.contains("gates.lazy"))
        #expect(message { _ = try run("a", "mode: layer, estimator: step") }.contains("gates.estimator"))
        let recipe = { (architecture: String, training: String) in
            try ClassificationRecipe(
                yaml: "model: { architecture: \(architecture) }\nimages: { directory: figures }\n"
                    + "training: { \(training) }\ngates: { mode: layer }", source: "g.yaml")
        }
        #expect(message { _ = try recipe("resnet20", "batch_size: 1") }.contains("batch_size must be at least 2"))
        #expect(message { _ = try recipe("resnet20", "patience: 2") }.contains("patience has no meaning with gates"))
        let options = TrainingRun.Options(output: folder.path + "/b", dataFolder: folder.path)
        for (name, words) in [("lenet-300-100", "residual network"), ("wrn-10-4", "no block that can be skipped")] {
            let run = ClassificationRun(
                recipe: try recipe(name, "epochs: 1"), options: options, gating: ConsensusTraining.of)
            #expect(message { _ = try run.execute() }.contains(words), "\(name)")
        }
        let plain = ClassificationRun(recipe: try recipe("resnet8", "epochs: 1"), options: options)
        #expect(message { _ = try plain.execute() }.contains("without a method that closes gates"))
        for (path, words) in [("/nowhere.run", "no such folder"), ("/figures", "is not the folder of a training run")] {
            let text = message {
                _ = try ClassificationRun(
                    runFolder: folder.path + path, dataFolder: nil, gating: ConsensusTraining.of)
            }
            #expect(text.contains(words))
        }
    }
}
