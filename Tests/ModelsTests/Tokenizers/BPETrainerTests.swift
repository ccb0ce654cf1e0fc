import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

@Suite struct BPETrainerTests {
    private func merges(_ encoding: BytePairEncoding) -> [String] {
        (0..<encoding.mergeCount).map { "\(encoding.merge($0).left) \(encoding.merge($0).right)" }
    }

    @Test func mostFrequentPairComesFirst() throws {
        let encoding = try BPETrainer(vocabularySize: 260).train(["low low low lower lowest"])
        #expect(merges(encoding) == ["l o", "lo w", "Ġ low", "Ġlow e"])
        #expect(encoding.vocabularySize == 260)
        #expect(encoding.piece(259) == "Ġlowe")
    }

    @Test func tiesFollowTheOption() throws {
        let text = ["ab cd", "ab cd"]
        let oldest = try BPETrainer(vocabularySize: 257).train(text)
        #expect(merges(oldest) == ["a b"])
        let greatest = try BPETrainer(vocabularySize: 257, tieBreaking: .greatestBytes).train(text)
        #expect(merges(greatest) == ["c d"])
    }

    @Test func specialTokensAreBordersAndComeFirst() throws {
        let encoding = try BPETrainer(vocabularySize: 300, specialTokens: ["<|end|>", "<|e"])
            .train(["ab<|end|>ab<|end|>ab<|e"])
        #expect(encoding.piece(0) == "<|end|>")
        #expect(encoding.piece(1) == "<|e")
        #expect(merges(encoding) == ["a b"])
        #expect(encoding.vocabularySize == 259)
    }

    @Test func rarePairsStayApart() throws {
        let encoding = try BPETrainer(vocabularySize: 300, minimumFrequency: 2).train(["abc abd"])
        #expect(merges(encoding) == ["a b"])
    }

    @Test func wrongRequestsAreRefused() throws {
        #expect(throws: CoppiceError.self) { try BPETrainer(vocabularySize: 255).train(["a"]) }
        #expect(throws: CoppiceError.self) { try BPETrainer(vocabularySize: 300).train([""]) }
        #expect(throws: CoppiceError.self) {
            try BPETrainer(vocabularySize: 300, specialTokens: ["a", "a"]).train(["a"])
        }
        #expect(throws: CoppiceError.self) { try BPETrainer(vocabularySize: 300, specialTokens: [""]).train(["a"]) }
    }

    @Test(.enabled(if: ReferenceData.folder != nil)) func agreesWithTheReferenceVocabulary() throws {
        let folder = "tokenizers/bpe-train/"
        let encoding = try BPETrainer(
            vocabularySize: 500, specialTokens: ["<|endoftext|>"], tieBreaking: .greatestBytes
        )
        .train([try ReferenceData.text(folder + "corpus.en")])
        let expected = try ReferenceData.text(folder + "reference_merges.txt").split(separator: "\n").map(String.init)
        #expect(expected.count == 243)
        #expect(merges(encoding) == expected)
        let vocabulary = try JSON(text: try ReferenceData.text(folder + "reference_vocab.json"), source: "vocab")
        #expect(Set(vocabulary.objectValue?.keys.map { $0 } ?? []) == Set((0..<500).map(encoding.piece)))
    }
}
