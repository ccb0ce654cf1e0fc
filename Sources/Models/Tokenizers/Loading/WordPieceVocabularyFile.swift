import CoppiceTensors

/// BERT's `vocab.txt`: a piece a line, numbered from 0. How its text is normalized stands in `tokenizer_config.json`.
enum WordPieceVocabularyFile {
    /// - Throws: ``CoppiceError`` (`badData`) for a line that is no UTF-8, too many lines, or a vocabulary without one of
    ///   the tokens around a text or the unknown one.
    static func load(_ bytes: [UInt8], source: String, _ configuration: TokenizerConfiguration) throws -> TextTokenizer
    {
        let table = ByteStringTable(minimumCapacity: 1 << 15)
        var identifiers: [Int32] = []
        var lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        if lines.last?.isEmpty == true { lines.removeLast() }
        guard lines.count < 1 << 24 else {
            throw CoppiceError(.badData, source: source, "has \(lines.count) lines, expected fewer than \(1 << 24)")
        }
        for (id, line) in lines.enumerated() {
            guard let text = String(validating: line, as: UTF8.self) else {
                throw CoppiceError(.badData, source: source, field: "line \(id + 1)", "expected a piece in UTF-8")
            }
            let piece = trimmed(text)
            let (index, isNew) = table.insert(Array(piece.utf8))
            // The last of equal lines counts.
            if isNew { identifiers.append(Int32(id)) } else { identifiers[index] = Int32(id) }
        }
        let find = { (name: String) in table.find(Array(name.utf8)).map { Int(identifiers[$0]) } }
        func required(_ name: String, _ field: String) throws -> Int {
            guard let id = find(name) else {
                throw CoppiceError(.badData, source: source, field: field, "\(name) is not in the vocabulary")
            }
            return id
        }
        let bert = configuration.bert
        let rules = WordPieceModel.Rules(unknown: bert.unknown)
        let unknown = try required(bert.unknown, "unk_token")
        let (begin, end) = (try required(bert.begin, "cls_token"), try required(bert.end, "sep_token"))

        var parts = TextTokenizer.Parts(
            vocabulary: Vocabulary(
                pieces: VocabularyAndMerges.pieces(table, identifiers),
                spelling: .words(continuation: rules.continuation, cleansUp: true)))
        parts.normalizer = .bert(bert.normalizer)
        parts.preTokenizer = PreTokenizer(stages: [.wordsAndPunctuation])
        parts.leadingSpaces = .spelled
        let special = [bert.unknown, bert.end, bert.padding, bert.begin, bert.mask]
        let known = Set(configuration.added.map(\.id))
        parts.addedTokens = configuration.added
        for name in special {
            guard let id = find(name), !known.contains(id) else { continue }
            parts.addedTokens.append(AddedTokens.Token(id: id, content: Array(name.utf8), isSpecial: true))
        }
        for token in parts.addedTokens {
            parts.vocabulary.add(token.id, String(decoding: token.content, as: UTF8.self), isSpecial: token.isSpecial)
        }
        configuration.apply(to: &parts, begin: begin, find: find)
        (parts.prefix, parts.suffix) = ([begin], [end])
        return TextTokenizer(parts, model: WordPieceModel(table, identifiers, unknown: unknown, rules))
    }

    private static func trimmed(_ line: String) -> String {
        var scalars = line.unicodeScalars[...]
        while let last = scalars.last, last.properties.isWhitespace { scalars.removeLast() }
        return String(scalars)
    }
}
