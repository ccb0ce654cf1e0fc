import CoppiceTensors

extension GGUFVocabulary {
    private static let prefix = "tokenizer.ggml."
    /// Larger vocabularies are refused, as everywhere.
    private static let greatestCount = 1 << 24

    /// Reads `tokenizer.ggml.*`.
    ///
    /// - Throws: `.noInput` when the file has no tokenizer; `.badData` that names the key for a kind of tokenizer that is
    ///   not supported, or lists that do not fit together.
    init(_ file: GGUFFile) throws {
        let fields = GGUFFields(file: file, prefix: Self.prefix)
        guard let kind = try fields.string("model"), kind != "none", kind != "no_vocab" else {
            throw CoppiceError(.noInput, source: file.path, field: Self.prefix + "model", "the file has no tokenizer")
        }
        guard kind == "llama" || kind == "gpt2" else {
            let names = ["bert": " (WordPiece)", "t5": " (SentencePiece unigrams)", "rwkv": " (RWKV)"]
            throw fields.error(
                "model",
                "expected gpt2 (byte-level BPE) or llama (SentencePiece BPE), found \(kind)\(names[kind] ?? "")")
        }
        guard let list = fields.value("tokens")?.arrayValue, list.elementType == .string, list.count > 0,
            list.count <= Self.greatestCount
        else { throw fields.mismatch("tokens", "a list of 1 to \(Self.greatestCount) strings") }
        var tokens: [[UInt8]] = []
        tokens.reserveCapacity(list.count)
        list.forEachString { tokens.append(Array($0)) }
        self.tokens = tokens
        source = file.path
        kinds = try Self.kinds(fields, tokens.count)
        if kind == "llama" {
            model = .sentencePiece(scores: try Self.scores(fields, tokens.count))
            addsBegin = try fields.flag("add_bos_token") ?? true
        } else {
            let name = try fields.string("pre") ?? "default"
            guard let splitting = GGUFPreTokenizer.named(name) else {
                let known = GGUFPreTokenizer.all.flatMap(\.names).sorted().joined(separator: ", ")
                throw fields.mismatch("pre", "one of \(known)")
            }
            model = .bytePairs(merges: try Self.merges(fields), splitting: splitting)
            addsBegin = try fields.flag("add_bos_token") ?? splitting.addsBegin
        }
        let special = GGUFSpecialTokens(file, vocabularySize: tokens.count)
        (begin, ends, unknown) = (special.begin, special.ends, special.unknown)
        end = try fields.optionalInteger("eos_token_id", in: 0...Int(UInt32.max)).flatMap {
            tokens.indices.contains($0) ? $0 : nil
        }
        padding = try fields.optionalInteger("padding_token_id", in: 0...Int(UInt32.max)).flatMap {
            tokens.indices.contains($0) ? $0 : nil
        }
        addsEnd = try fields.flag("add_eos_token") ?? false
        addsSpacePrefix = try fields.flag("add_space_prefix") ?? true
        removesExtraWhitespace = try fields.flag("remove_extra_whitespaces") ?? false
    }

    private static func kinds(_ fields: GGUFFields, _ count: Int) throws -> [Kind] {
        guard fields.value("token_type") != nil else { return [Kind](repeating: .normal, count: count) }
        guard let numbers = fields.value("token_type")?.arrayValue?.integers, numbers.count == count else {
            throw fields.mismatch("token_type", "a list of \(count) whole numbers, one for each token")
        }
        return try numbers.enumerated().map { id, number in
            // Some converters write 0, undefined, for ordinary tokens.
            guard let kind = number == 0 ? .normal : Kind(rawValue: number) else {
                throw fields.error("token_type", "of token \(id) is \(number), expected 0 to 6")
            }
            return kind
        }
    }

    private static func scores(_ fields: GGUFFields, _ count: Int) throws -> [Float] {
        guard let numbers = fields.value("scores")?.arrayValue?.numbers, numbers.count == count else {
            throw fields.mismatch("scores", "a list of \(count) numbers, one for each token")
        }
        if let id = numbers.firstIndex(where: { !$0.isFinite }) {
            throw fields.error("scores", "of token \(id) is \(numbers[id]), expected a finite number")
        }
        return numbers.map { Float($0) }
    }

    private static func merges(_ fields: GGUFFields) throws -> [Merge] {
        guard let list = fields.value("merges")?.arrayValue, list.elementType == .string else {
            throw fields.mismatch("merges", "a list of strings")
        }
        var merges: [Merge] = []
        merges.reserveCapacity(list.count)
        try list.forEachString { bytes in
            guard bytes.count > 2, let space = bytes[1...].firstIndex(of: UInt8(ascii: " ")), space + 1 < bytes.count
            else {
                throw fields.error("merges", "merge \(merges.count): expected two pieces with a space between")
            }
            merges.append(Merge(left: Array(bytes[..<space]), right: Array(bytes[(space + 1)...])))
        }
        return merges
    }
}
