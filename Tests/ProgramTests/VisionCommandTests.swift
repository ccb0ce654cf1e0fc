import CoppiceModels
import Foundation
import Testing

/// Commands on vision networks: inspect, compress, evaluate, train.
@Suite(.serialized) struct VisionCommandTests {
    private let folder = TemporaryFolder()
    /// Images and a network that was trained on them a little, made once.
    private static let stock = VisionStock.shared

    private func compress(_ recipe: String, model: String? = nil, _ more: [String] = []) throws -> JSON {
        let arguments = [
            "compress", model ?? Self.stock.model, "--recipe", recipe, "--output", folder.path + "/small", "--json",
        ]
        let run = try Program.run(arguments: arguments + more)
        #expect(run.status == 0, "\(run.errors)")
        return try run.json()
    }

    private func shipped(_ name: String) -> String { Program.root.path + "/Recipes/\(name).yaml" }

    private func accuracy(_ model: String) throws -> Double {
        let run = try Program.run("evaluate", model, "--images", Self.stock.images, "--json")
        #expect(run.status == 0, "\(run.errors)")
        return try #require(try run.json()["accuracy"]?.doubleValue)
    }

    @Test func inspectShowsLayers() throws {
        let json = try Program.run("inspect", Self.stock.model, "--json").json()
        #expect(json["config"]?["architecture"]?.stringValue == "lenet-300-100")
        let tensors = try #require(json["tensors"]?.arrayValue)
        #expect(tensors.count == 6)
        for key in ["name", "shape", "format", "bytes", "bits_per_weight", "sparsity"] {
            #expect(tensors.allSatisfy { $0[key] != nil }, "\(key)")
        }
        #expect(json["totals"]?["parameters"]?.intValue == 266_610)
        // A bare file, without any configuration beside it.
        let bare = folder.path + "/bare.safetensors"
        try FileManager.default.copyItem(atPath: Self.stock.model + "/model.safetensors", toPath: bare)
        let text = try Program.run("inspect", bare)
        #expect(text.status == 0 && text.output.hasPrefix("lenet-300-100, 266,610 parameters"), "\(text.errors)")
        #expect(text.output.contains("··········"))
    }

