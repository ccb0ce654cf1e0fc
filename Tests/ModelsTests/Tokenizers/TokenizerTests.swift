import CoppiceModels
import Foundation
import Testing

@Suite struct TokenizerTests {
    private static let files = [
        "gpt2.json", "llama3.json", "qwen2.json", "o200k.json", "llama2.json", "metaspace.json", "unigram_bytes.model",
        "bpe_bytes.model",
    ]

    @Test(arguments: files) func streamsGiveTheWholeTextAndNoHalfCharacters(_ file: String) throws {
        let tokenizer = try TokenizerLoader.load(folder: Fixtures.path(file))
        for text in ["灯台のはりねずみ 😀 é", "plain words", "👩‍👩‍👧‍👦🇫🇷", "Grüße, спокойной ночи"] {
            let ids = tokenizer.encode(text, addingSpecialTokens: false)
            var decoder = StreamingDetokenizer(tokenizer, startsText: true)
            let parts = ids.map { decoder.append($0) }
            let rest = decoder.finish()
            let whole = tokenizer.decode(ids, skippingSpecialTokens: true)
            #expect(Array((parts.joined() + rest).utf8) == Array(whole.utf8))
            if Array(whole.utf8) == Array(text.utf8) {
                #expect(rest.isEmpty && !parts.contains { $0.unicodeScalars.contains("\u{fffd}") })
            }
        }
    }

    @Test func streamsContinueATextWithItsSpace() throws {
        let tokenizer = try TokenizerLoader.load(folder: Fixtures.path("llama2.json"))
        let ids = tokenizer.encode("the sea", addingSpecialTokens: false)
        var decoder = tokenizer.streamingDecoder()
        #expect(ids.map { decoder.append($0) }.joined() == " the sea")
        #expect(tokenizer.decode(ids, skippingSpecialTokens: true) == "the sea")
    }

    @Test func brokenBytesBecomeReplacementCharacters() throws {
        let tokenizer = try TokenizerLoader.load(folder: Fixtures.path("gpt2.json"))
        let snowman = tokenizer.encode("☃", addingSpecialTokens: false)
        #expect(snowman.count == 3)
        #expect(tokenizer.decode(Array(snowman.dropLast()), skippingSpecialTokens: true) == "\u{fffd}")
        var decoder = tokenizer.streamingDecoder()
        #expect(decoder.append(snowman[0]) == "" && decoder.append(snowman[1]) == "")
        #expect(decoder.finish() == "\u{fffd}")
        #expect(tokenizer.decode([-1, 1_000_000], skippingSpecialTokens: false) == "")
        #expect(tokenizer.piece(-1) == "" && tokenizer.bytes(of: 1_000_000).isEmpty)
    }

    @Test func specialTokensOfAStrangerAreText() throws {
        let tokenizer = try TokenizerLoader.load(folder: Fixtures.path("gpt2.json"))
        let text = "tale<|end|>sea"
        let plain = tokenizer.encode(text, addingSpecialTokens: true)
        let parsed = tokenizer.encode(text, parsingSpecialTokens: true)
        #expect(!plain.contains(0) && parsed.contains(0))
        #expect(tokenizer.decode(plain, skippingSpecialTokens: true) == text)
        #expect(tokenizer.decode(parsed, skippingSpecialTokens: true) == "talesea")
        #expect(tokenizer.decode(parsed, skippingSpecialTokens: false) == text)
        #expect(tokenizer.isSpecial(0) && tokenizer.piece(0) == "<|end|>")
    }

    @Test func anyTextComesBackFromByteLevelTokens() throws {
        let tokenizer = try TokenizerLoader.load(folder: Fixtures.path("o200k.json"))
        var generator = NumberGenerator(state: 7)
        for _ in 0..<200 {
            var text = String.UnicodeScalarView()
            for _ in 0..<generator.next() % 120 {
                let limit: UInt32 = [0x80, 0x100, 0x3000, 0x20000][Int(generator.next() % 4)]
                if let scalar = Unicode.Scalar(UInt32(truncatingIfNeeded: generator.next()) % limit) {
                    text.append(scalar)
                }
            }
            let ids = tokenizer.encode(String(text), addingSpecialTokens: false)
            #expect(Array(tokenizer.decode(ids, skippingSpecialTokens: true).utf8) == Array(String(text).utf8))
            #expect(ids.flatMap(tokenizer.bytes) == Array(String(text).utf8))
        }
    }

    @Test func concurrentCallsAgree() async throws {
        let tokenizer = try TokenizerLoader.load(folder: Fixtures.path("llama3.json"))
        let text = String(repeating: "The hedgehog kept 1234 lamps, he'd count. ", count: 50)
        let expected = tokenizer.encode(text, addingSpecialTokens: true)
        await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    (0..<20).allSatisfy { _ in tokenizer.encode(text, addingSpecialTokens: true) == expected }
                }
            }
            for await agrees in group { #expect(agrees) }
        }
    }

    @Test func trainedFilesLoadAndAgreeWithTheirLibrary() throws {
        let texts = try #require(try JSON(text: try Fixtures.text("training.json"), source: "t").arrayValue)
        let encoding = try BPETrainer(vocabularySize: 420, specialTokens: ["<|end|>"])
            .train(texts.compactMap(\.stringValue))
        let library = try JSON(text: try Fixtures.text("gpt2.json"), source: "gpt2.json")
        #expect(encoding.tokenizerJSON()["model"]?["vocab"] == library["model"]?["vocab"])
        #expect(encoding.tokenizerJSON()["model"]?["merges"] == library["model"]?["merges"])

        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("tokenizer-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let json = encoding.tokenizerJSON(beginToken: "<|end|>", endToken: "<|end|>")
        try json.serialized(pretty: true)
            .write(to: folder.appendingPathComponent("tokenizer.json"), atomically: true, encoding: .utf8)
        try encoding.tokenizerConfiguration(beginToken: "<|end|>", endToken: "<|end|>").serialized()
            .write(to: folder.appendingPathComponent("tokenizer_config.json"), atomically: true, encoding: .utf8)
        let tokenizer = try TokenizerLoader.load(folder: folder.path)
        #expect(tokenizer.beginToken == 0 && tokenizer.endTokens == [0] && tokenizer.vocabularySize == 420)
        let reference = try TokenizerLoader.load(folder: Fixtures.path("gpt2.json"))
        let text = texts.compactMap(\.stringValue).joined()
        let ids = tokenizer.encode(text, addingSpecialTokens: false)
        #expect(ids == reference.encode(text, addingSpecialTokens: false))
        #expect(tokenizer.encode(text, addingSpecialTokens: true) == [0] + ids + [0])
    }

    @Test func splitPatternsAreRecognisedInTheirSpellings() throws {
        let possessive =
            #"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"#
            + #"|\s*[\r\n]|\s+(?!\S)|\s+"#
        #expect(try SplitPattern(possessive) == .llama3)
        #expect(
            try SplitPattern(#"'s|'t|'re|'ve|'m|'ll|'d| ?[\p{L}]+| ?[\p{N}]+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#)
                == .gpt2)
        #expect(throws: (any Error).self) { try SplitPattern(#"[a-z]+|\s+"#) }
        #expect(throws: (any Error).self) { try SplitPattern("") }
    }
}

private struct NumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
        return value ^ value >> 31
    }
}
