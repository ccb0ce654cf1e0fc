import CoppiceTensors
import OrderedCollections

extension GGUFVocabulary {
    /// The files by which Hugging Face folders hold this tokenizer: `tokenizer.json` for byte-level encoding,
    /// `tokenizer.model` for SentencePiece, and `tokenizer_config.json`.
    func files(chatTemplate: String?) -> [(name: String, bytes: [UInt8])] {
        let configuration = tokenizerConfiguration(chatTemplate).serialized(pretty: true) + "\n"
        let settings = (name: "tokenizer_config.json", bytes: Array(configuration.utf8))
        switch model {
        case .bytePairs(let merges, let splitting):
            let json = tokenizerJSON(merges, splitting).serialized(pretty: true) + "\n"
            return [("tokenizer.json", Array(json.utf8)), settings]
        case .sentencePiece(let scores): return [("tokenizer.model", sentencePieceFile(scores)), settings]
        }
    }

    private func text(_ id: Int) -> String { String(decoding: tokens[id], as: UTF8.self) }

    private var addedTokens: [(id: Int, json: OrderedDictionary<String, JSON>)] {
        tokens.indices.filter { [.control, .unknown, .userDefined].contains(kinds[$0]) && !tokens[$0].isEmpty }.map {
            (
                $0,
                [
                    "content": .string(text($0)), "single_word": .bool(false), "lstrip": .bool(false),
                    "rstrip": .bool(false), "normalized": .bool(false), "special": .bool(kinds[$0] != .userDefined),
                ]
            )
        }
    }

    private func tokenizerConfiguration(_ chatTemplate: String?) -> JSON {
        var fields: OrderedDictionary<String, JSON> = [:]
        if case .sentencePiece = model {
            fields["tokenizer_class"] = .string("LlamaTokenizer")
            fields["legacy"] = .bool(true)
            fields["add_prefix_space"] = .bool(addsSpacePrefix)
        } else {
            fields["tokenizer_class"] = .string("PreTrainedTokenizerFast")
        }
        fields["clean_up_tokenization_spaces"] = .bool(false)
        fields["add_bos_token"] = .bool(addsBegin)
        fields["add_eos_token"] = .bool(addsEnd)
        if let begin { fields["bos_token"] = .string(text(begin)) }
        if let end { fields["eos_token"] = .string(text(end)) }
        if let unknown { fields["unk_token"] = .string(text(unknown)) }
        if let padding { fields["pad_token"] = .string(text(padding)) }
        let decoder = addedTokens.map { ("\($0.id)", JSON.object($0.json)) }
        fields["added_tokens_decoder"] = .object(OrderedDictionary(decoder, uniquingKeysWith: { $1 }))
        if let chatTemplate { fields["chat_template"] = .string(chatTemplate) }
        return .object(fields)
    }

    // MARK: tokenizer.json

    private func tokenizerJSON(_ merges: [Merge], _ splitting: GGUFPreTokenizer) -> JSON {
        var vocabulary: OrderedDictionary<String, JSON> = [:]
        for id in tokens.indices where !tokens[id].isEmpty { vocabulary[text(id)] = .integer(id) }
        let pairs = merges.map {
            JSON.array([
                .string(String(decoding: $0.left, as: UTF8.self)), .string(String(decoding: $0.right, as: UTF8.self)),
            ])
        }
        let added = addedTokens.map { id, json in
            let head: OrderedDictionary<String, JSON> = ["id": .integer(id)]
            return JSON.object(head.merging(json) { $1 })
        }
        return .object([
            "version": .string("1.0"), "truncation": .null, "padding": .null, "added_tokens": .array(added),
            "normalizer": .null, "pre_tokenizer": Self.preTokenizer(splitting.stages),
            "post_processor": postProcessor, "decoder": Self.byteLevel(usesPattern: true),
            "model": .object([
                "type": .string("BPE"), "dropout": .null, "unk_token": .null, "continuing_subword_prefix": .null,
                "end_of_word_suffix": .null, "fuse_unk": .bool(false), "byte_fallback": .bool(false),
                "ignore_merges": .bool(splitting.ignoresMerges), "vocab": .object(vocabulary), "merges": .array(pairs),
            ]),
        ])
    }

