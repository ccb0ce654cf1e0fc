import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

@Suite struct TokenizerLoaderTests {
    /// What loading a folder with these files says, without the folder's name.
    private func message(_ files: [String: [UInt8]]) throws -> String {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("tokenizer-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        for (name, bytes) in files { try Data(bytes).write(to: folder.appendingPathComponent(name)) }
        do {
            let tokenizer = try TokenizerLoader.load(folder: folder.path)
            return "loaded \(tokenizer.vocabularySize)"
        } catch {
            let text = String(describing: error)
            return text.replacingOccurrences(of: folder.path + "/", with: "")
                .replacingOccurrences(of: folder.path, with: "FOLDER")
        }
    }

    private func message(json: String) throws -> String { try message(["tokenizer.json": Array(json.utf8)]) }

    @Test func missingTokenizersAreNamed() throws {
        #expect(try message([:]).hasPrefix("FOLDER: no tokenizer: expected tokenizer.json"))
        do {
            _ = try TokenizerLoader.load(folder: "/no/such/folder")
            Issue.record("loaded")
        } catch let error as CoppiceError {
            #expect(error.kind == .noInput)
            #expect(error.description == "/no/such/folder: no such file or folder")
        }
        #expect(
            try message(["vocab.json": Array("{\"a\": 0}".utf8)]) == "merges.txt: the file is missing or cannot be read"
        )
        #expect(try message(["tokenizer.json": []]) == "tokenizer.json: the file is empty")
    }

    @Test(arguments: [
        ("{\"model\": ", "tokenizer.json: line 1, column 11: the text ends in the middle of a value"),
        ("{}", "tokenizer.json: model: missing; expected a BPE, Unigram or WordPiece model"),
        (
            "{\"model\": {\"type\": \"WordPiece\", \"vocab\": {\"a\": 0}}}",
            "tokenizer.json: model.unk_token: [UNK] is not in the vocabulary"
        ),
        (
            "{\"model\": {\"type\": \"WordPiece\", \"unk_token\": \"a\", \"vocab\": {\"a\": 0}}}", "loaded 1"
        ),
        (
            "{\"model\": {\"type\": \"WordPiece\", \"unk_token\": 7, \"vocab\": {\"a\": 0}}}",
            "tokenizer.json: model.unk_token: expected a string, found 7"
        ),
        (
            #"{"model": {"type": "WordPiece", "max_input_chars_per_word": -1, "vocab": {"[UNK]": 0}}}"#,
            "tokenizer.json: model.max_input_chars_per_word: expected a whole number from 0 to 2147483647, found -1"
        ),
        (
            #"{"normalizer": {"type": "BertNormalizer", "lowercase": 1}, "model": {"vocab": {"a": 0}}}"#,
            "tokenizer.json: normalizer.lowercase: expected true or false, found 1"
        ),
        ("{\"model\": {\"type\": \"WordPiece\", \"vocab\": {}}}", "tokenizer.json: model.vocab: missing or empty"),
        (
            "{\"model\": {\"type\": \"WordLevel\", \"vocab\": {\"a\": 0}}}",
            "tokenizer.json: model.type: WordLevel is not known; expected BPE, Unigram or WordPiece"
        ),
        (
            "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": [[\"a\", \"b\"]]}}",
            "tokenizer.json: merge 1: the piece b is not in the vocabulary"
        ),
        (
            "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": [\"ab\"]}}",
            "tokenizer.json: line 1, column 61: a merge: expected two pieces with a space between"
        ),
        (
            "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": -1}}}",
            "tokenizer.json: line 1, column 44: the token number -1 is not in 0..<16777216"
        ),
        (
            "{\"pre_tokenizer\": {\"type\": \"Magic\"}, \"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}}}",
            "tokenizer.json: pre_tokenizer: the type Magic is not known"
        ),
        (
            #"{"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "[a-z]+"}}, "model": {"vocab": {"a": 0}}}"#,
            """
            tokenizer.json: pre_tokenizer: the pattern [a-z]+ is not known; \
            expected those of GPT-2, Llama 3, Qwen 2 or o200k
            """
        ),
        (
            #"{"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}, "model": {"vocab": {"a": 0}}}"#,
            "tokenizer.json: precompiled_charsmap: the map is cut off"
        ),
        (
            "{\"model\": {\"type\": \"Unigram\", \"unk_id\": 5, \"vocab\": [[\"a\", -1.5]]}}",
            "tokenizer.json: model.unk_id: 5 is not in the vocabulary"
        ),
        (
            "{\"added_tokens\": [{\"id\": 1}], \"model\": {\"vocab\": {\"a\": 0}}}",
            "tokenizer.json: added_tokens[0]: expected an object with a content and an id below 16777216"
        ),
        ("{\"model\": {\"vocab\": {\"a\": 0, \"b\": 1, \"ab\": 2}, \"merges\": [\"a b\"]}}", "loaded 3"),
    ])
    func faultsOfTokenizerFilesAreNamed(_ json: String, _ expected: String) throws {
        #expect(try message(json: json) == expected)
    }

