import CoppiceModels
import Foundation
import Testing

/// `coppice compare`: several recipes on one model.
@Suite(.serialized) struct CompareCommandTests {
    private let folder = TemporaryFolder()

    private func recipe(_ name: String, _ stage: String) throws -> String {
        try folder.file(
            name + ".yaml", "training: { epochs: 0.2, batch_size: 50 }\nstages:\n  - prune: { \(stage) }\n")
    }

    @Test func recipesOfAVisionNetworkAreCompared() throws {
        let stock = VisionStock.shared
        let magnitude = try recipe("magnitude", "method: magnitude, sparsity: 0.3, scope: global")
        let random = try recipe("random", "method: random, sparsity: 0.3")
        let output = folder.path + "/compared"
        let run = try Program.run(arguments: [
            "compare", stock.model, "--recipe", magnitude, random, "--sparsity", "0.9,0.5", "--seeds", "2", "--seed",
            "7",
            "--data", stock.images, "--output", output, "--json",
        ])
        #expect(run.status == 0, "\(run.errors)")
        let json = try run.json()
        #expect(json["measure"]?.stringValue == "accuracy" && json["seeds"] == [7, 8])
        let entries = try #require(json["recipes"]?.arrayValue)
        #expect(entries.compactMap { $0["recipe"]?.stringValue } == ["magnitude", "random", "magnitude", "random"])
        #expect(entries.compactMap { $0["asked"]?.doubleValue } == [0.5, 0.5, 0.9, 0.9])
        for entry in entries {
            let asked = try #require(entry["asked"]?.doubleValue)
            let (own, all) = (entry["sparsity"]?.doubleValue ?? 0, entry["sparsity_of_all"]?.doubleValue ?? 0)
            // In a perceptron every weight is multiplied once, and biases stay.
            #expect(abs(own - asked) < 1e-4 && all < own && all > own - 0.002)
            #expect(abs((entry["multiplications"]?.doubleValue ?? 0) - (1 - own)) < 1e-9)
            #expect(entry["error"] == .null && entry["epochs"]?.doubleValue == 0)
            #expect(entry["seconds"]?.doubleValue ?? 0 > 0 && entry["trials"]?.arrayValue?.count == 2)
        }
        // Magnitudes do not depend on a seed; random choices do.
        func accuracies(_ index: Int) -> [Double] {
            (entries[index]["trials"]?.arrayValue ?? []).compactMap { $0["accuracy"]?.doubleValue }
        }
        #expect(entries[2]["deviation"]?.doubleValue == 0 && accuracies(2)[0] == accuracies(2)[1])
        #expect(entries[2]["accuracy"]?.doubleValue ?? 0 > entries[3]["accuracy"]?.doubleValue ?? 1)
        #expect(accuracies(3)[0] != accuracies(3)[1])
        // What compress makes of the recipe with that seed.
        let own = try folder.file("own.yaml", "seed: 8\n" + String(contentsOfFile: random, encoding: .utf8))
        let made = try Program.run(arguments: [
            "compress", stock.model, "--recipe", own, "--sparsity", "0.9", "--data", stock.images, "--output",
            folder.path + "/made", "--json",
        ]).json()
        #expect(made["accuracy_after"]?.doubleValue == accuracies(3)[1])
        #expect(made["accuracy_before"]?.doubleValue == json["dense"]?["accuracy"]?.doubleValue)
        let files = try FileManager.default.contentsOfDirectory(atPath: output).filter { !$0.hasPrefix(".") }
        #expect(
            files.sorted() == [
                "bytes.svg", "comparison.html", "comparison.json", "multiplications.svg", "sparsity.svg",
            ])
    }

    /// One that fails is named and ends the program with its status; what the others gave is told all the same.
    @Test func aRecipeThatFailsIsNamed() throws {
        let stock = VisionStock.shared
        let half = try recipe("half", "method: magnitude, sparsity: 0.5")
        _ = try Program.run("compress", stock.model, "--recipe", half, "--output", folder.path + "/half")
        let less = try recipe("less", "method: magnitude, sparsity: 0.2")
        let more = try recipe("more", "method: magnitude, sparsity: 0.7, recovery: fine-tune")
        let run = try Program.run(arguments: [
            "compare", folder.path + "/half", "--recipe", less, "--recipe", more, "--seeds", "1", "--data",
            stock.images,
        ])
        #expect(run.status == 64)
        let last = try #require(run.errors.split(separator: "\n").last)
        #expect(last.hasPrefix("coppice: \(less): stages[0].prune") && last.contains("0.2"), "\(run.errors)")
        let lines = run.output.split(separator: "\n").map(String.init)
        #expect(lines.count == 6, "\(run.output)")
        #expect(lines[1].hasPrefix("dense") && lines[2].hasPrefix("less") && lines[2].contains("failed"))
        #expect(lines[3].hasPrefix("more") && lines[3].contains("70.0 %"))
        #expect(lines[4].hasPrefix("note: less failed: \(less): "))
        #expect(lines[5] == "note: they do not train alike: less not at all, more 0.2 epochs")
    }

    @Test func modelsOfLanguageAreCompared() throws {
        let text = try folder.file(
            "text.txt", String(repeating: "The quick brown fox and the cafés, a fox: ", count: 30))
        let magnitude = try recipe("magnitude", "method: magnitude, sparsity: 0.5, scope: global")
        let wanda = try folder.file(
            "wanda.yaml",
            "calibration: { samples: 4, sequence_length: 16 }\nstages: [{ prune: { method: wanda, sparsity: 0.5 } }]\n")
        let encoder = Program.root.path + "/Tests/Fixtures/encoders/bert-published"
        for model in ["tales", encoder] {
            let run = try Program.run(arguments: [
                "compare", model, "--recipe", magnitude, wanda, "--seeds", "2", "--evaluate", text, "--json",
            ])
            #expect(run.status == 0, "\(model): \(run.errors)")
            let entries = try run.json()["recipes"]?.arrayValue ?? []
            #expect(entries.count == 2 && entries.allSatisfy { $0["perplexity"]?.doubleValue ?? 0 > 1 }, "\(model)")
            #expect(entries.allSatisfy { abs(($0["sparsity"]?.doubleValue ?? 0) - 0.5) < 0.01 }, "\(model)")
            #expect(entries.allSatisfy { $0["multiplications"]?.doubleValue ?? 0 > 0.5 }, "the head stays")
        }
    }

    @Test func mistakesAreNamed() throws {
        let model = VisionStock.shared.model
        let texts = try recipe("texts", "method: sparsegpt, sparsity: 0.5")
        let half = try recipe("half", "method: magnitude, sparsity: 0.5")
        let pattern = try recipe("pattern", "method: magnitude, pattern: \"2:4\"")
        try Program.expectFailure(64, "--recipe", ["compare", model])
        try Program.expectFailure(
            64, "--seeds: expected 1 to 1000", ["compare", model, "--recipe", half, "--seeds", "0"])
        try Program.expectFailure(66, "nowhere.yaml", ["compare", model, "--recipe", half, "nowhere.yaml"])
        try Program.expectFailure(
            65, "texts.yaml: stages[0].prune.method: sparsegpt is for language models and encoders",
            ["compare", model, "--recipe", half, texts])
        try Program.expectFailure(
            64, "pattern.yaml: sparsity: no stage", ["compare", model, "--recipe", half, pattern, "--sparsity", "0.5"])
        let taken = try folder.file("taken", "")
        try Program.expectFailure(73, "taken", ["compare", model, "--recipe", half, "--output", taken])
    }
}
