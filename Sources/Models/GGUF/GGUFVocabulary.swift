import CoppiceTensors

/// A tokenizer as a GGUF file describes it: tokens with their kinds, and scores or merges.
///
/// It is what a file is read into and written from; ``tokenizer()`` makes the tokenizer of it.
struct GGUFVocabulary: Sendable {
    /// What a token is, by its number in files.
    typealias Kind = SentencePieceFile.Kind

    enum Model: Sendable {
        /// Byte-level byte-pair encoding; merges by rank.
        case bytePairs(merges: [Merge], splitting: GGUFPreTokenizer)
        /// SentencePiece's byte-pair encoding: the neighbours whose joint piece scores highest merge first.
        case sentencePiece(scores: [Float])
    }

    struct Merge: Sendable {
        var left: [UInt8]
        var right: [UInt8]
    }

    var source: String
    var tokens: [[UInt8]]
    var kinds: [Kind]
    var model: Model
    var begin: Int?
    /// All tokens that end an answer.
    var ends: Set<Int> = []
    /// The token that ends a text.
    var end: Int?
    var unknown: Int?
    var padding: Int?
    var addsBegin: Bool
    var addsEnd = false
    /// Whether a space is put in front of a text (SentencePiece).
    var addsSpacePrefix = true
    /// Whether runs of spaces become one (SentencePiece).
    var removesExtraWhitespace = false

    /// Makes the tokenizer.
    ///
    /// - Throws: `badData` for a merge of pieces that are not tokens.
    func tokenizer() throws -> any Tokenizer {
        switch model {
        case .sentencePiece(let scores): return try sentencePiece(scores)
        case .bytePairs(let merges, let splitting): return try bytePairs(merges, splitting)
        }
    }

    private func sentencePiece(_ scores: [Float]) throws -> TextTokenizer {
        var normalizer = SentencePieceNormalizer()
        normalizer.addsDummyPrefix = addsSpacePrefix
        normalizer.removesExtraWhitespace = removesExtraWhitespace
        let pieces = tokens.indices.map {
            SentencePieceFile.Piece(text: tokens[$0], score: scores[$0], kind: kinds[$0])
        }
        let file = SentencePieceFile(pieces: pieces, begin: begin, end: end, normalizer: normalizer, source: source)
        var configuration = TokenizerConfiguration()
        configuration.addsBegin = addsBegin
        configuration.addsEnd = addsEnd
        configuration.beginNumber = begin
        configuration.endNumbers = ends
        return try file.tokenizer(configuration)
    }

    private func bytePairs(_ merges: [Merge], _ splitting: GGUFPreTokenizer) throws -> TextTokenizer {
        let table = ByteStringTable(minimumCapacity: tokens.count)
        var identifiers: [Int32] = []
        var parts = TextTokenizer.Parts(
            vocabulary: Vocabulary(pieces: tokens.map { String(decoding: $0, as: UTF8.self) }, spelling: .byteLevel))
        for (id, token) in tokens.enumerated() {
            let isControl = kinds[id] == .control || kinds[id] == .unknown
            if isControl || kinds[id] == .userDefined {
                parts.addedTokens.append(AddedTokens.Token(id: id, content: token, isSpecial: isControl))
                parts.vocabulary.add(id, String(decoding: token, as: UTF8.self), isSpecial: isControl)
            }
            // Control and unused tokens are no text; merges may lead to those that users define.
            if !isControl, kinds[id] != .unused, !token.isEmpty, table.insert(token).isNew {
                identifiers.append(Int32(id))
            }
        }
        parts.preTokenizer = PreTokenizer(stages: splitting.stages)
        parts.beginToken = begin
        parts.endTokens = ends
        for id in ends.union(begin.map { [$0] } ?? []) { parts.vocabulary.isSpecial[id] = true }
        if addsBegin, let begin { parts.prefix = [begin] }
        if addsEnd, let end { parts.suffix = [end] }
        var (text, textEnds): ([UInt8], [Int]) = ([], [])
        for merge in merges {
            text += merge.left
            textEnds.append(text.count)
            text += merge.right
            textEnds.append(text.count)
        }
        let builder = BPEBuilder(table: table, identifiers: identifiers, isByteLevel: true, source: source)
        let model = try builder.model(
            mergeText: text, mergeEnds: textEnds, ignoresMerges: splitting.ignoresMerges)
        return TextTokenizer(parts, model: model)
    }
}
