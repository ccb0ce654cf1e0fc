import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

@Suite struct WordPieceTests {
    private static let vocabulary = [
        "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##aff", "##able", "aff", "hello", "he", "##l", "##lo", ",",
        "!", "'", "s", "##s", "cafe", "café", "灯", "台", "I", "i", "Hello", "##able##", "#",
    ]

    private func folder(_ files: [String: String]) throws -> String {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("wordpiece-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        for (name, text) in files { try Data(text.utf8).write(to: folder.appendingPathComponent(name)) }
        return folder.path
    }

    /// A folder with `vocab.txt` is loaded and removed.
    private func tokenizer(
        _ pieces: [String] = vocabulary, configuration: String? = nil, end: String = "\n"
    ) throws -> any Tokenizer {
        var files = ["vocab.txt": pieces.map { $0 + end }.joined()]
        files["tokenizer_config.json"] = configuration
        let path = try folder(files)
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try TokenizerLoader.load(folder: path)
    }

    private func pieces(_ text: String, _ tokenizer: any Tokenizer) -> [String] {
        tokenizer.encode(text, addingSpecialTokens: false).map { tokenizer.piece($0) }
    }

    @Test func longestPiecesComeFirstAndWordsAreUnknownAsAWhole() throws {
        let tokenizer = try tokenizer()
        #expect(tokenizer.vocabularySize == 27)
        #expect(pieces("unaffable", tokenizer) == ["un", "##aff", "##able"])
        // "hel" is no piece: of "hello" with an s, "hello" is the longest beginning.
        #expect(pieces("hellos hell", tokenizer) == ["hello", "##s", "he", "##l", "##l"])
        #expect(pieces("unaffabl hello", tokenizer) == ["[UNK]", "hello"])
        #expect(pieces("Hello,hello's!", tokenizer) == ["hello", ",", "hello", "'", "s", "!"])
        // What continues words does not begin one, even where a text spells it out.
        #expect(pieces("##able", tokenizer) == ["#", "#", "[UNK]"])
        #expect(pieces("", tokenizer) == [] && pieces(" \u{3000}\n", tokenizer) == [])
    }

    @Test func textIsNormalizedAsTheConfigurationSays() throws {
        let plain = try tokenizer(end: "\r\n")
        #expect(pieces("CAFÉ cafe\u{301} I", plain) == ["cafe", "cafe", "i"])
        #expect(pieces("hel\u{0}lo\u{200b} he\u{fffd}llo\u{a0}he", plain) == ["hello", "hello", "he"])
        #expect(pieces("灯台", plain) == ["灯", "台"])
        let cased = try tokenizer(configuration: #"{"do_lower_case": false}"#)
        #expect(pieces("I Hello café", cased) == ["I", "Hello", "café"])
        let accents = try tokenizer(configuration: #"{"do_lower_case": true, "strip_accents": false}"#)
        #expect(pieces("CAFÉ", accents) == ["café"])
        let joined = try tokenizer(configuration: #"{"tokenize_chinese_chars": false}"#)
        #expect(pieces("灯台", joined) == ["[UNK]"])
    }

    @Test func specialTokensSurroundATextAndAreNotReadFromIt() throws {
        let tokenizer = try tokenizer()
        #expect(tokenizer.encode("hello", addingSpecialTokens: true) == [2, 9, 3])
        #expect(tokenizer.encode("hello[MASK]he", parsingSpecialTokens: true) == [9, 4, 10])
        #expect(!tokenizer.encode("[MASK]", addingSpecialTokens: false).contains(4))
        #expect(tokenizer.isSpecial(0) && tokenizer.isSpecial(4) && !tokenizer.isSpecial(5))
        #expect(tokenizer.beginToken == 2)
    }

    @Test func longWordsAreUnknown() throws {
        let tokenizer = try tokenizer()
        #expect(pieces("he" + String(repeating: "l", count: 98), tokenizer).count == 99)
        #expect(pieces("he" + String(repeating: "l", count: 99), tokenizer) == ["[UNK]"])
        // Characters count, not bytes.
        let wide = try self.tokenizer(
            ["[UNK]", "[CLS]", "[SEP]", "é", "##é"], configuration: #"{"strip_accents": false}"#)
        #expect(pieces(String(repeating: "é", count: 100), wide).count == 100)
        #expect(pieces(String(repeating: "é", count: 101), wide) == ["[UNK]"])
    }

    @Test func decodingJoinsPiecesAndCleansUp() throws {
        let tokenizer = try tokenizer()
        let ids = tokenizer.encode("Unaffable hello, hello's!", addingSpecialTokens: true)
        #expect(tokenizer.decode(ids, skippingSpecialTokens: true) == "unaffable hello, hello ' s!")
        #expect(tokenizer.decode(ids, skippingSpecialTokens: false) == "[CLS] unaffable hello, hello ' s! [SEP]")
        #expect(tokenizer.decode([6, 9], skippingSpecialTokens: true) == "##aff hello")
        // A text that goes on keeps the space of its first word; its parts are the whole.
        var decoder = tokenizer.streamingDecoder()
        #expect([9, 17, 13, 99, 10].map { decoder.append($0) } == [" hello", "s", ",", "", " he"])
        #expect(decoder.finish() == "")
    }

    /// Characters are normalized by a table; a text with one beyond it goes by the definition, over the whole text.
    @Test(arguments: 0..<8) func tablesAgreeWithTheDefinition(_ options: Int) throws {
        let ranges: [ClosedRange<UInt32>] = [
            0x20...0x7e, 0x80...0x24f, 0x300...0x33f, 0x370...0x3ff, 0x1f00...0x1f7f, 0x2000...0x206f, 0x3040...0x30ff,
            0x302a...0x302f, 0x4e00...0x4e20, 0x1100...0x1200, 0xac00...0xac40, 0xf900...0xfa0f, 0xff00...0xff20,
            0x1d157...0x1d172, 0x1f600...0x1f640,
        ]
        let scalars = ranges.flatMap { $0.compactMap(Unicode.Scalar.init) }.map(String.init)
        let marker = "\u{20000}"
        let tokenizer = try tokenizer(
            ["[UNK]", "[CLS]", "[SEP]", marker] + scalars.map { "x" + $0 + "x" } + scalars + scalars.map { "##" + $0 },
            configuration: """
                {"do_lower_case": \(options & 1 == 0), "strip_accents": \(options & 2 == 0),
                 "tokenize_chinese_chars": \(options & 4 == 0)}
                """)
        var generator = SystemRandomNumberGenerator()
        for length in 1..<80 {
            // Some texts of few kinds: only there is the table enough.
            let chosen = length % 2 == 0 ? Array(ranges.prefix(3)) : ranges
            var text = String.UnicodeScalarView()
            for _ in 0..<length {
                let range = chosen.randomElement(using: &generator) ?? 0...0
                if let scalar = Unicode.Scalar(UInt32.random(in: range, using: &generator)) { text.append(scalar) }
            }
            let plain = tokenizer.encode(String(text), addingSpecialTokens: false)
            let marked = tokenizer.encode(String(text) + " " + marker, addingSpecialTokens: false)
            #expect(plain + [3] == marked, "\(String(text).debugDescription)")
        }
    }

    @Test func faultsOfVocabulariesAreNamed() throws {
        func message(_ files: [String: String], bytes: [UInt8]? = nil) throws -> String {
            let path = try folder(files)
            defer { try? FileManager.default.removeItem(atPath: path) }
            if let bytes { try Data(bytes).write(to: URL(fileURLWithPath: path + "/vocab.txt")) }
            do {
                return "loaded \(try TokenizerLoader.load(folder: path).vocabularySize)"
            } catch {
                return String(describing: error).replacingOccurrences(of: path + "/", with: "")
            }
        }
        #expect(try message(["vocab.txt": ""]) == "vocab.txt: the file is empty")
        #expect(try message(["vocab.txt": "a\nb\n"]) == "vocab.txt: unk_token: [UNK] is not in the vocabulary")
        #expect(
            try message(["vocab.txt": "[UNK]\n[CLS]\n"]) == "vocab.txt: sep_token: [SEP] is not in the vocabulary")
        #expect(
            try message([
                "vocab.txt": "<u>\n<b>\n<e>\na\n",
                "tokenizer_config.json": #"{"unk_token": "<u>", "cls_token": {"content": "<b>"}, "sep_token": "<e>"}"#,
            ]) == "loaded 4")
        #expect(
            try message(["tokenizer_config.json": #"{"do_lower_case": "yes"}"#, "vocab.txt": "[UNK]\n"])
                == #"tokenizer_config.json: do_lower_case: expected true or false, found "yes""#)
        #expect(
            try message([:], bytes: Array("[UNK]\n[CLS]\n".utf8) + [0xff, 10])
                == "vocab.txt: line 3: expected a piece in UTF-8")
    }

    /// RoBERTa's older folders say nowhere which of their pieces are special.
    @Test func robertaVocabulariesHaveTheirSpecialTokens() throws {
        let path = try folder([
            "vocab.json": #"{"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": 4, "b": 5, "Ġ": 6, "<mask>": 7}"#,
            "merges.txt": "#version: 0.2\n",
        ])
        defer { try? FileManager.default.removeItem(atPath: path) }
        let tokenizer = try TokenizerLoader.load(folder: path)
        #expect(tokenizer.encode("a b", addingSpecialTokens: true) == [0, 4, 6, 5, 2])
        #expect(tokenizer.encode("a <mask>b", parsingSpecialTokens: true) == [4, 7, 5])
        #expect(tokenizer.isSpecial(7) && tokenizer.endTokens == [2] && tokenizer.beginToken == 0)
    }
}
