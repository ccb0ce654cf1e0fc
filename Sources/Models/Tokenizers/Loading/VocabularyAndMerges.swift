import CoppiceTensors

/// GPT-2's pair of files, which RoBERTa has too: `vocab.json`, the numbers of the pieces, and `merges.txt`, a merge a line by rank.
enum VocabularyAndMerges {
    static func load(
        _ vocabulary: [UInt8], source: String, merges: [UInt8], mergesSource: String,
        _ configuration: TokenizerConfiguration
    ) throws -> TextTokenizer {
        let table = ByteStringTable(minimumCapacity: 1 << 15)
        let identifiers = try vocabulary.withUnsafeBufferPointer { bytes in
            var reader = JSONReader(bytes, source: source)
            let identifiers = try readVocabulary(&reader, into: table)
            try reader.end()
            return identifiers
        }
        var (text, ends): ([UInt8], [Int]) = ([], [])
        var isFirstLine = true
        for (line, content) in merges.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            .enumerated()
        {
            let content = content.last == UInt8(ascii: "\r") ? content.dropLast() : content
            defer { isFirstLine = false }
            if content.isEmpty || (isFirstLine && content.starts(with: "#version".utf8)) { continue }
            guard let space = content.firstIndex(of: UInt8(ascii: " ")) else {
                throw CoppiceError(
                    .badData, source: mergesSource, field: "line \(line + 1)",
                    "expected two pieces with a space between")
            }
            text += content[..<space]
            ends.append(text.count)
            text += content[(space + 1)...]
            ends.append(text.count)
        }
        var parts = TextTokenizer.Parts(
            vocabulary: Vocabulary(pieces: pieces(table, identifiers), spelling: .byteLevel))
        parts.preTokenizer = PreTokenizer(stages: [.pattern(.gpt2)])
        let find = { (name: String) in table.find(Array(name.utf8)).map { Int(identifiers[$0]) } }
        // GPT-2's one special token is in its vocabulary; nothing else there says that it is special.
        parts.addedTokens = configuration.added
        if configuration.added.isEmpty, let id = find("<|endoftext|>") {
            parts.addedTokens = [AddedTokens.Token(id: id, content: Array("<|endoftext|>".utf8), isSpecial: true)]
        }
        let around = addRoberta(to: &parts, find)
        for token in parts.addedTokens {
            parts.vocabulary.add(token.id, String(decoding: token.content, as: UTF8.self), isSpecial: token.isSpecial)
        }
        configuration.apply(to: &parts, begin: around?.begin ?? find("<|endoftext|>"), find: find)
        if configuration.addsBegin == true, let begin = parts.beginToken { parts.prefix = [begin] }
        if let around { (parts.prefix, parts.suffix) = ([around.begin], [around.end]) }
        let builder = BPEBuilder(table: table, identifiers: identifiers, isByteLevel: true, source: mergesSource)
        let model = try builder.model(mergeText: text, mergeEnds: ends)
        return TextTokenizer(parts, model: model)
    }

    /// Makes RoBERTa's special tokens such; nil, and nothing done, for a vocabulary without one of them. Only it has a
    /// `<mask>`, which takes the space before it along.
    private static func addRoberta(to parts: inout TextTokenizer.Parts, _ find: (String) -> Int?)
        -> (begin: Int, end: Int)?
    {
        guard let begin = find("<s>"), let end = find("</s>"), find("<mask>") != nil else { return nil }
        let known = Set(parts.addedTokens.map(\.id))
        for name in ["<s>", "<pad>", "</s>", "<unk>", "<mask>"] {
            guard let id = find(name), !known.contains(id) else { continue }
            var token = AddedTokens.Token(id: id, content: Array(name.utf8), isSpecial: true)
            token.stripsLeft = name == "<mask>"
            parts.addedTokens.append(token)
        }
        return (begin, end)
    }

    /// Reads an object of pieces and numbers; returns the number of each piece of `table`.
    static func readVocabulary(_ reader: inout JSONReader, into table: ByteStringTable) throws -> [Int32] {
        var identifiers: [Int32] = []
        try reader.object { key, reader in
            guard let base = key.baseAddress else {
                _ = try reader.value()
                return
            }
            let (index, isNew) = table.insert(base, key.count)
            let id = try reader.integer("a token's number")
            guard id >= 0, id < 1 << 24 else { throw reader.error("the token number \(id) is not in 0..<\(1 << 24)") }
            if isNew { identifiers.append(Int32(id)) } else { identifiers[index] = Int32(id) }
        }
        return identifiers
    }

    /// The pieces by number.
    static func pieces(_ table: ByteStringTable, _ identifiers: [Int32]) -> [String] {
        var pieces = [String](repeating: "", count: Int(identifiers.max() ?? -1) + 1)
        for (index, id) in identifiers.enumerated() { pieces[Int(id)] = String(decoding: table[index], as: UTF8.self) }
        return pieces
    }
}
