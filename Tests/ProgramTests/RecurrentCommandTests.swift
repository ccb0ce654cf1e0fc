import CoppiceModels
import Foundation
import Testing

/// Commands on a recurrent network, which reads images row by row, and series as they are.
@Suite(.serialized) struct RecurrentCommandTests {
    private let folder = TemporaryFolder()
    private static let stock = VisionStock.shared

    private func train(_ model: String, _ data: String, _ more: String = "") throws -> String {
        let recipe = try folder.file(
            "train.yaml",
            """
            seed: 1
            model: { architecture: \(model) }
            images: { directory: \(data), validation: 0\(more) }
            optimizer: { kind: adamw, learning_rate: 0.02 }
            training: { batch_size: 30, epochs: 3 }
            """)
        let output = folder.path + "/trained"
        let json = try Program.json("train", recipe, "--output", output)
        #expect(json["test_accuracy"]?.doubleValue ?? 0 > 0.2)
        return output
    }

    @Test func rowsOfImagesGoThroughEveryCommand() throws {
        let images = Self.stock.images
        let model = try train("fastgrnn-24", images)
        let evaluated = try Program.json("evaluate", model, "--images", images)
        let accuracy = try #require(evaluated["accuracy"]?.doubleValue)
        #expect(evaluated["architecture"]?.stringValue == "fastgrnn-24" && evaluated["count"]?.intValue == 200)
        let inspected = try Program.json("inspect", model)
        // W of 24 × 28, U of 24 × 24, two biases, ζ and ν, the layer of ten classes.
        #expect(inspected["totals"]?["parameters"]?.intValue == 672 + 576 + 48 + 2 + 250)
        let recipe = try folder.file(
            "r.yaml",
            """
            training: { epochs: 1, batch_size: 50 }
            stages: [{ prune: { method: magnitude, sparsity: 0.5, scope: global, schedule: gradual } }]
            """)
        let swept = try Program.json(
            "compress", model, "--recipe", recipe, "--data", images, "--sparsity", "0.5,0.9", "--output",
            folder.path + "/swept")
        #expect(swept["dense"]?["accuracy"]?.doubleValue == accuracy)
        let points = try #require(swept["points"]?.arrayValue)
        #expect(points.compactMap { $0["asked"]?.doubleValue } == [0.5, 0.9])
        for point in points {
            let path = try #require(point["model"]?.stringValue)
            let again = try Program.json("evaluate", path, "--images", images)
            #expect(again["accuracy"]?.doubleValue == point["accuracy"]?.doubleValue)
        }
        let other = try folder.file("snip.yaml", "stages: [{ prune: { method: snip, sparsity: 0.5 } }]\n")
        let compared = try Program.json(
            "compare", model, "--recipe", recipe, other, "--data", images, "--output", folder.path + "/compared")
        #expect(compared["recipes"]?.arrayValue?.count == 2)
        #expect(compared["recipes"]?.arrayValue?.allSatisfy { $0["error"] == .null } == true)
        let cut = try Program.json(
            "prune-channels", model, "--remove", "0.5", "--data", images, "--output", folder.path + "/narrow")
        #expect(cut["groups"]?.arrayValue?.count == 1)
        let narrow = try Program.json("evaluate", folder.path + "/narrow", "--images", images)
        #expect(narrow["accuracy"]?.doubleValue == cut["accuracy_after"]?.doubleValue)
        #expect(try #require(narrow["architecture"]?.stringValue) != "fastgrnn-24")
    }

    /// A trial of a recipe takes less time and says so in what it writes.
    @Test func recipesAreTriedOutInFewerEpochs() throws {
        let model = try folder.lenet("model")
        let recipe = Program.root.path + "/Recipes/vision-90-finetune.yaml"
        let output = folder.path + "/trial"
        let json = try Program.json(
            "compress", model, "--recipe", recipe, "--epochs", "0.5", "--data", Self.stock.images, "--output", output)
        #expect(abs(try #require(json["removed_prunable"]?.doubleValue) - 0.9) < 0.02)
        let written = try String(contentsOfFile: output + "/recipe.yaml", encoding: .utf8)
        #expect(written.hasPrefix("# With --epochs 0.5:\n"))
        let untrained = Program.root.path + "/Recipes/vision-half.yaml"
        try Program.expectFailure(
            64, "epochs: no stage of the recipe trains",
            ["compress", model, "--recipe", untrained, "--epochs", "1", "--output", folder.path + "/none"])
        try Program.expectFailure(
            64, "epochs: 0.0, expected a number above 0",
            ["compress", model, "--recipe", recipe, "--epochs", "0", "--output", folder.path + "/none"])
    }

    /// A class that one series alone has is trained on, and said not to be measured.
    @Test func aClassOfOneSeriesIsTold() throws {
        let series = folder.path + "/series"
        try FileManager.default.createDirectory(atPath: series, withIntermediateDirectories: true)
        func line(_ label: Int, _ start: Int) -> String {
            "\(label)\t" + (0..<6).map { "\(start + label * $0)" }.joined(separator: "\t")
        }
        let lines = (0..<20).map { line($0 % 2, $0) } + [line(7, 0)]
        _ = try folder.file("series/T_TRAIN.tsv", lines.joined(separator: "\n"))
        let recipe = try folder.file(
            "series.yaml",
            """
            model: { architecture: fastgrnn-4, sequence_length: 6 }
            images: { directory: \(series), validation: 0.5 }
            optimizer: { learning_rate: 0.01 }
            training: { epochs: 1, batch_size: 5 }
            """)
        let run = try Program.run("train", recipe, "--output", folder.path + "/told")
        #expect(run.status == 0, "\(run.errors)")
        let warning = "warning: class 7 has one among the training series, which is trained on: none is held out"
        #expect(run.errors.contains(warning), "\(run.errors)")
        let half = try folder.file("half.yaml", "stages: [{ prune: { method: magnitude, sparsity: 0.5 } }]\n")
        let compressed = try Program.run(
            "compress", folder.path + "/told", "--recipe", half, "--data", series, "--output", folder.path + "/half")
        #expect(compressed.status == 0 && compressed.errors.contains(warning), "\(compressed.errors)")
    }

    @Test func mistakesAreNamed() throws {
        let wrong = try folder.file(
            "wrong.yaml", "model: { architecture: fastgrnn-8 }\ndata: { directory: \(Self.stock.images) }\n")
        try Program.expectFailure(
            65, "wrong.yaml: line 2: data: names the texts of a language model",
            ["train", wrong, "--output", folder.path + "/out"])
        let steps = try folder.file(
            "steps.yaml",
            "model: { architecture: fastgrnn-8, sequence_length: 100 }\nimages: { directory: \(Self.stock.images) }\n")
        try Program.expectFailure(
            65, "100 steps do not divide the 784 values of 1 × 28 × 28",
            ["train", steps, "--output", folder.path + "/out"])
        try VisionCheckpoint.write(
            VisionArchitecture(named: "fastgrnn-8").makeNetwork(seed: 1), folder: folder.path + "/other")
        try Program.expectFailure(
            65, "has images of 1 × 28 × 28, expected 128 steps of 9 values for fastgrnn-8",
            ["evaluate", folder.path + "/other", "--images", Self.stock.images])
    }
}
