import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

/// Tokenizers in GGUF files.
@Suite struct GGUFTokenizerTests {
    let scratch: ScratchFolder

    init() throws { scratch = try ScratchFolder() }

    private static let texts = [
        "", " ", "Hello, world!", "  two  spaces ", "line\n\nbreaks\r\n", "don't WE'LL I'd", "1234567 3.14",
        "Füße 日本語 🦊",
        "a\tb", "x = [1, 2];\n    return x\n", "½ ²³ ٣", "<s>[INST]</s>", "snake_case camelCase HTTPServer",
    ]

    /// A model folder with a tokenizer of the fixtures, as GGUF.
    private func converted(_ tokenizer: String, as name: String, size: Int) throws -> String {
        let configuration = DecoderConfiguration(
            vocabularySize: size, hiddenSize: 4, intermediateSize: 4, layerCount: 1, headCount: 1, tiesEmbeddings: true,
            dataType: .f32)
        let folder = scratch["model-" + tokenizer]
        let writer = try CheckpointWriter(path: folder, configuration: configuration)
        for (name, shape) in configuration.tensorShapes {
            try writer.add(name, Tensor([Float](repeating: 0, count: shape.reduce(1, *)), shape: shape))
        }
        try writer.addFile(name, Fixtures.bytes(tokenizer))
        try writer.finish()
        let path = scratch[tokenizer + ".gguf"]
        try Checkpoint.open(folder).convert(toGGUF: path)
        return path
    }

    private func expectSame(_ a: any Tokenizer, _ b: any Tokenizer, _ comment: Comment) {
        #expect(a.beginToken == b.beginToken, comment)
        // A GGUF file says by a token's name that it ends an answer, where nothing else does.
        if !b.endTokens.isEmpty { #expect(a.endTokens == b.endTokens, comment) }
        for text in Self.texts {
            for special in [true, false] {
                #expect(
                    a.encode(text, addingSpecialTokens: special) == b.encode(text, addingSpecialTokens: special),
                    "\(comment.rawValue): \(text.debugDescription)")
            }
            let ids = b.encode(text, parsingSpecialTokens: true)
            #expect(a.encode(text, parsingSpecialTokens: true) == ids, "\(comment.rawValue): \(text.debugDescription)")
            #expect(a.decode(ids, skippingSpecialTokens: true) == b.decode(ids, skippingSpecialTokens: true), comment)
        }
    }

    @Test(arguments: [
        ("gpt2.json", "tokenizer.json"), ("llama3.json", "tokenizer.json"), ("o200k.json", "tokenizer.json"),
        ("llama2.json", "tokenizer.json"),
    ]) func tokenizersOfFoldersComeBack(file: String, name: String) throws {
        let original = try TokenizerLoader.load(folder: Fixtures.path(file))
        let path = try converted(file, as: name, size: original.vocabularySize + 3)
        let found = try TokenizerLoader.load(folder: path)
        #expect(found.vocabularySize == original.vocabularySize + 3, "filled up to the embeddings")
        expectSame(found, original, "\(file)")
        // And as a folder again.
        let checkpoint = try Checkpoint.open(path)
        expectSame(try checkpoint.tokenizer(), original, "\(file)")
        try checkpoint.convert(to: scratch["folder"])
        expectSame(try TokenizerLoader.load(folder: scratch["folder"]), original, "\(file), as a folder")
    }

    @Test func tokenizersThatGGUFCannotHoldAreRefused() throws {
        for (file, name, expected) in [
            ("words.json", "tokenizer.json", "which GGUF has no words for"),
            ("unigram.model", "tokenizer.model", "model_type: expected 2 (byte-pair encoding), found 1"),
        ] {
            let size = try TokenizerLoader.load(folder: Fixtures.path(file)).vocabularySize
            let text = refusal { _ = try converted(file, as: name, size: size) }
            #expect(text.contains(expected), "\(text)")
        }
        let size = try TokenizerLoader.load(folder: Fixtures.path("gpt2.json")).vocabularySize
        let text = refusal { _ = try converted("gpt2.json", as: "tokenizer.json", size: size - 1) }
        #expect(text.contains("has \(size) tokens but the model's embeddings have \(size - 1) rows"))
    }

