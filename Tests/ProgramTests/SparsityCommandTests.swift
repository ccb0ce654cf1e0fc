import CoppiceModels
import Foundation
import Testing

/// `analyze sparsity` of vision networks, and what it refuses of any model.
@Suite(.serialized) struct SparsityCommandTests {
    private let folder = TemporaryFolder()
    private static let stock = VisionStock.shared
    private var command: [String] {
        ["analyze", "sparsity", Self.stock.model, "--data", Self.stock.images, "--grid", "0.5,0.9,0.98", "--no-refine"]
    }

    private func points(_ json: JSON, _ series: Int = 0) throws -> [JSON] {
        try #require(json["analysis"]?["series"]?[series]?["points"]?.arrayValue)
    }

    @Test func visionNetworksAreMeasuredByAccuracy() throws {
        let stock = Self.stock
        let (csv, masks) = (folder.path + "/curves.csv", folder.path + "/masks.safetensors")
        let json = try Program.json(arguments: command + ["--random", "--csv", csv, "--masks", masks])
        #expect(json["protocol"] == "zero-shot" && json["analysis"]?["eval"] == "accuracy")
        #expect(json["measured_on"]?.stringValue?.hasPrefix("200 test images of ") == true)
        #expect(json["analysis"]?["chance_accuracy"]?.doubleValue.map { abs($0 - 0.1) < 1e-12 } == true)
        let weights = try #require(json["analysis"]?["weights"]?.arrayValue)
        #expect(weights.map { $0["name"]?.stringValue } == ["fc1.weight", "fc2.weight"])
        func accuracy(_ model: String) throws -> Double {
            try #require(
                try Program.json("evaluate", model, "--images", stock.images)["accuracy"]?.doubleValue)
        }
        let (magnitude, random) = (try points(json), try points(json, 1))
        #expect(magnitude.count == 4 && random.count == 4)
        #expect(abs((magnitude[0]["accuracy"]?.doubleValue ?? 0) - (try accuracy(stock.model))) < 1e-12)
        let lines = try String(contentsOfFile: csv, encoding: .utf8).split(separator: "\n")
        #expect(lines.count == 9 && lines[0] == "method,sparsity,accuracy" && lines[8].hasPrefix("random-global,0.9"))
        // The masks make the network that was measured at the knee.
        let applied = try Program.json("mask", "apply", stock.model, masks, "--output", folder.path + "/knee")
        let sparsity = try #require(applied["mask_sparsity"]?.doubleValue)
        let knee = try #require(
            magnitude.first { abs(($0["sparsity"]?.doubleValue ?? 0) - sparsity) < 1e-9 })
        #expect(abs((knee["accuracy"]?.doubleValue ?? 0) - (try accuracy(folder.path + "/knee"))) < 1e-12)
        let text = try Program.run(arguments: command + ["--eval", "loss"])
        #expect(text.status == 0 && text.output.contains("knowing nothing: loss 2.3026"), "\(text.errors)")
        #expect(text.output.hasPrefix("protocol: zero-shot\nmeasured on 200 test images of "))
        let patterns = try Program.json(arguments: command + ["--pattern", "n:4", "--ignore", "fc2"])
        #expect(try points(patterns).compactMap { $0["sparsity"]?.doubleValue } == [0, 0.25, 0.5, 0.75])
        #expect(patterns["analysis"]?["weights"]?.arrayValue?.count == 1)
    }

    @Test func visionNetworksAreTrainedOnFirst() throws {
        let earlier = folder.path + "/earlier"
        try FileManager.default.createDirectory(atPath: earlier, withIntermediateDirectories: true)
        for name in ["step-2", "step-10"] {
            try FileManager.default.copyItem(atPath: Self.stock.model, toPath: earlier + "/" + name)
        }
        let zeroShot = try points(Program.json(arguments: command + ["--eval", "loss"]))
        let json = try Program.json(
            arguments: command + [
                "--eval", "loss", "--protocol", "fine-tune", "--steps", "20", "--batch-size", "32", "--checkpoints",
                earlier,
            ])
        #expect(json["protocol"] == "fine-tune")
        let tuned = try points(json)
        let last = { (points: [JSON]) in points[3]["loss"]?.doubleValue ?? .nan }
        #expect(last(tuned) < last(zeroShot))
        let checkpoints = try #require(json["checkpoints"]?.arrayValue)
        #expect(checkpoints.map { $0["name"]?.stringValue } == ["step-2", "step-10"])
        #expect(checkpoints.allSatisfy { $0["analysis"] == json["analysis"] })
    }

    @Test func whatMakesNoSenseIsRefused() throws {
        let (model, images) = (Self.stock.model, Self.stock.images)
        func fails(_ status: Int32, _ text: String, _ arguments: String...) throws {
            try Program.expectFailure(status, text, ["analyze", "sparsity"] + arguments)
        }
        try fails(64, "--data: is missing: a vision network is measured on the images of a folder", model)
        try fails(64, "--text: is for texts; --data names the images", model, "--data", images, "--text", "a.txt")
        try fails(64, "--label-column: is for texts", model, "--data", images, "--label-column", "label")
        try fails(
            64, "--fine-tune: names a text; --protocol fine-tune", model, "--data", images, "--fine-tune", "a.txt")
        try fails(64, "--pattern: heads are of language models", model, "--data", images, "--pattern", "heads")
        try fails(66, "/nowhere", model, "--data", "/nowhere")
        try fails(65, "\"fc9\" matches no matrix of the model", model, "--data", images, "--ignore", "fc9")
        try fails(
            65, "fc1.weight: pattern n:5 needs rows whose length is a multiple of 5", model, "--data", images,
            "--pattern", "n:5")
        let few = folder.path + "/test-only"
        try FileManager.default.createDirectory(atPath: few, withIntermediateDirectories: true)
        for name in ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"] {
            try FileManager.default.copyItem(atPath: images + "/" + name, toPath: few + "/" + name)
        }
        try fails(64, "--protocol: needs training images", model, "--data", few, "--protocol", "fine-tune")
        try fails(64, "--norm-batches: needs training images", model, "--data", few, "--norm-batches", "2")
        try fails(
            64, "--norm-batches: lenet-300-100 has no batch norms", model, "--data", images, "--norm-batches", "2")
        try fails(64, "--eval: accuracy needs labels", "tales", "--eval", "accuracy")
        try fails(64, "--data: is for vision networks", "tales", "--data", images)
        try fails(64, "--norm-batches: is for vision networks", "tales", "--norm-batches", "2")
        try fails(64, "--text-columns: is for classifiers of texts", "tales", "--text-columns", "a")
        try fails(64, "--fine-tune: is missing: --protocol fine-tune trains", "tales", "--protocol", "fine-tune")
        try fails(64, "--fine-tune: goes with --protocol", "tales", "--protocol", "zero-shot", "--fine-tune", "a.txt")
        try fails(64, "--steps: goes with --protocol fine-tune", "tales", "--steps", "3")
        try fails(64, "--batch-size: goes with", "tales", "--batch-size", "3")
        try fails(64, "--norm-batches: expected at least 1", "tales", "--norm-batches", "0")
        try fails(64, "--masks: n:2 has too few sparsities", "tales", "--pattern", "n:2", "--masks", folder.path + "/m")
        try fails(64, "do not go with --pattern heads", "tales", "--pattern", "heads", "--ignore", "q_proj")
        try fails(64, "--eval", "tales", "--eval", "ppl")
    }
}
