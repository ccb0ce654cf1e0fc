import CoppiceTensors
import Foundation

extension GGUFVocabulary {
    /// Reads the tokenizer of a model folder: a `tokenizer.json` or `tokenizer.model` with byte-pair encoding, or
    /// llama2.c's `tokenizer.bin`.
    ///
    /// - Throws: `.noInput` when there is none; `.badData` for one that GGUF has no words for.
    init(folder: String) throws {
        let path = try TokenizerLoader.find(in: folder)
        let configuration = try TokenizerConfiguration(folder: folder)
        let tokenizer = try TokenizerLoader.load(folder: folder)
        let bytes = try TokenizerLoader.contents(of: path)
        if path.hasSuffix("tokenizer.json") {
            let file = try bytes.withUnsafeBufferPointer { try TokenizerJSON($0, source: path) }
            try self.init(file, configuration, path)
        } else if path.hasSuffix(".bin") {
            try self.init(llama2C: bytes, path)
        } else if path.hasSuffix(".model"), !RankFile.isRankFile(bytes) {
            try self.init(SentencePieceFile(bytes, source: path), configuration, path)
        } else {
            throw CoppiceError(
                .badData, source: path,
                "cannot be written as GGUF, expected tokenizer.json, tokenizer.model or tokenizer.bin")
        }
        begin = tokenizer.beginToken
        ends = tokenizer.endTokens
        let around = tokenizer.encode("", addingSpecialTokens: true)
        addsBegin = begin != nil && around.first == begin
        let hasEnd = around.count > (addsBegin ? 1 : 0) && ends.contains(around.last ?? -1)
        addsEnd = hasEnd
        let named = configuration.endName.flatMap { name in ends.first { tokenizer.piece($0) == name } }
        end = hasEnd ? around.last : named ?? ends.min()
    }

    private init(source: String, tokens: [[UInt8]], kinds: [Kind], model: Model) {
        self.source = source
        self.tokens = tokens
        self.kinds = kinds
        self.model = model
        addsBegin = false
    }

    // MARK: tokenizer.json

    private init(_ file: TokenizerJSON, _ configuration: TokenizerConfiguration, _ path: String) throws {
        func failure(_ field: String, _ message: String) -> CoppiceError {
            CoppiceError(.badData, source: path, field: field, "\(message), which GGUF has no words for")
        }
        guard file.unigrams.isEmpty, file.table.count > 0 else {
            throw failure("model.type", "expected byte-pair encoding, found Unigram")
        }
        let components = TokenizerComponents(source: path)
        var splitting = TokenizerComponents.Splitting()
        try components.addPreTokenizer(file.sections["pre_tokenizer"] ?? .null, to: &splitting)
        let normalizer = try components.normalizer(
            file.sections["normalizer"] ?? .null, byteLevel: &splitting.isByteLevel)
        var tokens = VocabularyAndMerges.pieces(file.table, file.identifiers).map { Array($0.utf8) }
        var kinds = tokens.map { $0.isEmpty ? Kind.unused : .normal }
        let added = try file.addedTokens(configuration)
        for token in added {
            while tokens.count <= token.id {
                tokens.append([])
                kinds.append(.unused)
            }
            tokens[token.id] = token.content
            kinds[token.id] = token.isSpecial ? .control : .userDefined
        }
        for id in tokens.indices where tokens[id].isEmpty { tokens[id] = Array("[PAD\(id)]".utf8) }
        let merges = Self.merges(file)
        let unknown = file.model["unk_token"]?.stringValue.flatMap { file.number(of: Array($0.utf8)) }
        if splitting.isByteLevel {
            guard
                let known = GGUFPreTokenizer.matching(
                    splitting.stages, ignoresMerges: file.model["ignore_merges"]?.boolValue ?? false)
            else { throw failure("pre_tokenizer", "splits text in a way") }
            self.init(source: path, tokens: tokens, kinds: kinds, model: .bytePairs(merges: merges, splitting: known))
        } else {
            guard file.model["byte_fallback"]?.boolValue == true else {
                throw failure("model", "expected byte-level or byte-fallback encoding, found neither")
            }
            let scores = Self.scores(merges, file, count: tokens.count)
            for id in tokens.indices where Vocabulary.byte(named: String(decoding: tokens[id], as: UTF8.self)) != nil {
                kinds[id] = .byte
            }
            if let unknown { kinds[unknown] = .unknown }
            self.init(source: path, tokens: tokens, kinds: kinds, model: .sentencePiece(scores: scores))
            guard let hasPrefix = Self.hasSpacePrefix(normalizer, splitting.stages) else {
                throw failure("normalizer", "rewrites text in a way")
            }
            addsSpacePrefix = hasPrefix
        }
        self.unknown = unknown
    }

