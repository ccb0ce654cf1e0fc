import CoppiceTensors

/// SentencePiece's `tokenizer.model`: a protocol buffer with the pieces, the kind of model and its normalization
/// (`sentencepiece_model.proto`). Models `UNIGRAM` and `BPE`.
struct SentencePieceFile {
    enum Kind: Int, Sendable {
        case normal = 1
        case unknown, control, userDefined, unused, byte
    }

    struct Piece: Sendable {
        var text: [UInt8] = []
        var score: Float = 0
        var kind = Kind.normal
    }

    private let source: String
    private(set) var pieces: [Piece] = []
    private(set) var modelType = 1
    private(set) var unknownNumber = 0
    private(set) var beginNumber = 1
    private(set) var endNumber = 2
    private var unknownText = " \u{2047} "
    private(set) var normalizer = SentencePieceNormalizer()

    static func load(_ file: [UInt8], source: String, _ configuration: TokenizerConfiguration) throws -> TextTokenizer {
        try SentencePieceFile(file, source: source).tokenizer(configuration)
    }

    /// A byte-pair model whose parts come from another kind of file.
    init(pieces: [Piece], begin: Int?, end: Int?, normalizer: SentencePieceNormalizer, source: String) {
        self.source = source
        self.pieces = pieces
        self.normalizer = normalizer
        modelType = 2
        beginNumber = begin ?? -1
        endNumber = end ?? -1
    }

    // MARK: Reading

    init(_ file: [UInt8], source: String) throws {
        self.source = source
        var reader = ProtobufReader(file[...])
        while let (field, value) = try reader.next() {
            switch (field, value.bytes) {
            case (1, let bytes?): pieces.append(try piece(bytes))
            case (2, let bytes?): try readTraining(bytes)
            case (3, let bytes?): try readNormalization(bytes)
            default: break
            }
        }
        guard !pieces.isEmpty else { throw CoppiceError(.badData, source: source, "no SentencePiece model: no pieces") }
    }

    private func piece(_ bytes: ArraySlice<UInt8>) throws -> Piece {
        var piece = Piece()
        var reader = ProtobufReader(bytes)
        while let (field, value) = try reader.next() {
            switch field {
            case 1: piece.text = Array(value.bytes ?? [])
            case 2: piece.score = value.float ?? 0
            case 3:
                guard let kind = value.number.flatMap(Kind.init) else {
                    throw CoppiceError(
                        .badData, source: source, field: "piece \(pieces.count)", "its type is not known")
                }
                piece.kind = kind
            default: break
            }
        }
        guard piece.score.isFinite else {
            throw CoppiceError(.badData, source: source, field: "piece \(pieces.count)", "its score is no number")
        }
        return piece
    }

    private mutating func readTraining(_ bytes: ArraySlice<UInt8>) throws {
        var reader = ProtobufReader(bytes)
        while let (field, value) = try reader.next() {
            switch field {
            case 3: modelType = value.number ?? 1
            case 24: normalizer.treatsWhitespaceAsSuffix = value.isTrue
            case 40: unknownNumber = value.number ?? 0
            case 41: beginNumber = value.number.map { Int(Int32(truncatingIfNeeded: $0)) } ?? 1
            case 42: endNumber = value.number.map { Int(Int32(truncatingIfNeeded: $0)) } ?? 2
            case 44: unknownText = value.text ?? unknownText
            default: break
            }
        }
    }

    private mutating func readNormalization(_ bytes: ArraySlice<UInt8>) throws {
        var reader = ProtobufReader(bytes)
        while let (field, value) = try reader.next() {
            switch field {
            case 2: if let map = value.bytes, !map.isEmpty { normalizer.map = try CharacterMap(Array(map)) }
            case 3: normalizer.addsDummyPrefix = value.isTrue
            case 4: normalizer.removesExtraWhitespace = value.isTrue
            case 5: normalizer.escapesWhitespace = value.isTrue
            default: break
            }
        }
    }

    // MARK: Assembling

