import CoppiceTensors
import Foundation

/// What the files beside a tokenizer say about its special tokens.
struct TokenizerConfiguration: Sendable {
    /// By name, from `tokenizer_config.json`.
    var beginName: String?
    var endName: String?
    var addsBegin: Bool?
    var addsEnd: Bool?
    /// By number, from `generation_config.json` and `config.json`.
    var beginNumber: Int?
    var endNumbers: Set<Int> = []
    /// Special tokens of `added_tokens_decoder`.
    var added: [AddedTokens.Token] = []
    var bert = BertTokenizerSettings()

    init() {}

    /// Reads the files in `folder` that exist.
    ///
    /// - Throws: ``CoppiceError`` (`badData`) when one is no JSON.
    init(folder: String) throws {
        if let json = try Self.read(folder + "/tokenizer_config.json") {
            beginName = Self.name(json["bos_token"])
            endName = Self.name(json["eos_token"])
            addsBegin = json["add_bos_token"]?.boolValue
            addsEnd = json["add_eos_token"]?.boolValue
            bert = try BertTokenizerSettings(json, source: folder + "/tokenizer_config.json")
            for (key, value) in json["added_tokens_decoder"]?.objectValue ?? [:] {
                if let id = Int(key), let token = AddedTokens.Token(id: id, value) { added.append(token) }
            }
        }
        for name in ["/generation_config.json", "/config.json"] {
            guard let json = try Self.read(folder + name) else { continue }
            if beginNumber == nil { beginNumber = json["bos_token_id"]?.intValue }
            if let number = json["eos_token_id"]?.intValue { endNumbers.insert(number) }
            for element in json["eos_token_id"]?.arrayValue ?? [] {
                if let number = element.intValue { endNumbers.insert(number) }
            }
        }
    }

    private static func read(_ path: String) throws -> JSON? {
        guard let data = FileManager.default.contents(atPath: path) else { return nil }
        return try JSON(parsing: data, source: path)
    }

    /// A token is given as its text or as an object with its `content`.
    static func name(_ json: JSON?) -> String? { json?.stringValue ?? json?["content"]?.stringValue }

    /// The begin and end tokens, as far as the vocabulary has them.
    ///
    /// - Parameters:
    ///   - find: the number of a token by name.
    ///   - begin: the begin token that the tokenizer's own file names.
    ///   - end: the end tokens that the tokenizer's own file names, used when nothing else names one.
    func apply(to parts: inout TextTokenizer.Parts, begin: Int? = nil, end: Set<Int> = [], find: (String) -> Int?) {
        let size = parts.vocabulary.count
        let valid = { (id: Int) in id >= 0 && id < size }
        parts.beginToken = beginName.flatMap(find) ?? beginNumber.flatMap { valid($0) ? $0 : nil } ?? begin
        parts.endTokens = endNumbers.filter(valid)
        if let id = endName.flatMap(find) { parts.endTokens.insert(id) }
        if parts.endTokens.isEmpty { parts.endTokens = end }
        if parts.endTokens.isEmpty, let id = Self.commonEndNames.lazy.compactMap(find).first { parts.endTokens = [id] }
        for id in parts.endTokens.union(parts.beginToken.map { [$0] } ?? []) { parts.vocabulary.isSpecial[id] = true }
    }

    private static let commonEndNames = ["</s>", "<|endoftext|>", "<|end_of_text|>", "<|im_end|>", "<eos>"]
}

extension AddedTokens.Token {
    /// From its JSON object; nil without content.
    init?(id: Int, _ json: JSON) {
        guard let content = json["content"]?.stringValue, !content.isEmpty, id >= 0, id < 1 << 24 else { return nil }
        self.init(
            id: id, content: Array(content.utf8), isSpecial: json["special"]?.boolValue ?? false,
            isNormalized: json["normalized"]?.boolValue ?? false, stripsLeft: json["lstrip"]?.boolValue ?? false,
            stripsRight: json["rstrip"]?.boolValue ?? false, isSingleWord: json["single_word"]?.boolValue ?? false)
    }
}
