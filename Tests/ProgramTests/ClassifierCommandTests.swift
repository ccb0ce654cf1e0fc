import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

/// `evaluate`, `compress`, `inspect`, `convert`, `analyze curves` and `analyze sparsity` of a classifier of texts.
@Suite struct ClassifierCommandTests {
    private let folder = TemporaryFolder()
    private static let encoders =
        URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().path + "/Fixtures/encoders/"

    /// A BERT of random weights with two labels and the words of the one that is published.
    private func classifier() throws -> String {
        let path = folder.path + "/classifier"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        let published = try EncoderCheckpoint.open(Self.encoders + "bert-published")
        for name in ["vocab.txt", "tokenizer_config.json"] {
            try FileManager.default.copyItem(atPath: published.path + "/" + name, toPath: path + "/" + name)
        }
        var json = published.configurationJSON.objectValue ?? [:]
        json["architectures"] = ["BertForSequenceClassification"]
        json["id2label"] = ["0": "bad", "1": "good"]
        try Data(JSON.object(json).serialized().utf8).write(to: URL(fileURLWithPath: path + "/config.json"))
        let network = EncoderClassifier(published.configuration, classCount: 2, seed: 3, initialDeviation: 0.4)
        try SafetensorsWriter.write(
            network.parameters.map { .init($0.name, $0.parameter.wrappedValue.detached()) },
            to: path + "/model.safetensors")
        return path
    }

    /// Texts that say what they are.
    private func texts(_ name: String, _ count: Int, from first: Int = 0) throws -> String {
        let rows = (first..<(first + count)).map { index in
            let words = (0..<(2 + index % 7)).map { ["the", "brown", "jump", "and", "cafe"][($0 * 3 + index) % 5] }
            return "\(index % 2 == 0 ? "fox" : "quick") \(words.joined(separator: " "))\t\(["bad", "good"][index % 2])"
        }
        return try folder.file(name, (["sentence\tlabel"] + rows).joined(separator: "\n") + "\n")
    }

    @Test func evaluatesCompressesInspectsAndConverts() throws {
        let path = try classifier()
        let (training, test) = (try texts("train.tsv", 60), try texts("test.tsv", 30, from: 7))
        let recipe = try folder.file(
            "recipe.yaml",
            """
            calibration: { samples: 8 }
            training: { epochs: 8, batch_size: 8, optimizer: { kind: adamw, learning_rate: 0.003 } }
            stages:
              - prune: { method: taylor, granularity: neuron, sparsity: 0.2 }
              - prune: { method: wanda, pattern: "2:4", recovery: fine-tune }
              - quantize: { bits: 8 }
            """)
        let (small, dense) = (folder.path + "/small", folder.path + "/dense")
        let run = try Program.run(arguments: [
            "compress", path, "--recipe", recipe, "--output", small, "--calibration", training, "--evaluate", test,
            "--json",
        ])
        #expect(run.status == 0, "\(run.errors)")
        let json = try run.json()
        let (before, after) = (json["accuracy_before"]?.doubleValue, json["accuracy_after"]?.doubleValue)
        #expect(json["examples"]?.intValue == 30 && json["perplexity_before"] == nil)
        #expect((after ?? 0) > 0.9 && (before ?? 1) < 0.9)
        for (model, accuracy, loss) in [(path, before, "loss_before"), (small, after, "loss_after")] {
            let found = try Program.run(arguments: ["evaluate", model, "--labelled", test, "--json"])
            #expect(found.status == 0, "\(found.errors)")
            let own = try found.json()
            #expect(own["accuracy"]?.doubleValue == accuracy && own["loss"] == json[loss])
            #expect(own["count"]?.intValue == 30 && own["labels"] == ["bad", "good"])
            #expect((own["examples_per_second"]?.doubleValue ?? 0) > 0 && own["truncated"]?.intValue == 0)
        }
        #expect(json["bytes_after"]?.intValue ?? .max < json["bytes_before"]?.intValue ?? 0)
        let converted = try Program.run(arguments: ["convert", small, "--output", dense])
        #expect(converted.status == 0, "\(converted.errors)")
        let again = try Program.run(arguments: ["evaluate", dense, "--labelled", test, "--json"]).json()
        #expect(again["accuracy"]?.doubleValue == after)
        let inspected = try Program.run(arguments: ["inspect", small])
        #expect(inspected.status == 0 && inspected.output.contains("2 labels"))
        #expect(inspected.output.contains("feed-forward 16"))
        let text = try Program.run(arguments: ["evaluate", small, "--labelled", test]).output
        #expect(text.hasPrefix("accuracy ") && text.contains("of 30 examples"))
        // Without texts to measure on there is a result all the same.
        let plain = try folder.file("plain.yaml", "stages:\n  - prune: { method: magnitude, sparsity: 0.5 }\n")
        let unmeasured = try Program.run(arguments: [
            "compress", path, "--recipe", plain, "--output", folder.path + "/plain", "--json",
        ])
        #expect(unmeasured.status == 0, "\(unmeasured.errors)")
        #expect(try unmeasured.json()["accuracy_after"] == .null)
        let compared = try Program.run(arguments: [
            "compress", path, "--recipe", plain, "--output", folder.path + "/sweep", "--evaluate", test, "--sparsity",
            "0.3,0.6", "--json",
        ])
        #expect(compared.status == 0, "\(compared.errors)")
        let warned = try Program.run(arguments: [
            "compress", path, "--recipe", recipe, "--output", small, "--calibration", test, "--evaluate", test,
        ])
        #expect(warned.errors.contains("--calibration has the texts that accuracy is measured on"))
    }

