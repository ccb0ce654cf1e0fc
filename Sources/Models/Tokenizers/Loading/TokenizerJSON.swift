import CoppiceTensors

/// Reads the `tokenizer.json` of Hugging Face `tokenizers`: models `BPE`, `Unigram` and `WordPiece`.
struct TokenizerJSON {
    let source: String
    private(set) var sections: [String: JSON] = [:]
    private(set) var model: [String: JSON] = [:]
    // The vocabulary of BPE and WordPiece; keys as the file spells them.
    let table = ByteStringTable(minimumCapacity: 1 << 15)
    private(set) var identifiers: [Int32] = []
    // Both sides of each merge, one after the other, and where they end.
    private(set) var mergeText: [UInt8] = []
    private(set) var mergeEnds: [Int] = []
    // The vocabulary of Unigram.
    private(set) var unigrams: [(text: [UInt8], score: Double)] = []

    static func load(_ bytes: [UInt8], source: String, _ configuration: TokenizerConfiguration) throws
        -> TextTokenizer
    {
        let file = try bytes.withUnsafeBufferPointer { try TokenizerJSON($0, source: source) }
        return try file.tokenizer(configuration)
    }

    // MARK: Reading

    init(_ bytes: UnsafeBufferPointer<UInt8>, source: String) throws {
        self.source = source
        var reader = JSONReader(bytes, source: source)
        try reader.object { key, reader in
            if key.elementsEqual("model".utf8) {
                try readModel(&reader)
            } else {
                sections[String(decoding: key, as: UTF8.self)] = try reader.value()
            }
        }
        try reader.end()
        guard !model.isEmpty || table.count > 0 || !unigrams.isEmpty else {
            throw CoppiceError(
                .badData, source: source, field: "model", "missing; expected a BPE, Unigram or WordPiece model")
        }
    }

    private mutating func readModel(_ reader: inout JSONReader) throws {
        try reader.object { key, reader in
            if key.elementsEqual("vocab".utf8) {
                if try reader.peek() == UInt8(ascii: "[") {
                    try readUnigrams(&reader)
                } else {
                    identifiers = try VocabularyAndMerges.readVocabulary(&reader, into: table)
                }
            } else if key.elementsEqual("merges".utf8) {
                try readMerges(&reader)
            } else {
                model[String(decoding: key, as: UTF8.self)] = try reader.value()
            }
        }
    }

    private mutating func readMerges(_ reader: inout JSONReader) throws {
        try reader.array { reader in
            if try reader.peek() == UInt8(ascii: "[") {
                var count = 0
                try reader.array { reader in
                    try reader.withStringBytes { bytes, _ in mergeText += bytes }
                    mergeEnds.append(mergeText.count)
                    count += 1
                }
                guard count == 2 else { throw reader.error("a merge: expected two pieces, found \(count)") }
            } else {
                try reader.withStringBytes { bytes, reader in
                    guard let space = bytes.firstIndex(of: UInt8(ascii: " ")) else {
                        throw reader.error("a merge: expected two pieces with a space between")
                    }
                    mergeText += bytes[..<space]
                    mergeEnds.append(mergeText.count)
                    mergeText += bytes[(space + 1)...]
                    mergeEnds.append(mergeText.count)
                }
            }
        }
    }

    private mutating func readUnigrams(_ reader: inout JSONReader) throws {
        try reader.array { reader in
            var text: [UInt8] = []
            var score: Double?
            var count = 0
            try reader.array { reader in
                if count == 0 { text = try reader.withStringBytes { bytes, _ in Array(bytes) } }
                if count == 1 { score = try reader.value().doubleValue }
                if count > 1 { _ = try reader.value() }
                count += 1
            }
            guard count == 2, let score, score.isFinite else {
                throw reader.error("a piece: expected its text and its score")
            }
            unigrams.append((text, score))
        }
    }

    // MARK: Assembling

    private func tokenizer(_ configuration: TokenizerConfiguration) throws -> TextTokenizer {
        let components = TokenizerComponents(source: source)
        var split = TokenizerComponents.Splitting()
        try components.addPreTokenizer(sections["pre_tokenizer"] ?? .null, to: &split)
        let normalizer = try components.normalizer(sections["normalizer"] ?? .null, byteLevel: &split.isByteLevel)
        let decoding = try components.decoding(sections["decoder"] ?? .null)
        let isByteLevel = split.isByteLevel
        let byteFallback = model["byte_fallback"]?.boolValue ?? false
        let isWordPiece = model["type"]?.stringValue == "WordPiece"
        // Without a decoder, pieces of WordPiece stand side by side with spaces between.
        let words = decoding.words ?? (isWordPiece && sections["decoder"]?.isNull != false ? ("", false) : nil)
        let spelling: Vocabulary.Spelling =
            words.map { .words(continuation: $0.continuation, cleansUp: $0.cleansUp) }
            ?? (isByteLevel || decoding.isByteLevel
                ? .byteLevel : .text(space: decoding.space, byteFallback: byteFallback || decoding.hasByteFallback))

        var parts = TextTokenizer.Parts(vocabulary: Vocabulary(pieces: try pieces(), spelling: spelling))
        parts.normalizer = normalizer
        parts.preTokenizer = PreTokenizer(stages: split.stages)
        parts.leadingSpaces = words == nil ? decoding.leadingSpaces : .spelled
        parts.addedTokens = try addedTokens(configuration)
        for token in parts.addedTokens {
            parts.vocabulary.add(token.id, String(decoding: token.content, as: UTF8.self), isSpecial: token.isSpecial)
        }
        let numbers = Dictionary(
            parts.addedTokens.map { ($0.content, $0.id) }, uniquingKeysWith: { _, last in last })
        func find(_ name: String) -> Int? { numbers[Array(name.utf8)] ?? number(of: Array(name.utf8)) }
        let around = try components.template(sections["post_processor"] ?? .null, find: find)
        configuration.apply(to: &parts, begin: around?.prefix.first, find: find)
        if let around {
            (parts.prefix, parts.suffix) = around
        } else {
            if configuration.addsBegin == true, let begin = parts.beginToken { parts.prefix = [begin] }
            if configuration.addsEnd == true, let end = configuration.endName.flatMap(find) { parts.suffix = [end] }
        }
        if isWordPiece { return TextTokenizer(parts, model: try wordPieceModel()) }
        if !unigrams.isEmpty { return TextTokenizer(parts, model: try unigramModel(parts)) }
        if split.stages.isEmpty, !isByteLevel, let stage = BPEModel.wordStage(table, mark: "\u{2581}") {
            parts.preTokenizer.stages = [stage]
        }
        return TextTokenizer(parts, model: try bytePairModel(isByteLevel: isByteLevel, byteFallback: byteFallback))
    }