    func tokenizer(_ configuration: TokenizerConfiguration) throws -> TextTokenizer {
        let hasBytes = pieces.contains { $0.kind == .byte }
        var parts = TextTokenizer.Parts(
            vocabulary: Vocabulary(
                pieces: pieces.map { String(decoding: $0.text, as: UTF8.self) },
                spelling: .text(space: normalizer.escapesWhitespace ? "\u{2581}" : nil, byteFallback: hasBytes)))
        var normalizer = normalizer
        var userDefined: [AddedTokens.Token] = []
        for (id, piece) in pieces.enumerated() {
            let token = AddedTokens.Token(id: id, content: piece.text, isSpecial: true)
            switch piece.kind {
            case .control:
                parts.vocabulary.isSpecial[id] = true
                parts.addedTokens.append(token)
            case .unknown: parts.vocabulary.unknown = (id, unknownText)
            case .userDefined: userDefined.append(token)
            default: break
            }
        }
        parts.addedTokens += configuration.added.filter { token in
            !(pieces.indices.contains(token.id) && pieces[token.id].text == token.content)
        }
        for token in configuration.added where token.id >= pieces.count {
            parts.vocabulary.add(token.id, String(decoding: token.content, as: UTF8.self), isSpecial: token.isSpecial)
        }
        normalizer.userDefined = AddedTokens(userDefined)
        parts.normalizer = .sentencePiece(normalizer)
        if normalizer.removesExtraWhitespace {
            parts.leadingSpaces = .dropsAll
        } else if normalizer.addsDummyPrefix {
            parts.leadingSpaces = .dropsOne
        }
        let numbers = Dictionary(
            parts.addedTokens.map { ($0.content, $0.id) }, uniquingKeysWith: { first, _ in first })
        let valid = { (id: Int) in pieces.indices.contains(id) ? id : nil }
        configuration.apply(
            to: &parts, begin: valid(beginNumber), end: Set([valid(endNumber)].compactMap { $0 })
        ) { numbers[Array($0.utf8)] }
        // Models that say nothing else begin a text with their begin token and do not end it.
        if configuration.addsBegin ?? true, let begin = parts.beginToken { parts.prefix = [begin] }
        if configuration.addsEnd ?? false, let end = parts.endTokens.min() { parts.suffix = [end] }
        switch modelType {
        case 1: return TextTokenizer(parts, model: unigramModel())
        case 2:
            let model = bytePairModel(normalizer.userDefined)
            // Symbols that users define may contain anything.
            if normalizer.userDefined.isEmpty, normalizer.escapesWhitespace,
                let stage = BPEModel.wordStage(model.table, mark: "\u{2581}")
            {
                parts.preTokenizer.stages = [stage]
            }
            return TextTokenizer(parts, model: model)
        default:
            throw CoppiceError(
                .badData, source: source, field: "model_type",
                "\(modelType) is not known; expected 1 (unigram) or 2 (BPE)")
        }
    }

    /// The tokens of the 256 bytes, if all are there.
    private var byteTokens: [Int]? {
        var tokens = [Int](repeating: -1, count: 256)
        for (id, piece) in pieces.enumerated() where piece.kind == .byte {
            guard let byte = Vocabulary.byte(named: String(decoding: piece.text, as: UTF8.self)) else { continue }
            tokens[Int(byte)] = id
        }
        return tokens.contains(-1) ? nil : tokens
    }

    private var unknown: Int? { pieces.firstIndex { $0.kind == .unknown } }

    private func unigramModel() -> UnigramModel {
        let entries = pieces.enumerated().compactMap { id, piece -> UnigramModel.Piece? in
            guard piece.kind == .normal || piece.kind == .userDefined else { return nil }
            return UnigramModel.Piece(
                text: piece.text, id: id, score: Double(piece.score), isUserDefined: piece.kind == .userDefined)
        }
        return UnigramModel(entries, unknown: unknown, byteTokens: byteTokens, usesSinglePrecision: true)
    }

    private func bytePairModel(_ userDefined: AddedTokens) -> BPEModel {
        let table = ByteStringTable(minimumCapacity: pieces.count)
        var identifiers: [Int32] = []
        for (id, piece) in pieces.enumerated() where piece.kind == .normal {
            if table.insert(piece.text).isNew { identifiers.append(Int32(id)) }
        }
        let ranks = BPEModel.ranks(ofScores: pieces.map(\.score))
        let fallback = BPEModel.Fallback(
            bytes: byteTokens?.map { Int32($0) }, unknown: unknown.map { Int32($0) }, joinsUnknown: true)
        return BPEModel(
            table: table, identifiers: identifiers,
            merges: BPEModel.impliedMerges(table, identifiers, atCharacters: true) { ranks[Int(identifiers[$0])] },
            symbols: .characters, fallback: fallback, ignoresMerges: false, userDefined: userDefined)
    }
}
