import CoppiceTensors

/// llama2.c's `tokenizer.bin`: the length of the longest piece (int32), then for each piece its score (float32), length
/// (int32) and bytes, all little-endian.
///
/// Tokens 0 to 2 are unknown, begin and end, 3 to 258 the bytes. The neighbours whose joint piece has the highest score
/// are merged first, as in SentencePiece.
enum Llama2CTokenizerFile {
    static func load(_ file: [UInt8], source: String, _ configuration: TokenizerConfiguration) throws -> TextTokenizer {
        let table = ByteStringTable(minimumCapacity: 1 << 12)
        var identifiers: [Int32] = []
        let entries = try Self.pieces(file, source: source)
        for (id, piece) in entries.enumerated() where id > 2 {
            // Of equal pieces the first counts; the special ones are no text.
            if table.insert(piece.text).isNew { identifiers.append(Int32(id)) }
        }
        let pieces = entries.map { String(decoding: $0.text, as: UTF8.self) }
        let scores = entries.map(\.score)
        let ranks = BPEModel.ranks(ofScores: scores)
        let model = BPEModel(
            table: table, identifiers: identifiers,
            merges: BPEModel.impliedMerges(table, identifiers, atCharacters: true) { ranks[Int(identifiers[$0])] },
            symbols: .characters, fallback: BPEModel.Fallback(bytes: (3..<259).map { Int32($0) }), ignoresMerges: false)

        // Pieces hold plain spaces.
        var parts = TextTokenizer.Parts(
            vocabulary: Vocabulary(pieces: pieces, spelling: .text(space: nil, byteFallback: true)))
        for (id, name) in [(0, "<unk>"), (1, "<s>"), (2, "</s>")] {
            parts.vocabulary.add(id, name, isSpecial: true)
            parts.addedTokens.append(AddedTokens.Token(id: id, content: Array(name.utf8), isSpecial: true))
        }
        parts.normalizer = .prepend(" ")
        parts.leadingSpaces = .dropsOne
        parts.prefix = [1]
        if let stage = BPEModel.wordStage(table, mark: " ") { parts.preTokenizer.stages = [stage] }
        configuration.apply(to: &parts, begin: 1, end: [2]) { ["<unk>": 0, "<s>": 1, "</s>": 2][$0] }
        return TextTokenizer(parts, model: model)
    }

    /// The pieces as the file has them.
    ///
    /// - Throws: `badData` that names the piece at which the file is damaged.
    static func pieces(_ file: [UInt8], source: String) throws -> [(text: [UInt8], score: Float)] {
        var pieces: [(text: [UInt8], score: Float)] = []
        var offset = 4
        func word(_ at: Int) -> UInt32 { (0..<4).reduce(0) { $0 | UInt32(file[at + $1]) << UInt32(8 * $1) } }
        while offset < file.count {
            let field = "piece \(pieces.count)"
            guard offset + 8 <= file.count else {
                throw CoppiceError(.badData, source: source, field: field, "the file is cut off")
            }
            let score = Float(bitPattern: word(offset))
            let length = Int(Int32(bitPattern: word(offset + 4)))
            guard length >= 0, offset + 8 + length <= file.count else {
                throw CoppiceError(.badData, source: source, field: field, "its length \(length) is beyond the file")
            }
            guard !score.isNaN else {
                throw CoppiceError(.badData, source: source, field: field, "its score is no number")
            }
            pieces.append((Array(file[(offset + 8)..<(offset + 8 + length)]), score))
            offset += 8 + length
        }
        guard pieces.count >= 259 else {
            throw CoppiceError(
                .badData, source: source,
                "expected at least 259 pieces (3 special and the bytes), found \(pieces.count)")
        }
        return pieces
    }
}

extension BPEModel {
    /// Ranks of pieces by falling score; equal scores have equal ranks.
    static func ranks(ofScores scores: [Float]) -> [UInt32] {
        var ranks = [UInt32](repeating: 0, count: scores.count)
        var rank: UInt32 = 0
        var last: Float?
        for index in scores.indices.sorted(by: { scores[$0] > scores[$1] }) {
            if let last, scores[index] < last { rank += 1 }
            last = scores[index]
            ranks[index] = rank
        }
        return ranks
    }
}
