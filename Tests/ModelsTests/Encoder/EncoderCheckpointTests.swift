import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Foundation
import Testing

/// Folders as encoders are published (Tools/fixtures/make_encoder_models.py).
@Suite struct EncoderCheckpointTests {
    private let published = fixtures + "/encoders/bert-published"
    private let text = "The quick brown fox didn't jump: cafés, [MASK] and 狐狸!"

    private func difference(_ a: Tensor, _ b: Tensor) -> Double {
        guard a.shape == b.shape else { return .infinity }
        return zip(a.doubles(), b.doubles()).reduce(0) { max($0, abs($1.0 - $1.1)) }
    }

    /// `vocab.txt`, `LayerNorm.gamma` and `beta`, and the heads of the pre-training: tokens and logits of `transformers`.
    @Test func firstBertsAreReadAsTheyWerePublished() throws {
        let checkpoint = try EncoderCheckpoint.open(published)
        let tokenizer = try checkpoint.tokenizer()
        let frame = try checkpoint.textFrame(tokenizer)
        #expect(frame == EncoderCheckpoint.TextFrame(begin: 2, end: 3, mask: 4))
        let reference = try SafetensorsFile(path: published + "/reference.safetensors")
        let expected = try reference.tensor("input_ids")
        let tokens = [frame.begin] + tokenizer.encode(text, parsingSpecialTokens: true) + [frame.end]
        #expect(tokens == expected.integers())
        let network = try checkpoint.maskedLanguageModel()
        #expect(try difference(network(expected), reference.tensor("logits")) < 1e-5)
        // Norms were read, not left as they begin.
        #expect(
            network.stack.embeddings.norm.parameters.allSatisfy { name, parameter in
                let numbers = parameter.wrappedValue.doubles()
                return numbers.contains { abs($0 - numbers[0]) > 1e-3 }
            })
    }

    /// A copy of the folder's weights with some changed.
    private func changed(_ change: (inout [String: Tensor]) throws -> Void) throws -> String {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("bert-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        for name in ["config.json", "vocab.txt", "tokenizer_config.json"] {
            try FileManager.default.copyItem(atPath: published + "/" + name, toPath: folder + "/" + name)
        }
        let file = try SafetensorsFile(path: published + "/model.safetensors")
        var tensors: [String: Tensor] = [:]
        for name in file.names { tensors[name] = try file.tensor(name) }
        try change(&tensors)
        try SafetensorsWriter.write(
            tensors.sorted { $0.key < $1.key }.map { .init($0.key, $0.value) }, to: folder + "/model.safetensors")
        return folder
    }

    @Test func biasesOfHeadsHaveTwoNames() throws {
        let folder = try changed { tensors in
            tensors["cls.predictions.decoder.bias"] = tensors.removeValue(forKey: "cls.predictions.bias")
        }
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let own = try EncoderCheckpoint.open(folder).maskedLanguageModel()
        let bias = try SafetensorsFile(path: published + "/model.safetensors").tensor("cls.predictions.bias")
        #expect(difference(own.bias, bias) == 0)
    }

    @Test func headsWithWordsOfTheirOwnAreRefused() throws {
        let name = "cls.predictions.decoder.weight"
        let folder = try changed { tensors in tensors[name] = try #require(tensors[name]) * 2 }
        defer { try? FileManager.default.removeItem(atPath: folder) }
        do {
            _ = try EncoderCheckpoint.open(folder).maskedLanguageModel()
            Issue.record("loaded")
        } catch let error as CoppiceError {
            #expect(error.kind == .badData)
            #expect(
                error.description.hasSuffix("\(name): differs from the table of words, expected a head that shares it"))
        }
    }

    @Test func missingNormsAreNamedAsToday() throws {
        let folder = try changed { $0["bert.embeddings.LayerNorm.gamma"] = nil }
        defer { try? FileManager.default.removeItem(atPath: folder) }
        do {
            _ = try EncoderCheckpoint.open(folder).maskedLanguageModel()
            Issue.record("loaded")
        } catch let error as CoppiceError {
            #expect(error.description.hasSuffix("bert.embeddings.LayerNorm.weight: no tensor of this name"))
        }
    }
}
