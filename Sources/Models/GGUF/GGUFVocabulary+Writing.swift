import CoppiceTensors

extension GGUFVocabulary {
    /// Keys of the tokens that end an answer: of a text, of a turn, of a message.
    static let endKeys = ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"]

    /// Adds `tokenizer.ggml.*`.
    ///
    /// - Parameter count: rows of the model's embeddings, to which the list of tokens is filled up.
    /// - Throws: `badData` when there are more tokens than that.
    func addMetadata(to metadata: inout GGUFMetadata, count: Int) throws {
        guard tokens.count <= count else {
            throw CoppiceError(
                .badData, source: source, "has \(tokens.count) tokens but the model's embeddings have \(count) rows")
        }
        let fill = tokens.count..<count
        let prefix = "tokenizer.ggml."
        switch model {
        case .sentencePiece: metadata.add(prefix + "model", "llama")
        case .bytePairs: metadata.add(prefix + "model", "gpt2")
        }
        switch model {
        case .sentencePiece: metadata.add(prefix + "pre", "default")
        case .bytePairs(_, let splitting): metadata.add(prefix + "pre", splitting.names[0])
        }
        metadata.add(prefix + "tokens", strings: tokens + fill.map { Array("[PAD\($0)]".utf8) })
        metadata.add(
            prefix + "token_type",
            integers: kinds.map { Int32($0.rawValue) } + fill.map { _ in Int32(Kind.unused.rawValue) })
        switch model {
        case .sentencePiece(let scores):
            metadata.add(prefix + "scores", numbers: scores + fill.map { _ in -1000 })
            metadata.add(prefix + "add_space_prefix", addsSpacePrefix)
            metadata.add(prefix + "remove_extra_whitespaces", removesExtraWhitespace)
        case .bytePairs(let merges, _):
            metadata.add(prefix + "merges", strings: merges.map { $0.left + [UInt8(ascii: " ")] + $0.right })
        }
        if let begin { metadata.add(prefix + "bos_token_id", begin) }
        let first = end ?? ends.min()
        let others = ends.filter { $0 != first }.sorted()
        for (key, id) in zip(Self.endKeys, (first.map { [$0] } ?? []) + others) { metadata.add(key, id) }
        if let unknown { metadata.add(prefix + "unknown_token_id", unknown) }
        if let padding { metadata.add(prefix + "padding_token_id", padding) }
        metadata.add(prefix + "add_bos_token", addsBegin)
        metadata.add(prefix + "add_eos_token", addsEnd)
    }
}