    func number(of piece: [UInt8]) -> Int? {
        if let index = table.find(piece) { return Int(identifiers[index]) }
        return unigrams.firstIndex { $0.text == piece }
    }

    private func pieces() throws -> [String] {
        guard unigrams.isEmpty else { return unigrams.map { String(decoding: $0.text, as: UTF8.self) } }
        return VocabularyAndMerges.pieces(table, identifiers)
    }

    func addedTokens(_ configuration: TokenizerConfiguration) throws -> [AddedTokens.Token] {
        var tokens: [AddedTokens.Token] = []
        for (index, json) in (sections["added_tokens"]?.arrayValue ?? []).enumerated() {
            guard let id = json["id"]?.intValue, let token = AddedTokens.Token(id: id, json) else {
                throw CoppiceError(
                    .badData, source: source, field: "added_tokens[\(index)]",
                    "expected an object with a content and an id below \(1 << 24)")
            }
            tokens.append(token)
        }
        let known = Set(tokens.map(\.id))
        return tokens + configuration.added.filter { !known.contains($0.id) }
    }

    private func unigramModel(_ parts: TextTokenizer.Parts) throws -> UnigramModel {
        var byteTokens: [Int]?
        if model["byte_fallback"]?.boolValue == true {
            let found = (0...255).compactMap { number(of: Array(Vocabulary.name(of: UInt8($0)).utf8)) }
            if found.count == 256 { byteTokens = found }
        }
        let unknown = model["unk_id"]?.intValue
        if let unknown, !unigrams.indices.contains(unknown) {
            throw CoppiceError(.badData, source: source, field: "model.unk_id", "\(unknown) is not in the vocabulary")
        }
        let pieces = unigrams.enumerated().map { UnigramModel.Piece(text: $1.text, id: $0, score: $1.score) }
        return UnigramModel(pieces, unknown: unknown, byteTokens: byteTokens, usesSinglePrecision: false)
    }

    private func wordPieceModel() throws -> WordPieceModel {
        let fields = ConfigurationFields(
            json: .object(.init(uniqueKeysWithValues: model.map { ($0.key, $0.value) })), source: source,
            prefix: "model.")
        var rules = WordPieceModel.Rules()
        rules.unknown = try fields.optionalString("unk_token") ?? rules.unknown
        rules.continuation = try fields.optionalString("continuing_subword_prefix") ?? rules.continuation
        rules.longestWord =
            try fields.optionalInteger("max_input_chars_per_word", in: 0...Int(Int32.max)) ?? rules.longestWord
        guard table.count > 0 else { throw fields.error("vocab", "missing or empty") }
        guard let unknown = number(of: Array(rules.unknown.utf8)) else {
            throw fields.error("unk_token", "\(rules.unknown) is not in the vocabulary")
        }
        return WordPieceModel(table, identifiers, unknown: unknown, rules)
    }

    private func bytePairModel(isByteLevel: Bool, byteFallback: Bool) throws -> BPEModel {
        if let type = model["type"]?.stringValue, type != "BPE" {
            throw CoppiceError(
                .badData, source: source, field: "model.type",
                "\(type) is not known; expected BPE, Unigram or WordPiece")
        }
        for name in ["continuing_subword_prefix", "end_of_word_suffix"] {
            if let affix = model[name]?.stringValue, !affix.isEmpty {
                throw CoppiceError(.badData, source: source, field: "model.\(name)", "expected none, found \(affix)")
            }
        }
        guard table.count > 0 else {
            throw CoppiceError(.badData, source: source, field: "model.vocab", "missing or empty")
        }
        let unknown = model["unk_token"]?.stringValue.flatMap { number(of: Array($0.utf8)) }.map(Int32.init)
        let builder = BPEBuilder(table: table, identifiers: identifiers, isByteLevel: isByteLevel, source: source)
        return try builder.model(
            mergeText: mergeText, mergeEnds: mergeEnds, unknown: unknown, byteFallback: byteFallback,
            joinsUnknown: model["fuse_unk"]?.boolValue ?? false,
            ignoresMerges: model["ignore_merges"]?.boolValue ?? false)
    }
}
