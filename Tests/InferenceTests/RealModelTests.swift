import CoppiceInference
import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

/// Checks against a trained model, where COPPICE_DATA names a folder that holds `stories260k`.
@Suite("A trained model", .enabled(if: Fixtures.data != nil))
struct RealModelTests {
    private let folder = (Fixtures.data ?? "") + "/stories260k"

    private func json(_ name: String) throws -> JSON {
        let path = "\(folder)/\(name)"
        return try JSON(text: String(contentsOfFile: path, encoding: .utf8), source: path)
    }

    private func model() throws -> LanguageModel { try LanguageModel(Checkpoint.open(folder + "/stories260K.bin")) }

    @Test("Golden logits and greedy tokens")
    func golden() throws {
        let golden = try json("golden.json")
        let ids = try #require(golden["greedy_ids"]?.arrayValue).compactMap(\.intValue)
        let expected = try #require(golden["logits_pos0_7"]?.arrayValue).map { row in
            (row.arrayValue ?? []).compactMap(\.doubleValue).map { Float($0) }
        }
        let model = try model()
        let found = try model.logits(Array(ids.prefix(8)), chunks: [8])
        #expect(largestDifference(found, expected) < 2e-3)

        let tokenizer = try TokenizerLoader.load(folder: folder + "/tok512.bin")
        let result = try TextGenerator(model, tokenizer: tokenizer).generate(
            GenerationRequest(
                promptTokens: [ids[0]], maximumTokens: ids.count - 1, sampling: .greedy, ignoresEndToken: true))
        #expect(result.tokens == Array(ids.dropFirst()))
        let text = try String(contentsOfFile: folder + "/greedy_expected.txt", encoding: .utf8)
        #expect(
            result.text.trimmingCharacters(in: .whitespacesAndNewlines)
                .hasPrefix(text.trimmingCharacters(in: .whitespacesAndNewlines).prefix(400)))
    }

    @Test("Losses on ten stories")
    func losses() throws {
        let path = (Fixtures.data ?? "") + "/text/tinystories_2m.txt.gz"
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", "gzip -dc \"$0\" | head -c 40000", path]
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        let stories = text.components(separatedBy: "<|endoftext|>").map {
            $0.trimmingCharacters(in: .whitespacesAndNewlines)
        }
        let expected = try #require(try json("nll_first10_tinystories.json")["stories"]?.arrayValue)
        let model = try model()
        let tokenizer = try TokenizerLoader.load(folder: folder + "/tok512.bin")
        for (story, reference) in zip(stories, expected) {
            let ids = Array(([1] + tokenizer.encode(story, addingSpecialTokens: false)).prefix(256))
            #expect(ids.count == reference["tokens"]?.intValue)
            let result = try PerplexityEvaluator(model, context: 256).evaluate(ids)
            let sum = try #require(reference["sum_nll"]?.doubleValue)
            #expect(abs(result.meanLoss * Double(result.predictedTokens) - sum) < 0.02)
        }
    }
}
