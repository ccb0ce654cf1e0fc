import CoppiceModels
import Foundation
import Testing

/// Ids and texts as the libraries that published formats come from give them.
@Suite struct TokenizerVectorTests {
    private struct Vector {
        var text: String
        var ids: [Int]
        var withSpecial: [Int]?
        var decoded: String?
        var decodedWithSpecial: String?

        init(_ line: Substring) throws {
            let json = try JSON(text: String(line), source: "vector")
            text = try #require(json["text"]?.stringValue)
            ids = try Self.ids(try #require(json["ids"]))
            withSpecial = try json["with_special"].map(Self.ids)
            decoded = json["decoded"]?.stringValue
            decodedWithSpecial = json["decoded_with_special"]?.stringValue
        }

        static func ids(_ json: JSON) throws -> [Int] { try #require(json.arrayValue).compactMap(\.intValue) }

        static func read(_ path: String) throws -> [Vector] {
            try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map(Vector.init)
        }
    }

    /// By bytes: Swift's strings are equal when canonically equivalent.
    private func same(_ left: String, _ right: String) -> Bool { Array(left.utf8) == Array(right.utf8) }

    @Test(arguments: [
        "gpt2", "llama3", "qwen2", "o200k", "prefixed", "llama2", "words", "metaspace", "wordpiece",
        "wordpiece_cased",
    ])
    func tokenizerFilesAgreeWithTheirLibrary(_ name: String) throws {
        let tokenizer = try TokenizerLoader.load(folder: Fixtures.path(name + ".json"))
        let vectors = try Vector.read(Fixtures.path(name + ".vectors.jsonl"))
        #expect(vectors.count > 35)
        for vector in vectors {
            let comment = Comment(rawValue: "\(name): \(vector.text.debugDescription)")
            #expect(tokenizer.encode(vector.text, parsingSpecialTokens: true) == vector.ids, comment)
            let decoded = try #require(vector.decoded)
            #expect(same(tokenizer.decode(vector.ids, skippingSpecialTokens: true), decoded), comment)
            let all = try #require(vector.decodedWithSpecial)
            #expect(same(tokenizer.decode(vector.ids, skippingSpecialTokens: false), all), comment)
            if !vector.ids.contains(where: tokenizer.isSpecial) {
                #expect(tokenizer.encode(vector.text, addingSpecialTokens: true) == vector.withSpecial, comment)
                #expect(tokenizer.encode(vector.text, addingSpecialTokens: false) == vector.ids, comment)
            }
        }
    }

    @Test(arguments: ["unigram", "unigram_bytes", "bpe_bytes", "bpe"])
    func sentencePieceFilesAgreeWithTheirLibrary(_ name: String) throws {
        let tokenizer = try TokenizerLoader.load(folder: Fixtures.path(name + ".model"))
        for vector in try Vector.read(Fixtures.path(name + ".vectors.jsonl")) {
            let comment = Comment(rawValue: "\(name): \(vector.text.debugDescription)")
            #expect(tokenizer.encode(vector.text, addingSpecialTokens: false) == vector.ids, comment)
            #expect(tokenizer.encode(vector.text, addingSpecialTokens: true) == [1] + vector.ids, comment)
            let decoded = try #require(vector.decoded)
            #expect(same(tokenizer.decode(vector.ids, skippingSpecialTokens: true), decoded), comment)
        }
    }

    @Test(
        .enabled(if: ReferenceData.folder != nil),
        arguments: [
            ("tiktoken/cl100k_base.tiktoken", "cl100k_base"), ("tiktoken/r50k_base.tiktoken", "r50k_base"),
            ("gpt2", "r50k_base"), ("sentencepiece/test_model.model", "test_model.model"),
        ])
    func publishedVocabulariesAgree(_ file: String, _ vectors: String) throws {
        let tokenizer = try TokenizerLoader.load(folder: ReferenceData.path("tokenizers/" + file))
        let vectors = try Vector.read(ReferenceData.path("tokenizers/golden/\(vectors).jsonl"))
        #expect(vectors.count == 65)
        for vector in vectors {
            #expect(tokenizer.encode(vector.text, addingSpecialTokens: false) == vector.ids)
            let decoded = vector.decoded ?? vector.text
            #expect(same(tokenizer.decode(vector.ids, skippingSpecialTokens: true), decoded))
        }
    }

    @Test(.enabled(if: ReferenceData.folder != nil)) func publishedStringsAgree() throws {
        let folder = "tokenizers/gguf-vocab/gpt-2.gguf"
        let texts = try ReferenceData.text(folder + ".inp").components(separatedBy: "\n__ggml_vocab_test__\n")
        let lines = try ReferenceData.text(folder + ".out").components(separatedBy: "\n")
        let tokenizer = try TokenizerLoader.load(folder: ReferenceData.path("tokenizers/gpt2"))
        #expect(texts.count == lines.count && texts.count > 45)
        for (text, line) in zip(texts, lines) {
            #expect(
                tokenizer.encode(text, addingSpecialTokens: false) == line.split(separator: " ").compactMap { Int($0) })
        }
    }

    @Test(.enabled(if: ReferenceData.folder != nil)) func storiesTokenizerAgrees() throws {
        let tokenizer = try TokenizerLoader.load(folder: ReferenceData.path("stories260k/tok512.bin"))
        let golden = try JSON(text: try ReferenceData.text("stories260k/golden.json"), source: "golden.json")
        let vectors = try #require(golden["encode_with_bos"]?.arrayValue)
        #expect(!vectors.isEmpty)
        for vector in vectors {
            let text = try #require(vector["text"]?.stringValue)
            let ids = try Vector.ids(try #require(vector["ids"]))
            #expect(tokenizer.encode(text, addingSpecialTokens: true) == ids)
            #expect(tokenizer.decode(ids, skippingSpecialTokens: true) == text)
        }
        let expected = try ReferenceData.text("stories260k/greedy_expected.txt")
        let greedy = tokenizer.decode(try Vector.ids(try #require(golden["greedy_ids"])), skippingSpecialTokens: true)
        #expect(greedy.hasPrefix("Once upon a time") && expected.hasPrefix(greedy.prefix(200)))
    }
}