    private static func merges(_ file: TokenizerJSON) -> [Merge] {
        var merges: [Merge] = []
        var start = 0
        for rank in 0..<file.mergeEnds.count / 2 {
            let (middle, end) = (file.mergeEnds[2 * rank], file.mergeEnds[2 * rank + 1])
            merges.append(
                Merge(left: Array(file.mergeText[start..<middle]), right: Array(file.mergeText[middle..<end])))
            start = end
        }
        return merges
    }

    /// Scores that give SentencePiece the same merges: a piece that is merged earlier scores higher.
    private static func scores(_ merges: [Merge], _ file: TokenizerJSON, count: Int) -> [Float] {
        var scores = (0..<count).map { -Float(merges.count + $0) }
        var seen: Set<Int> = []
        for (rank, merge) in merges.enumerated() {
            if let id = file.number(of: merge.left + merge.right), seen.insert(id).inserted {
                scores[id] = -Float(rank)
            }
        }
        return scores
    }

    /// Whether a SentencePiece-like tokenizer puts a space before texts; nil when it does something else.
    private static func hasSpacePrefix(_ normalizer: Normalizer?, _ stages: [PreTokenizer.Stage]) -> Bool? {
        var steps: [Normalizer] = []
        if case .sequence(let all) = normalizer { steps = all } else if let normalizer { steps = [normalizer] }
        var result = false
        for step in steps {
            switch step {
            case .prepend("\u{2581}"): result = true
            case .replace(" ", with: "\u{2581}"): break
            default: return nil
            }
        }
        for stage in stages {
            guard case .metaspace(replacement: "\u{2581}", let prepending, splits: _) = stage else { return nil }
            if prepending != .never { result = true }
        }
        return result
    }

    // MARK: tokenizer.model and tokenizer.bin

    private init(_ file: SentencePieceFile, _ configuration: TokenizerConfiguration, _ path: String) throws {
        func failure(_ field: String, _ message: String) -> CoppiceError {
            CoppiceError(.badData, source: path, field: field, "\(message), which GGUF has no words for")
        }
        guard file.modelType == 2 else {
            throw failure("model_type", "expected 2 (byte-pair encoding), found \(file.modelType)")
        }
        guard file.normalizer.map == nil else { throw failure("normalizer_spec", "has a map of characters") }
        var tokens = file.pieces.map(\.text), kinds = file.pieces.map(\.kind), scores = file.pieces.map(\.score)
        for token in configuration.added where token.id >= file.pieces.count {
            while tokens.count <= token.id {
                tokens.append(Array("[PAD\(tokens.count)]".utf8))
                kinds.append(.unused)
                scores.append(-1000)
            }
            tokens[token.id] = token.content
            kinds[token.id] = token.isSpecial ? .control : .userDefined
        }
        self.init(source: path, tokens: tokens, kinds: kinds, model: .sentencePiece(scores: scores))
        unknown = kinds.firstIndex(of: .unknown)
        addsSpacePrefix = file.normalizer.addsDummyPrefix
        removesExtraWhitespace = file.normalizer.removesExtraWhitespace
    }

    /// Pieces hold plain spaces there; tokens 0 to 2 are unknown, begin and end, 3 to 258 the bytes.
    private init(llama2C bytes: [UInt8], _ path: String) throws {
        var tokens: [[UInt8]] = [], kinds: [Kind] = [], scores: [Float] = []
        for piece in try Llama2CTokenizerFile.pieces(bytes, source: path) {
            let id = tokens.count
            let text = piece.text.flatMap { $0 == UInt8(ascii: " ") ? Array("\u{2581}".utf8) : [$0] }
            tokens.append(
                id < 3
                    ? Array(["<unk>", "<s>", "</s>"][id].utf8)
                    : id < 259 ? Array(Vocabulary.name(of: UInt8(id - 3)).utf8) : text)
            kinds.append(id == 0 ? .unknown : id < 3 ? .control : id < 259 ? .byte : .normal)
            scores.append(piece.score)
        }
        self.init(source: path, tokens: tokens, kinds: kinds, model: .sentencePiece(scores: scores))
        unknown = 0
    }
}