    /// The recipes for common wishes, on a network that fits them.
    @Test(arguments: [
        ("vision-half", 0.5, 0.5), ("vision-surgeon-70", 0.698, 0.4), ("vision-90-finetune", 0.88, 0.2),
        ("vision-90-distill", 0.88, 0.2), ("vision-ticket", 0.86, 0.2), ("synflow-90-int8", 0.88, 0.12),
    ])
    func shippedRecipesKeepTheirPromise(recipe: String, sparsity: Double, share: Double) throws {
        let json = try compress(shipped(recipe), ["--data", Self.stock.images])
        let before = try #require(json["bytes_before"]?.intValue), after = try #require(json["bytes_after"]?.intValue)
        #expect(Double(after) <= share * Double(before), "\(after) of \(before)")
        #expect(try #require(json["sparsity"]?.doubleValue) >= sparsity)
        // Read back, the network is as good as was said.
        let said = try #require(json["accuracy_after"]?.doubleValue)
        #expect(abs(try accuracy(folder.path + "/small") - said) < 1e-9)
        let first = try #require(json["accuracy_before"]?.doubleValue)
        #expect(abs(try accuracy(Self.stock.model) - first) < 1e-9)
        if recipe != "synflow-90-int8" { #expect(said > first - 0.1, "\(first) became \(said)") }
        let inspected = try Program.run("inspect", folder.path + "/small", "--json").json()
        #expect(inspected["totals"]?["bytes"]?.intValue == after)
        for file in ["recipe.yaml", "report.json", "config.json"] {
            #expect(FileManager.default.fileExists(atPath: folder.path + "/small/" + file), "\(file)")
        }
    }

    @Test func aResNetKeepsTwoOfFour() throws {
        let path = folder.path + "/resnet.safetensors"
        let network = try VisionArchitecture(
            named: "resnet8", classes: 10, inputChannels: 1, imageSize: 28, widthMultiplier: 0.5
        ).makeNetwork(seed: 1)
        try VisionCheckpoint.write(network, file: path)
        let json = try compress(shipped("resnet-2of4"), model: path, ["--data", Self.stock.images])
        let said = try #require(json["accuracy_after"]?.doubleValue)
        #expect(abs(try accuracy(folder.path + "/small") - said) < 1e-9)
        let inspected = try Program.run("inspect", folder.path + "/small", "--json").json()
        let formats = (inspected["tensors"]?.arrayValue ?? []).compactMap { $0["format"]?.stringValue }
        #expect(formats.filter { $0 == "sparse-2:4-f32" }.count == 6)
    }

    /// What bi-level pruning of filters took and how fast what is left is, beside the whole network.
    @Test func slicedNetworksAreMeasured() throws {
        let path = folder.path + "/resnet.safetensors"
        try VisionCheckpoint.write(
            VisionArchitecture(
                named: "resnet8", classes: 10, inputChannels: 1, imageSize: 28, widthMultiplier: 0.5
            ).makeNetwork(seed: 1), file: path)
        let options = ["--data", Self.stock.images, "--epochs", "1", "--measure"]
        let json = try compress(shipped("resnet-bip-filters-half"), model: path, options)
        for part in ["training_step", "inference"] {
            let bytes = ["_before", "_after"].map { json["bytes"]?[part + $0]?.intValue ?? 0 }
            #expect(bytes[1] > 0 && bytes[1] < bytes[0], "\(part)")
            let seconds = ["_before", "_after"].map { json["seconds"]?[part + $0]?.doubleValue ?? 0 }
            #expect(seconds.allSatisfy { $0 > 0 }, "\(part)")
        }
        #expect(json["compression_seconds"]?.doubleValue ?? 0 > 0)
        let text = try Program.run(
            arguments: [
                "compress", path, "--recipe", shipped("resnet-bip-filters-half"), "--output", folder.path + "/text",
            ] + options)
        for part in [
            "entered the masks in each tenth of the steps: ", "levels × 1 epochs: ", " times as many", "pass of 32",
        ] { #expect(text.output.contains(part), "\(part): \(text.output) \(text.errors)") }
        let cut = try Program.json(
            "prune-channels", path, "--remove", "0.5", "--criterion", "l1", "--measure")
        #expect(cut["speed"]?["seconds"]?["inference_after"]?.doubleValue ?? 0 > 0)
    }

    /// Channels by what they cost the outputs, on images and on noise.
    @Test func channelsAreSharedOutByDistortion() throws {
        let command = ["prune-channels", Self.stock.model, "--remove", "0.5", "--criterion", "l1"]
        let measured = command + ["--allocation", "rate-distortion"]
        let run = try Program.run(
            arguments: measured + [
                "--data", Self.stock.images, "--images", "40", "--rounds", "2", "--output", folder.path + "/narrow",
                "--json",
            ])
        #expect(run.status == 0, "\(run.errors)")
        let cut = try run.json()
        let (before, after) = (
            try #require(cut["multiplications_before"]?.intValue), try #require(cut["multiplications_after"]?.intValue)
        )
        #expect(2 * after <= before && 2.2 * Double(after) > Double(before))
        let said = try #require(cut["accuracy_after"]?.doubleValue)
        #expect(abs(try accuracy(folder.path + "/narrow") - said) < 1e-9)
        let noise = try Program.run(arguments: measured + ["--calibration", "gaussian", "--images", "20"])
        #expect(noise.status == 0 && noise.output.contains("multiplications"), "\(noise.errors)")
        for (options, message) in [
            (measured, "--allocation rate-distortion: expected --data beside it, or --calibration gaussian"),
            (command + ["--rounds", "2"], "--rounds: goes with --allocation rate-distortion alone"),
            (command + ["--calibration", "data"], "--calibration: goes with --allocation rate-distortion alone"),
            (measured + ["--calibration", "gaussian", "--rounds", "0"], "--rounds: expected at least 1, found 0"),
        ] {
            let failed = try Program.run(arguments: options)
            #expect(failed.status == 64 && failed.errors.contains(message), "\(failed.errors)")
        }
    }

    /// Rounds of adaptive pruning as a table.
    @Test func roundsAreATable() throws {
        let recipe = try folder.file(
            "sap.yaml",
            """
            training: { epochs: 1, batch_size: 50, optimizer: { learning_rate: 0.05 } }
            stages: [{ prune: { method: magnitude, schedule: { kind: sap, p: 1, q: 2, rounds: 2, keep: best } } }]
            """)
        let run = try Program.run(
            "compress", Self.stock.model, "--recipe", recipe, "--output", folder.path + "/small", "--data",
            Self.stock.images)
        #expect(run.status == 0, "\(run.errors)")
        let lines = run.output.split(separator: "\n").map(String.init)
        let head = try #require(lines.firstIndex { $0.contains("density") })
        for title in ["round", "PQ index", "index pruned", "removed", "accuracy", "accuracy pruned", "validation"] {
            #expect(lines[head].contains(title), "\(lines[head])")
        }
        let rows = lines[(head + 1)...].prefix(3)
        #expect(rows.count == 3 && rows.count { $0.hasSuffix("kept") } == 1 && rows.first?.contains("100.0 %") == true)
    }

    @Test func trainingGoesOnSparsely() throws {
        _ = try compress(shipped("vision-half"))
        let recipe = try folder.file(
            "train.yaml",
            """
            model: { architecture: lenet-300-100, weights: \(folder.path)/small }
            images: { directory: \(Self.stock.images), validation: 0.1 }
            optimizer: { learning_rate: 0.02 }
            training: { epochs: 1, batch_size: 50 }
            """)
        let run = try Program.run("train", recipe, "--output", folder.path + "/trained", "--json")
        #expect(run.status == 0, "\(run.errors)")
        let inspected = try Program.run("inspect", folder.path + "/trained", "--json").json()
        #expect(try #require(inspected["totals"]?["sparsity"]?.doubleValue) > 0.5)
        let formats = (inspected["tensors"]?.arrayValue ?? []).compactMap { $0["format"]?.stringValue }
        #expect(formats.filter { $0 == "sparse-bitmask-f32" }.count == 3, "\(formats)")
    }

    @Test func severalSparsitiesAreCompared() throws {
        let json = try compress(
            shipped("vision-half"), ["--data", Self.stock.images, "--sparsity", "0.9,0.5,0.99"])
        let points = try #require(json["points"]?.arrayValue)
        #expect(points.compactMap { $0["asked"]?.doubleValue } == [0.5, 0.9, 0.99])
        let bytes = points.compactMap { $0["bytes"]?.intValue }
        #expect(bytes.count == 3 && bytes == bytes.sorted(by: >) && bytes[0] < json["dense"]?["bytes"]?.intValue ?? 0)
        #expect(json["measure"]?.stringValue == "accuracy")
        let smallest = try #require(points.last)
        #expect(smallest["pareto"] == .bool(true), "nothing is smaller")
        let path = try #require(smallest["model"]?.stringValue)
        #expect(path == folder.path + "/small/sparsity-0.99")
        #expect(abs(try accuracy(path) - (smallest["accuracy"]?.doubleValue ?? -1)) < 1e-9)
        // In a perceptron every weight is multiplied once.
        for point in points {
            let left = try #require(point["multiplications"]?.doubleValue)
            #expect(abs(left - (1 - (point["removed"]?.doubleValue ?? 0))) < 1e-9)
            #expect(point["collapsed_layers"]?.arrayValue?.isEmpty == true)
        }
        let inspected = try Program.run("inspect", path, "--json").json()
        #expect(
            try abs(
                #require(inspected["totals"]?["multiplication_share"]?.doubleValue)
                    - #require(smallest["multiplications"]?.doubleValue)) < 1e-12)
        for file in ["pareto.html", "pareto.svg", "sparsity.svg", "multiplications.svg", "pareto.json"] {
            let text = try String(contentsOfFile: folder.path + "/small/" + file, encoding: .utf8)
            #expect(text.contains(file == "pareto.json" ? "\"points\"" : "<svg"), "\(file)")
        }
        // A language model by the same command.
        let recipe = try folder.file("lm.yaml", "stages: [{ prune: { method: magnitude, sparsity: 0.5 } }]\n")
        let table = try Program.run(
            "compress", "tales", "--recipe", recipe, "--output", folder.path + "/tales", "--sparsity", "0.2,0.4")
        #expect(table.status == 0, "\(table.errors)")
        let lines = table.output.split(separator: "\n").map(String.init)
        #expect(lines[0].contains("perplexity") && lines[1].contains("dense"))
        // What every row is compared with is the model as it was.
        let dense = try #require(
            try Program.run("evaluate", "tales", "--json").json()["perplexity"]?.doubleValue)
        #expect(lines[1].contains(String(format: "%.3f", dense)), "\(lines[1])")
        #expect(lines.count == 6 && lines[5].hasSuffix("pareto.html"), "\(table.output)")
        #expect(lines[4].hasPrefix("warning: ") && lines[4].contains("prefer: size"))
    }

    @Test func mistakesAreNamed() throws {
        func fails(_ status: Int32, _ text: String, _ stage: String, _ more: [String] = []) throws {
            let recipe = try folder.file("bad.yaml", "stages:\n  - prune: { \(stage) }\n")
            let output = folder.path + "/small"
            try Program.expectFailure(
                status, text, ["compress", Self.stock.model, "--recipe", recipe, "--output", output] + more)
            #expect(!FileManager.default.fileExists(atPath: output))
        }
        let half = "method: magnitude, sparsity: 0.5"
        try fails(65, "from 0.0 to below 1.0, found 1.5", "method: magnitude, sparsity: 1.5")
        try fails(65, "did you mean \"fc1\"?", "\(half), targets: fd1")
        try fails(64, "needs labelled training images", "method: snip, sparsity: 0.5")
        try fails(
            65, "ends at epoch 1.0, before it starts at epoch 2.0",
            "\(half), schedule: { kind: gradual, begin: 2, end: 1 }")
        try fails(64, "--calibration", half, ["--calibration", "x"])
        try fails(66, "/nowhere", half, ["--data", "/nowhere"])
        try fails(64, "found \"1\"", half, ["--sparsity", "0.5,1"])
        try fails(64, "fix it", "method: magnitude, pattern: \"2:4\"", ["--sparsity", "0.5,0.6"])
        try fails(64, "--sparsity: expected numbers from 0", half, ["--sparsity", "half"])
        try fails(64, "--measure: is of one result", half, ["--sparsity", "0.5,0.6", "--measure"])
        try Program.expectFailure(64, "expected --images", ["evaluate", Self.stock.model])
    }
}
