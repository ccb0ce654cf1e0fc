import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Foundation
import Testing

/// Heads that classify: which one a folder has, its labels, and how it reads texts.
@Suite struct EncoderHeadTests {
    private func folder(
        _ name: String, _ change: (inout [String: JSON], inout [String: Tensor]) throws -> Void = { _, _ in }
    ) throws -> String {
        let source = fixtures + "/encoders/" + name
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("head-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        let json = try JSON(parsing: MappedFile.contents(source + "/config.json"), source: "config.json")
        var members = Dictionary(uniqueKeysWithValues: (json.objectValue ?? [:]).map { ($0.key, $0.value) })
        let file = try SafetensorsFile(path: source + "/model.safetensors")
        var tensors: [String: Tensor] = [:]
        for name in file.names { tensors[name] = try file.tensor(name) }
        try change(&members, &tensors)
        let text = JSON.object(.init(uniqueKeysWithValues: members.sorted { $0.key < $1.key })).serialized()
        try Data(text.utf8).write(to: URL(fileURLWithPath: path + "/config.json"))
        try SafetensorsWriter.write(
            tensors.sorted { $0.key < $1.key }.map { .init($0.key, $0.value) }, to: path + "/model.safetensors")
        return path
    }

    /// Logits of `transformers`, from folders as it writes them; a bare vocabulary needs no tokenizer.
    @Test(arguments: ["bert-classifier", "roberta-classifier"]) func logitsAreThoseOfTransformers(_ name: String) throws
    {
        let path = fixtures + "/encoders/" + name
        let checkpoint = try EncoderCheckpoint.open(path)
        #expect(checkpoint.head == .classifies)
        let classes = name.hasPrefix("bert") ? 4 : 3
        #expect(try checkpoint.labels() == (0..<classes).map { "LABEL_\($0)" })
        let reference = try SafetensorsFile(path: path + "/reference.safetensors")
        let (tokens, types) = (try reference.tensor("input_ids"), try reference.tensor("token_type_ids"))
        let expected = try reference.tensor("logits").doubles()
        let network = try checkpoint.classifier()
        for (own, other) in zip(network(tokens, types: types).doubles(), expected) { #expect(abs(own - other) < 1e-5) }
        // Layer by layer.
        let context = network.context(of: tokens)
        let hidden = network.embedded(tokens, context)
        let layered = network.outputs(ofHidden: hidden, before: 0, context).floats()
        #expect(layered == network.outputs(tokens).floats())
        #expect(
            network.layerIndex(ofMatrix: "\(network.configuration.family).encoder.layer.1.output.dense.weight") == 1)
        #expect(network.layerIndex(ofMatrix: "classifier.weight") == 2)
        #expect(network.layerIndex(ofMatrix: "bert.embeddings.word_embeddings.weight") == nil)
        #expect(try checkpoint.network() is EncoderClassifier)
    }

    @Test func headsAreToldApart() throws {
        #expect(try EncoderCheckpoint.open(fixtures + "/encoders/bert-published").head == .fillsGaps)
        let unnamed = try folder("bert-classifier") { json, _ in json["architectures"] = nil }
        defer { try? FileManager.default.removeItem(atPath: unnamed) }
        #expect(try EncoderCheckpoint.open(unnamed).head == .classifies)
        let plain = try folder("bert-masked") { json, _ in json["architectures"] = nil }
        defer { try? FileManager.default.removeItem(atPath: plain) }
        #expect(try EncoderCheckpoint.open(plain).head == .fillsGaps)
        #expect { try EncoderCheckpoint.open(plain).classifier() } throws: {
            "\($0)".contains("is missing, expected a BertForSequenceClassification")
        }
    }

    @Test func labelsAreCheckedAgainstTheHead() throws {
        func failure(_ change: (inout [String: JSON], inout [String: Tensor]) throws -> Void) throws -> String {
            let path = try folder("bert-classifier", change)
            defer { try? FileManager.default.removeItem(atPath: path) }
            do {
                return "labels \(try EncoderCheckpoint.open(path).classifier())"
            } catch { return "\(error)" }
        }
        func names(_ names: [String], from first: Int = 0) -> JSON {
            .object(.init(uniqueKeysWithValues: names.enumerated().map { ("\($0 + first)", JSON.string($1)) }))
        }
        #expect(
            try failure { json, _ in json["id2label"] = names(["a", "b"]) }.contains(
                "classifier.weight: has 4 rows, expected 2, one for each label of config.json"))
        #expect(
            try failure { json, _ in json["id2label"] = names(["a", "b"], from: 1) }.contains(
                "config.json: id2label: expected a name of each label from 0 to 1, found none of 0"))
        #expect(
            try failure { json, _ in json["id2label"] = names(["a"]) }.contains(
                "id2label: expected at least 2 labels, found 1, as of a regression"))
        #expect(
            try failure { json, _ in json["problem_type"] = "regression" }.contains(
                "problem_type: expected single_label_classification, found \"regression\""))
        #expect(
            try failure { _, tensors in tensors["bert.pooler.dense.weight"] = nil }.contains(
                "bert.pooler.dense.weight: is missing, expected a BertForSequenceClassification"))
    }

    /// What transformers truncates to: the longer text first.
    @Test func pairsThatAreTooLongLoseOfTheLongerText() {
        let frame = EncoderCheckpoint.TextFrame(begin: 1, end: 2, mask: 3)
        func counts(_ a: Int, _ b: Int, _ length: Int, _ family: EncoderConfiguration.Family = .bert) -> [Int] {
            let configuration = EncoderConfiguration(
                family: family, vocabularySize: 30, hiddenSize: 4, layerCount: 1, headCount: 1)
            let texts = [[Int](repeating: 8, count: a), [Int](repeating: 9, count: b)]
            let (tokens, isTruncated) = configuration.sequence(texts, frame: frame, length: length)
            #expect(isTruncated == (a + b + (family == .bert ? 3 : 4) > length))
            #expect(tokens.first == 1 && tokens.last == 2 && tokens.count <= length)
            let separators = tokens.dropFirst().dropLast().filter { $0 == 2 }.count
            #expect(separators == (family == .bert ? 1 : 2))
            return [tokens.count { $0 == 8 }, tokens.count { $0 == 9 }]
        }
        #expect(counts(3, 4, 10) == [3, 4])
        #expect(counts(3, 40, 13) == [3, 7] && counts(40, 3, 13) == [7, 3])
        #expect(counts(20, 30, 13) == [5, 5] && counts(20, 30, 14) == [5, 6] && counts(30, 20, 14) == [6, 5])
        #expect(counts(20, 20, 14) == [5, 6] && counts(20, 30, 14, .roberta) == [5, 5])
        #expect(counts(0, 9, 8) == [0, 5])
        let one = EncoderConfiguration(vocabularySize: 30, hiddenSize: 4, layerCount: 1, headCount: 1)
        #expect(one.sequence([[7, 7, 7, 7]], frame: frame, length: 5).tokens == [1, 7, 7, 7, 2])
    }
}