    @Test func damagedModelsAreRefused() throws {
        let model = try Fixtures.bytes("bpe.model")
        for length in stride(from: 1, to: model.count, by: 37) {
            // A cut between two fields leaves a shorter model that is none the less one.
            let text = try message(["tokenizer.model": Array(model[..<length])])
            #expect(text.hasPrefix("tokenizer.model: ") || text.hasPrefix("loaded"))
        }
        #expect(
            try message(["tokenizer.model": Array(model[..<(model.count / 2)])]).contains("is cut off")
                || message(["tokenizer.model": Array(model[..<(model.count / 2 - 1)])]).contains("is cut off"))
        #expect(try message(["tokenizer.model": Array("hello".utf8)]).contains("no SentencePiece model"))
        #expect(
            try message(["a.tiktoken": Array("IQ== 0\nIg== x\n".utf8)]).hasPrefix("a.tiktoken: line 2: expected base64")
        )
        #expect(try message(["a.tiktoken": Array("IQ== 0\n".utf8)]).hasPrefix("a.tiktoken: a byte is missing"))
        let piece: [UInt8] = [0, 0, 0, 0, 1, 0, 0, 0, 97]
        #expect(try message(["tokenizer.bin": [1, 0, 0, 0] + piece]).contains("expected at least 259 pieces"))
        #expect(
            try message(["tokenizer.bin": [1, 0, 0, 0, 0, 0, 0, 0, 200, 0, 0, 0, 97]])
                == "tokenizer.bin: piece 0: its length 200 is beyond the file")
        #expect(try message(["tokenizer.bin": [1, 0, 0, 0, 0, 0]]) == "tokenizer.bin: piece 0: the file is cut off")
    }

    @Test func filesBesideSayWhichTokensAreSpecial() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("tokenizer-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try Data(try Fixtures.bytes("llama2.json")).write(to: folder.appendingPathComponent("tokenizer.json"))
        let plain = try TokenizerLoader.load(folder: folder.path)
        #expect(plain.beginToken == 1 && plain.endTokens == [2])
        try Data("{\"eos_token_id\": [2, 7, 99999]}".utf8)
            .write(to: folder.appendingPathComponent("generation_config.json"))
        try Data("{\"bos_token\": {\"content\": \"</s>\"}, \"eos_token\": \"<unk>\"}".utf8)
            .write(to: folder.appendingPathComponent("tokenizer_config.json"))
        let named = try TokenizerLoader.load(folder: folder.path)
        #expect(named.beginToken == 2 && named.endTokens == [0, 2, 7])
        #expect(named.isSpecial(7))
        try Data("{".utf8).write(to: folder.appendingPathComponent("config.json"))
        #expect(throws: CoppiceError.self) { try TokenizerLoader.load(folder: folder.path) }
    }
}
