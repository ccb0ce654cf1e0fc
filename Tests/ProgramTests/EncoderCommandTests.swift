import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

/// `analyze sparsity` of an encoder folder.
@Suite struct EncoderCommandTests {
    private let folder = TemporaryFolder()

    /// A RoBERTa of no use: random weights, and a tokenizer of bytes.
    private func encoder(withoutHead: Bool = false, withoutMask: Bool = false) throws -> String {
        let path = folder.path + "/roberta"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        let configuration = EncoderConfiguration(
            vocabularySize: 260, hiddenSize: 16, intermediateSize: 32, layerCount: 1, headCount: 2, positionCount: 40,
            tokenTypeCount: 1, normEpsilon: 1e-5, padToken: 1)
        let network = MaskedLanguageEncoder(configuration, seed: 2, initialDeviation: 0.3)
        let tensors = network.parameters.filter { !withoutHead || !$0.name.hasPrefix("lm_head") }
        try SafetensorsWriter.write(
            tensors.map { .init($0.name, $0.parameter.wrappedValue.detached()) }, to: path + "/model.safetensors")
        try Data(
            """
            {"model_type": "roberta", "vocab_size": 260, "hidden_size": 16, "intermediate_size": 32,
             "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 40, "type_vocab_size": 1,
             "layer_norm_eps": 1e-5, "pad_token_id": 1, "hidden_act": "gelu"}
            """.utf8
        ).write(to: URL(fileURLWithPath: path + "/config.json"))
        // Printable bytes stand for themselves, others for the characters from U+0100 on, as in GPT-2.
        var (vocabulary, next) = ([String: JSON](), UInt32(256))
        for byte in UInt32(0)..<256 {
            let isPrintable = (33...126).contains(byte) || (161...172).contains(byte) || (174...255).contains(byte)
            let scalar = isPrintable ? byte : next
            if !isPrintable { next += 1 }
            vocabulary[String(Unicode.Scalar(scalar).map(Character.init) ?? " ")] = .integer(Int(byte) + 4)
        }
        let special = ["<s>", "<pad>", "</s>", withoutMask ? "<gap>" : "<mask>"]
        let added = special.enumerated().map { id, name -> JSON in
            .object([
                "id": .integer(id), "content": .string(name), "special": .bool(true), "single_word": .bool(false),
                "lstrip": .bool(false), "rstrip": .bool(false), "normalized": .bool(false),
            ])
        }
        for (id, name) in special.enumerated() { vocabulary[name] = .integer(id) }
        let json = JSON.object([
            "added_tokens": .array(added), "normalizer": .null,
            "pre_tokenizer": .object([
                "type": .string("ByteLevel"), "add_prefix_space": .bool(false), "use_regex": .bool(true),
            ]),
            "decoder": .object(["type": .string("ByteLevel")]),
            "model": .object([
                "type": .string("BPE"), "merges": .array([]),
                "vocab": .object(.init(uniqueKeysWithValues: vocabulary.map { ($0.key, $0.value) })),
            ]),
        ])
        try Data(json.serialized().utf8).write(to: URL(fileURLWithPath: path + "/tokenizer.json"))
        return path
    }

    @Test func analyzesAndWritesMasksAndCurves() throws {
        let path = try encoder()
        let (masks, csv) = (folder.path + "/masks.safetensors", folder.path + "/curves.csv")
        let arguments = [
            "analyze", "sparsity", path, "--grid", "0.3,0.6,0.9", "--no-refine", "--windows", "8", "--length", "24",
        ]
        let run = try Program.run(arguments: arguments + ["--csv", csv, "--json"])
        #expect(run.status == 0, "\(run.errors)")
        let analysis = try #require(try run.json()["analysis"])
        #expect(analysis["weights"]?.arrayValue?.count == 6)
        #expect(analysis["series"]?[0]?["points"]?.arrayValue?.count == 4)
        #expect(abs((analysis["chance_loss"]?.doubleValue ?? 0) - 5.5607) < 1e-3)
        #expect(try String(contentsOfFile: csv, encoding: .utf8).contains("magnitude-global"))
        if analysis["series"]?[0]?["knee"]?.doubleValue != nil {
            #expect(try Program.run(arguments: arguments + ["--masks", masks]).status == 0)
            #expect(FileManager.default.fileExists(atPath: masks))
        }
        let text = try folder.file("text.txt", String(repeating: "Once upon a time there was a king. ", count: 40))
        let tuned = try Program.run(
            arguments: arguments + ["--fine-tune", text, "--steps", "3", "--text", text, "--json"])
        #expect(tuned.status == 0, "\(tuned.errors)")
        #expect(try tuned.json()["protocol"]?.stringValue == "fine-tune")
    }