    @Test func sharesByCurves() throws {
        let (path, curves) = (try classifier(), folder.path + "/curves.json")
        let file = try texts("texts.csv", 12)
        let tabs = try String(contentsOfFile: file, encoding: .utf8)
        try tabs.replacingOccurrences(of: "\t", with: ",").replacingOccurrences(of: "sentence", with: "body")
            .write(toFile: file, atomically: true, encoding: .utf8)
        let measured = try Program.run(arguments: [
            "analyze", "curves", path, "--text", file, "--text-columns", "body", "--output", curves, "--samples", "4",
            "--grid", "4", "--length", "40", "--json",
        ])
        #expect(measured.status == 0, "\(measured.errors)")
        #expect(try measured.json()["layers"]?.intValue == 12)
        let plan = try Program.run(arguments: ["analyze", "allocate", curves, "--sparsity", "0.7", "--json"])
        let recipe = try folder.file(
            "recipe.yaml",
            "stages:\n  - prune: { method: magnitude, sparsity: 0.7, allocation: rate-distortion, curves: \(curves) }\n"
        )
        let output = folder.path + "/shared"
        let run = try Program.run(arguments: ["compress", path, "--recipe", recipe, "--output", output])
        #expect(run.status == 0, "\(run.errors)")
        let pruned = try EncoderCheckpoint.open(output)
        for layer in try #require(try plan.json()["layers"]?.arrayValue) {
            let tensor = try pruned.storedTensor(layer["name"]?.stringValue ?? "")
            #expect(tensor.count - tensor.zeroCount == layer["kept"]?.intValue)
        }
    }

    @Test func analyzesSparsityByAccuracy() throws {
        let path = try classifier()
        let (training, test) = (try texts("train.tsv", 60), try texts("test.tsv", 30, from: 7))
        let command = ["analyze", "sparsity", path, "--text", test, "--grid", "0.3,0.6,0.9", "--no-refine"]
        func points(_ arguments: String...) throws -> [Double] {
            let analysis = try Program.json(arguments: command + arguments)["analysis"]
            #expect(analysis?["eval"] == "accuracy" && analysis?["chance_accuracy"]?.doubleValue == 0.5)
            let points = try #require(analysis?["series"]?[0]?["points"]?.arrayValue)
            return points.compactMap { $0["accuracy"]?.doubleValue }
        }
        let dense = try Program.json("evaluate", path, "--labelled", test)["accuracy"]?.doubleValue
        let zeroShot = try points()
        #expect(zeroShot.count == 4 && abs(zeroShot[0] - (dense ?? .nan)) < 1e-12)
        let tuned = try points(
            "--fine-tune", training, "--steps", "80", "--learning-rate", "3e-3", "--batch-size", "8")
        #expect(tuned.reduce(0, +) > zeroShot.reduce(0, +) && tuned[0] > 0.8)
        let masks = folder.path + "/masks.safetensors"
        _ = try points("--pattern", "n:4", "--masks", masks)
        _ = try Program.json("mask", "apply", path, masks, "--output", folder.path + "/knee")
        func fails(_ status: Int32, _ expected: String, _ arguments: String...) throws {
            try Program.expectFailure(status, expected, ["analyze", "sparsity", path] + arguments)
        }
        try fails(64, "--text: is missing: a classifier is measured on a file of texts with labels")
        try fails(64, "--windows: is for running texts", "--text", test, "--windows", "4")
        try fails(64, "--data: is for vision networks", "--text", test, "--data", folder.path)
        try fails(65, "test.tsv: columns: expected \"body\"", "--text", test, "--text-columns", "body")
        try fails(65, "4 tokens of a text, expected at least 5", "--text", test, "--length", "4")
        let warned = try Program.run(arguments: command + ["--fine-tune", test, "--steps", "1"])
        #expect(warned.errors.contains("--fine-tune has the texts that accuracy is measured on"))
    }

    /// One line that names the file and the field, the status, and nothing half-written.
    @Test func whatIsWrongIsSaid() throws {
        let path = try classifier()
        let good = try texts("good.tsv", 10)
        let output = folder.path + "/out"
        let taylor = try folder.file("taylor.yaml", "stages:\n  - prune: { method: taylor, sparsity: 0.5 }\n")
        func fails(_ status: Int32, _ expected: String, _ arguments: String...) throws {
            let run = try Program.run(arguments: arguments)
            #expect(run.status == status, "\(arguments): \(run.status) \(run.errors)")
            #expect(run.errors.contains(expected), "\(arguments): \(run.errors)")
            #expect(run.output.isEmpty && !FileManager.default.fileExists(atPath: output))
        }
        let label = try folder.file("label.tsv", "sentence\tlabel\nfox\tbad\nfox\tugly\n")
        try fails(
            65, "label.tsv: line 3: label: \"ugly\" is no label of the model", "evaluate", path, "--labelled", label)
        let columns = try folder.file("columns.tsv", "body\tlabel\nfox\tbad\n")
        try fails(65, "columns.tsv: columns: expected texts as", "evaluate", path, "--labelled", columns)
        try fails(65, "has no example", "evaluate", path, "--labelled", try folder.file("empty.tsv", ""))
        let broken = folder.path + "/broken.tsv"
        try Data(Array("sentence\tlabel\nf\u{f6}x".utf8) + [0xFF, 10]).write(to: URL(fileURLWithPath: broken))
        try fails(65, "broken.tsv: is not UTF-8 text", "evaluate", path, "--labelled", broken)
        try fails(66, "none.tsv", "evaluate", path, "--labelled", folder.path + "/none.tsv")
        try fails(64, "classifies texts, expected --labelled", "evaluate", path)
        try fails(64, "--text: does not go with --labelled", "evaluate", path, "--labelled", good, "--text", good)
        try fails(64, "--label-column: expected --labelled", "evaluate", path, "--label-column", "x")
        try fails(
            64, "is no classifier of texts", "evaluate", Self.encoders + "bert-published", "--labelled", good)
        try fails(64, "--context: 400, expected 5 to 40", "evaluate", path, "--labelled", good, "--context", "400")
        try fails(
            64, "expected --calibration with texts and labels", "compress", path, "--recipe", taylor, "--output", output
        )
        try fails(
            65, "label.tsv: line 3", "compress", path, "--recipe", taylor, "--output", output, "--calibration", label)
        try fails(
            64, "--label-column: is for classifiers of texts", "compress", Self.encoders + "bert-published", "--recipe",
            taylor, "--output", output, "--label-column", "x")
        // Long texts are cut, and that is said.
        let long = try folder.file(
            "long.tsv", "text\tlabel\n" + String(repeating: "fox ", count: 100) + "\t1\nfox\t0\n")
        let run = try Program.run(arguments: ["evaluate", path, "--labelled", long, "--json"])
        #expect(run.status == 0 && run.errors.contains("1 of 2 examples are longer than 40 tokens and were cut"))
        #expect(try run.json()["truncated"]?.intValue == 1)
    }
}