    private static func byteLevel(usesPattern: Bool) -> JSON {
        .object([
            "type": .string("ByteLevel"), "add_prefix_space": .bool(false), "trim_offsets": .bool(true),
            "use_regex": .bool(usesPattern),
        ])
    }

    private static func preTokenizer(_ stages: [PreTokenizer.Stage]) -> JSON {
        var steps: [JSON] = []
        for stage in stages {
            switch stage {
            case .pattern(let pattern), .split(.pattern(let pattern), _, inverted: _):
                steps.append(
                    .object([
                        "type": .string("Split"), "pattern": .object(["Regex": .string(pattern.expression)]),
                        "behavior": .string("Isolated"), "invert": .bool(false),
                    ]))
            case .split(.character(.number), _, inverted: _):
                steps.append(.object(["type": .string("Digits"), "individual_digits": .bool(true)]))
            default: preconditionFailure("no entry of GGUFPreTokenizer has another stage")
            }
        }
        return .object(["type": .string("Sequence"), "pretokenizers": .array(steps + [byteLevel(usesPattern: false)])])
    }

    private var postProcessor: JSON {
        let first = addsBegin ? begin.map(text) : nil, last = addsEnd ? end.map(text) : nil
        guard first != nil || last != nil else { return Self.byteLevel(usesPattern: true) }
        func special(_ token: String) -> JSON {
            .object(["SpecialToken": .object(["id": .string(token), "type_id": .integer(0)])])
        }
        func sequence(_ name: String) -> JSON {
            .object(["Sequence": .object(["id": .string(name), "type_id": .integer(0)])])
        }
        func template(_ names: [String]) -> JSON {
            .array(names.flatMap { [first.map(special), sequence($0), last.map(special)].compactMap { $0 } })
        }
        var specials: OrderedDictionary<String, JSON> = [:]
        for (token, id) in [(first, begin), (last, end)] {
            guard let token, let id else { continue }
            specials[token] = .object([
                "id": .string(token), "ids": .array([.integer(id)]), "tokens": .array([.string(token)]),
            ])
        }
        return .object([
            "type": .string("TemplateProcessing"), "single": template(["A"]), "pair": template(["A", "B"]),
            "special_tokens": .object(specials),
        ])
    }

    // MARK: tokenizer.model

    private func sentencePieceFile(_ scores: [Float]) -> [UInt8] {
        var file = ProtobufWriter()
        for id in tokens.indices {
            var piece = ProtobufWriter()
            piece.add(1, bytes: tokens[id])
            piece.add(2, scores[id])
            piece.add(3, kinds[id].rawValue)
            file.add(1, bytes: piece.bytes)
        }
        var training = ProtobufWriter()
        training.add(3, 2)
        training.add(4, tokens.count)
        training.add(35, kinds.contains(.byte) ? 1 : 0)
        training.add(40, unknown ?? 0)
        training.add(41, begin ?? -1)
        training.add(42, end ?? -1)
        training.add(43, padding ?? -1)
        file.add(2, bytes: training.bytes)
        var normalization = ProtobufWriter()
        normalization.add(1, bytes: Array("identity".utf8))
        normalization.add(3, addsSpacePrefix ? 1 : 0)
        normalization.add(4, removesExtraWhitespace ? 1 : 0)
        normalization.add(5, 1)
        file.add(3, bytes: normalization.bytes)
        return file.bytes
    }
}

/// Writes the fields of a protocol buffer.
private struct ProtobufWriter {
    var bytes: [UInt8] = []

    private mutating func append(variableLength number: UInt64) {
        var rest = number
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7f) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    private mutating func append(field: Int, kind: Int) { append(variableLength: UInt64(field << 3 | kind)) }

    /// A whole number; negative ones take ten bytes.
    mutating func add(_ field: Int, _ number: Int) {
        append(field: field, kind: 0)
        append(variableLength: UInt64(bitPattern: Int64(number)))
    }

    mutating func add(_ field: Int, _ number: Float) {
        append(field: field, kind: 5)
        withUnsafeBytes(of: number.bitPattern.littleEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func add(_ field: Int, bytes content: [UInt8]) {
        append(field: field, kind: 2)
        append(variableLength: UInt64(content.count))
        bytes += content
    }
}
