import OrderedCollections

/// A learned byte-level byte-pair encoding: what ``BPETrainer`` returns and a `tokenizer.json` holds.
public struct BytePairEncoding: Sendable {
    /// Each token in the byte-level alphabet, as UTF-8; special tokens, which come first, are plain text.
    let tokens: [[UInt8]]
    /// The pairs of token numbers to merge, in the order of their rank.
    let merges: [(left: Int32, right: Int32)]
    public let specialTokens: [String]
    public let pattern: SplitPattern

    public var vocabularySize: Int { tokens.count }
    public var mergeCount: Int { merges.count }

    /// The token numbered `id` in the byte-level alphabet, where a space is `Ġ`.
    public func piece(_ id: Int) -> String { String(decoding: tokens[id], as: UTF8.self) }

    /// The two pieces that the merge of rank `rank` joins.
    public func merge(_ rank: Int) -> (left: String, right: String) {
        (piece(Int(merges[rank].left)), piece(Int(merges[rank].right)))
    }

    /// The contents of a `tokenizer.json` that Hugging Face `tokenizers` and ``TokenizerLoader`` load.
    ///
    /// - Parameter endToken: put after every text that is encoded with special tokens, if given.
    public func tokenizerJSON(beginToken: String? = nil, endToken: String? = nil) -> JSON {
        let added = specialTokens.enumerated().map { id, token in
            JSON.object([
                "id": .integer(id), "content": .string(token), "single_word": .bool(false), "lstrip": .bool(false),
                "rstrip": .bool(false), "normalized": .bool(false), "special": .bool(true),
            ])
        }
        var vocabulary: OrderedDictionary<String, JSON> = [:]
        for id in tokens.indices { vocabulary[piece(id)] = .integer(id) }
        let pairs = merges.indices.map { rank in
            let pair = merge(rank)
            return JSON.array([.string(pair.left), .string(pair.right)])
        }
        return .object([
            "version": .string("1.0"), "truncation": .null, "padding": .null, "added_tokens": .array(added),
            "normalizer": .null,
            "pre_tokenizer": preTokenizer,
            "post_processor": postProcessor(beginToken: beginToken, endToken: endToken),
            "decoder": Self.byteLevel(usesPattern: true),
            "model": .object([
                "type": .string("BPE"), "dropout": .null, "unk_token": .null, "continuing_subword_prefix": .null,
                "end_of_word_suffix": .null, "fuse_unk": .bool(false), "byte_fallback": .bool(false),
                "ignore_merges": .bool(false), "vocab": .object(vocabulary), "merges": .array(pairs),
            ]),
        ])
    }

    /// The contents of the `tokenizer_config.json` beside it, by which `transformers` knows the special tokens.
    public func tokenizerConfiguration(
        beginToken: String? = nil, endToken: String? = nil, maximumLength: Int? = nil, chatTemplate: String? = nil
    ) -> JSON {
        var members: OrderedDictionary<String, JSON> = [
            "tokenizer_class": .string("PreTrainedTokenizerFast"), "clean_up_tokenization_spaces": .bool(false),
        ]
        if let beginToken { members["bos_token"] = .string(beginToken) }
        if let endToken { members["eos_token"] = .string(endToken) }
        if let maximumLength { members["model_max_length"] = .integer(maximumLength) }
        if let chatTemplate { members["chat_template"] = .string(chatTemplate) }
        return .object(members)
    }

    private static func byteLevel(usesPattern: Bool) -> JSON {
        .object([
            "type": .string("ByteLevel"), "add_prefix_space": .bool(false), "trim_offsets": .bool(true),
            "use_regex": .bool(usesPattern),
        ])
    }

    private var preTokenizer: JSON {
        if pattern == .gpt2 { return Self.byteLevel(usesPattern: true) }
        let split = JSON.object([
            "type": .string("Split"), "pattern": .object(["Regex": .string(pattern.expression)]),
            "behavior": .string("Isolated"), "invert": .bool(false),
        ])
        return .object([
            "type": .string("Sequence"), "pretokenizers": .array([split, Self.byteLevel(usesPattern: false)]),
        ])
    }

    private func postProcessor(beginToken: String?, endToken: String?) -> JSON {
        func special(_ token: String) -> JSON {
            .object(["SpecialToken": .object(["id": .string(token), "type_id": .integer(0)])])
        }
        func sequence(_ name: String) -> JSON {
            .object(["Sequence": .object(["id": .string(name), "type_id": .integer(0)])])
        }
        let known = [beginToken, endToken].compactMap { $0 }
        guard !known.isEmpty else { return Self.byteLevel(usesPattern: true) }
        func template(_ names: [String]) -> JSON {
            .array(names.flatMap { [beginToken.map(special), sequence($0), endToken.map(special)].compactMap { $0 } })
        }
        var specials: OrderedDictionary<String, JSON> = [:]
        for token in known {
            let id = specialTokens.firstIndex(of: token) ?? 0
            specials[token] = .object([
                "id": .string(token), "ids": .array([.integer(id)]), "tokens": .array([.string(token)]),
            ])
        }
        return .object([
            "type": .string("TemplateProcessing"), "single": template(["A"]), "pair": template(["A", "B"]),
            "special_tokens": .object(specials),
        ])
    }
}