    /// A BERT as it is published, with `vocab.txt` and names of its time.
    private func bert() throws -> String {
        let path = folder.path + "/bert"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        let published = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().path
        for name in ["config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json"] {
            try FileManager.default.copyItem(
                atPath: published + "/Fixtures/encoders/bert-published/" + name, toPath: path + "/" + name)
        }
        return path
    }

    @Test func compressesEvaluatesAndInspects() throws {
        let path = try bert()
        let text = try folder.file(
            "text.txt", String(repeating: "The quick brown fox didn't jump and the cafés, a fox: ", count: 60))
        let recipe = try folder.file(
            "recipe.yaml",
            """
            calibration: { samples: 8, sequence_length: 24 }
            stages:
              - prune: { method: taylor, scope: global, sparsity: 0.5 }
            """)
        let output = folder.path + "/half"
        let run = try Program.run(arguments: [
            "compress", path, "--recipe", recipe, "--output", output, "--calibration", text, "--evaluate", text,
            "--json",
        ])
        #expect(run.status == 0, "\(run.errors)")
        let before = try #require(try run.json()["perplexity_before"]?.doubleValue)
        let after = try #require(try run.json()["perplexity_after"]?.doubleValue)
        for (model, expected) in [(path, before), (output, after)] {
            let evaluated = try Program.run(arguments: ["evaluate", model, "--text", text, "--json"])
            #expect(evaluated.status == 0, "\(evaluated.errors)")
            #expect(try evaluated.json()["perplexity"]?.doubleValue == expected)
            #expect(try (evaluated.json()["hidden_tokens"]?.intValue ?? 0) > 50)
        }
        #expect(before != after)
        let inspected = try Program.run(arguments: ["inspect", output, "--json"]).json()
        let tensors = try #require(inspected["tensors"]?.arrayValue)
        let layers = tensors.filter {
            let name = $0["name"]?.stringValue ?? ""
            return name.contains("encoder.layer") && name.hasSuffix("weight")
        }
        #expect(layers.count == 12)
        let zeros = layers.reduce(0.0) { sum, tensor in
            let count = tensor["shape"]?.arrayValue?.compactMap(\.intValue).reduce(1, *) ?? 0
            return sum + (tensor["sparsity"]?.doubleValue ?? 0) * Double(count)
        }
        #expect(zeros == Double(2 * (4 * 12 * 12 + 2 * 12 * 20) / 2))
        #expect(inspected["config"]?["model_type"]?.stringValue == "bert")
        // The masks of the one give the other from the dense model.
        let masks = folder.path + "/masks.safetensors"
        let plain = try folder.file(
            "plain.yaml", "stages:\n  - prune: { method: random, scope: global, sparsity: 0.5 }\n")
        let steps = [
            ["compress", path, "--recipe", plain, "--output", folder.path + "/random", "--skip-evaluation"],
            ["mask", "extract", folder.path + "/random", "--of", path, "--output", masks],
            ["mask", "apply", path, masks, "--output", folder.path + "/again"],
        ]
        for arguments in steps {
            let step = try Program.run(arguments: arguments)
            #expect(step.status == 0, "\(arguments): \(step.errors)")
        }
        #expect(
            try Data(contentsOf: URL(fileURLWithPath: folder.path + "/random/model.safetensors"))
                == Data(contentsOf: URL(fileURLWithPath: folder.path + "/again/model.safetensors")))
        let own = ["--text", text, "--json"]
        let masked = try Program.run(arguments: ["evaluate", path, "--mask", masks] + own).json()["loss"]?.doubleValue
        let sparse = try Program.run(arguments: ["evaluate", folder.path + "/again"] + own).json()["loss"]?.doubleValue
        #expect(abs((masked ?? .nan) - (sparse ?? .nan)) < 1e-5)
    }

    /// 2:4 in 8 bits: a smaller file, measured, masked and compressed again as it is, and dense again for others.
    @Test func compressedEncodersAreSmallerAndConverted() throws {
        let path = try bert()
        let text = try folder.file(
            "text.txt", String(repeating: "The quick brown fox didn't jump and the cafés, a fox: ", count: 60))
        let recipe = try folder.file(
            "small.yaml",
            "stages:\n  - prune: { method: magnitude, pattern: '2:4' }\n  - quantize: { bits: 8 }\n")
        let (small, dense) = (folder.path + "/small", folder.path + "/dense")
        func run(_ arguments: String...) throws -> JSON {
            let run = try Program.run(arguments: arguments + ["--json"])
            #expect(run.status == 0, "\(arguments): \(run.errors)")
            return try run.json()
        }
        let report = try run("compress", path, "--recipe", recipe, "--output", small, "--evaluate", text)
        let bytes = try #require(report["bytes_after"]?.intValue)
        #expect(try bytes < #require(report["bytes_before"]?.intValue))
        let perplexity = try #require(report["perplexity_after"]?.doubleValue)
        #expect(try run("evaluate", small, "--text", text)["perplexity"]?.doubleValue == perplexity)
        let inspected = try run("inspect", small)
        #expect(inspected["totals"]?["bytes"]?.intValue == bytes)
        let query = inspected["tensors"]?.arrayValue?.first {
            $0["name"]?.stringValue == "bert.encoder.layer.1.attention.self.query.weight"
        }
        #expect(query?["format"]?.stringValue == "sparse-2:4-int8")
        #expect(query?["sparsity"]?.doubleValue == 0.5)
        let mask = try run("mask", "extract", small, "--of", path, "--output", folder.path + "/mask.safetensors")
        #expect(mask["sparsity"]?.doubleValue == 0.5)
        let converted = try run("convert", small, "--output", dense)
        #expect(converted["tensors"]?.intValue == inspected["tensors"]?.arrayValue?.count)
        let formats = try run("inspect", dense)["tensors"]?.arrayValue?.compactMap { $0["format"]?.stringValue }
        #expect(Set(formats ?? []) == ["f32"])
        // The kernels of 8 bits round activations.
        let exact = try #require(try run("evaluate", dense, "--text", text)["perplexity"]?.doubleValue)
        #expect(abs(exact / perplexity - 1) < 0.01)
        let names = try FileManager.default.contentsOfDirectory(atPath: dense)
        #expect(["config.json", "vocab.txt", "tokenizer_config.json"].allSatisfy(names.contains))
        try Program.expectFailure(
            64, "--to: gguf is for language models",
            ["convert", small, "--to", "gguf", "--output", folder.path + "/x.gguf"])
        let again = try run(
            "compress", small, "--recipe", recipe, "--output", folder.path + "/again", "--skip-evaluation")
        #expect(again["bytes_after"]?.intValue == bytes)
    }

    @Test func sparsitiesOfEncodersAreCompared() throws {
        let text = try folder.file(
            "text.txt", String(repeating: "The quick brown fox and the cafés, a fox: ", count: 60))
        let recipe = try folder.file(
            "r.yaml", "stages:\n  - prune: { method: magnitude, scope: global, sparsity: 0.5 }\n")
        let output = folder.path + "/compared"
        let run = try Program.run(arguments: [
            "compress", try bert(), "--recipe", recipe, "--output", output, "--sparsity", "0.2,0.8", "--evaluate", text,
        ])
        #expect(run.status == 0, "\(run.errors)")
        let names = try FileManager.default.contentsOfDirectory(atPath: output)
        #expect(names.count { FileManager.default.fileExists(atPath: output + "/" + $0 + "/config.json") } == 2)
    }

    @Test func encodersRefuseWhatIsOfOtherModels() throws {
        let path = try bert()
        let recipe = try folder.file("q.yaml", "stages:\n  - prune: { method: synflow, sparsity: 0.5 }\n")
        let output = folder.path + "/out"
        try Program.expectFailure(
            65, "stages[0].prune.method: synflow is for vision networks",
            ["compress", path, "--recipe", recipe, "--output", output])
        let prune = try folder.file("p.yaml", "stages:\n  - prune: { method: magnitude, sparsity: 0.5 }\n")
        try Program.expectFailure(
            64, "--data: is for vision networks",
            ["compress", path, "--recipe", prune, "--output", output, "--data", folder.path])
        try Program.expectFailure(64, "--stride: is for language models", ["evaluate", path, "--stride", "8"])
        try Program.expectFailure(64, "--context: 41, expected 3 to 40", ["evaluate", path, "--context", "41"])
        #expect(!FileManager.default.fileExists(atPath: output))
    }

    @Test func analyzesPublishedBerts() throws {
        let path = try bert()
        let text = try folder.file(
            "text.txt", String(repeating: "The quick brown fox didn't jump and the cafés, a fox: ", count: 60))
        let arguments = [
            "analyze", "sparsity", path, "--grid", "0.3,0.6,0.9", "--no-refine", "--windows", "8", "--length", "24",
            "--text", text, "--json",
        ]
        let run = try Program.run(arguments: arguments)
        #expect(run.status == 0, "\(run.errors)")
        let analysis = try #require(try run.json()["analysis"])
        let names = analysis["weights"]?.arrayValue?.compactMap { $0.stringValue ?? $0["name"]?.stringValue } ?? []
        #expect(names.count == 12 && names.first == "bert.encoder.layer.0.attention.self.query.weight")
        let tuned = try Program.run(arguments: arguments + ["--fine-tune", text, "--steps", "3"])
        #expect(tuned.status == 0, "\(tuned.errors)")
        let tokens = try Program.run(arguments: ["tokenize", path, "--text", "Brown cafés", "--special", "--json"])
        #expect(try tokens.json()["ids"]?.arrayValue?.compactMap(\.intValue) == [2, 11, 12, 18, 19, 3])
    }

    @Test func failuresAreOneLine() throws {
        let headless = try encoder(withoutHead: true)
        try Program.expectFailure(
            65, "lm_head.dense.weight: is missing, expected a RobertaForMaskedLM", ["analyze", "sparsity", headless])
        try FileManager.default.removeItem(atPath: headless)
        let mute = try encoder(withoutMask: true)
        try Program.expectFailure(65, "has no special token <mask>", ["analyze", "sparsity", mute])
        try FileManager.default.removeItem(atPath: mute + "/tokenizer.json")
        try Program.expectFailure(66, "tokenizer", ["analyze", "sparsity", mute])
        try FileManager.default.removeItem(atPath: mute + "/model.safetensors")
        try Program.expectFailure(66, "model.safetensors", ["analyze", "sparsity", mute])
        let short = try folder.file("short.txt", "Too short.")
        try Program.expectFailure(65, "short.txt", ["analyze", "sparsity", try encoder(), "--text", short])
    }

    /// What a data folder does not hold is said at once, by its name.
    @Test func experimentsNameMissingTexts() throws {
        try Program.expectFailure(
            66, "looked for the files TinyStories-valid.txt, text/tinystories_2m.txt (plain, .gz or .xz)",
            ["reproduce", "essential-sparsity", "--data", folder.path])
        try Program.expectFailure(
            66, "looked for the folders mnist, MNIST/raw, MNIST; the set's home is",
            ["reproduce", "grokking-tickets", "--data", folder.path])
    }
}