    private func vocabulary(_ change: (inout GGUFMetadata) -> Void) throws -> String {
        var metadata = GGUFMetadata()
        metadata.add("general.architecture", "llama")
        change(&metadata)
        let path = scratch["vocabulary.gguf"]
        try GGUFWriter.write([], metadata: metadata, to: path)
        let text = refusal(nil) { _ = try TokenizerLoader.load(folder: path) }
        return String(text.dropFirst(path.count + 2))
    }

    @Test func damagedVocabulariesAreRefused() throws {
        let tokens = ["a", "b", "ab"].map { Array($0.utf8) }
        #expect(try vocabulary { _ in } == "tokenizer.ggml.model: the file has no tokenizer")
        #expect(
            try vocabulary { $0.add("tokenizer.ggml.model", "bert") }
                == "tokenizer.ggml.model: expected gpt2 (byte-level BPE) or llama (SentencePiece BPE), found bert (WordPiece)"
        )
        #expect(
            try vocabulary { $0.add("tokenizer.ggml.model", "llama") }
                == "tokenizer.ggml.tokens: is missing, expected a list of 1 to 16777216 strings")
        #expect(
            try vocabulary {
                $0.add("tokenizer.ggml.model", "llama")
                $0.add("tokenizer.ggml.tokens", strings: tokens)
                $0.add("tokenizer.ggml.scores", numbers: [0, 1])
            } == "tokenizer.ggml.scores: expected a list of 3 numbers, one for each token, found a list of 2 f32 values"
        )
        #expect(
            try vocabulary {
                $0.add("tokenizer.ggml.model", "llama")
                $0.add("tokenizer.ggml.tokens", strings: tokens)
                $0.add("tokenizer.ggml.scores", numbers: [0, .nan, 1])
            } == "tokenizer.ggml.scores: of token 1 is nan, expected a finite number")
        #expect(
            try vocabulary {
                $0.add("tokenizer.ggml.model", "gpt2")
                $0.add("tokenizer.ggml.tokens", strings: tokens)
                $0.add("tokenizer.ggml.token_type", integers: [1, 1, 9])
            } == "tokenizer.ggml.token_type: of token 2 is 9, expected 0 to 6")
        #expect(
            try vocabulary {
                $0.add("tokenizer.ggml.model", "gpt2")
                $0.add("tokenizer.ggml.tokens", strings: tokens)
                $0.add("tokenizer.ggml.pre", "strange")
            }.hasPrefix("tokenizer.ggml.pre: expected one of codeshell,"))
        #expect(
            try vocabulary {
                $0.add("tokenizer.ggml.model", "gpt2")
                $0.add("tokenizer.ggml.tokens", strings: tokens)
                $0.add("tokenizer.ggml.merges", strings: [Array("ab".utf8)])
            } == "tokenizer.ggml.merges: merge 0: expected two pieces with a space between")
        #expect(
            try vocabulary {
                $0.add("tokenizer.ggml.model", "gpt2")
                $0.add("tokenizer.ggml.tokens", strings: tokens)
                $0.add("tokenizer.ggml.merges", strings: [Array("a c".utf8)])
            }.contains("merge 1: the piece c is not in the vocabulary"))
    }

    /// llama.cpp's own test vectors.
    @Test(.enabled(if: ReferenceData.folder != nil), arguments: ["gpt-2", "deepseek-coder", "llama-spm", "phi-3"])
    func publishedVocabulariesAgree(name: String) throws {
        let file = "tokenizers/gguf-vocab/\(name).gguf"
        let tokenizer = try TokenizerLoader.load(folder: ReferenceData.path(file))
        let texts = try ReferenceData.text(file + ".inp").components(separatedBy: "\n__ggml_vocab_test__\n")
        let lines = try ReferenceData.text(file + ".out").components(separatedBy: "\n")
        #expect(texts.count == lines.count && texts.count > 40)
        for (text, line) in zip(texts, lines) {
            #expect(
                tokenizer.encode(text, addingSpecialTokens: false) == line.split(separator: " ").compactMap { Int($0) },
                "\(name): \(text.debugDescription)")
        }
    }

    @Test(.enabled(if: ReferenceData.folder != nil)) func wordPieceIsRefused() {
        let path = ReferenceData.path("tokenizers/gguf-vocab/bert-bge.gguf")
        #expect(refusal { _ = try TokenizerLoader.load(folder: path) }.contains("found bert (WordPiece)"))
        #expect(
            refusal { _ = try Checkpoint.open(path) }.contains("expected one of llama, qwen2, qwen3, found \"bert\""))
    }
}
