import CoppiceTensors
import Foundation

/// The normalizers, pre-tokenizers, decoders and post-processors of a `tokenizer.json`.
struct TokenizerComponents {
    let source: String

    /// How a text is split, collected over nested pre-tokenizers.
    struct Splitting {
        var stages: [PreTokenizer.Stage] = []
        var isByteLevel = false
    }

    /// What a decoder does to pieces.
    struct Decoding {
        var isByteLevel = false
        var hasByteFallback = false
        var space: Unicode.Scalar?
        var leadingSpaces = LeadingSpaces.kept
        /// Of WordPiece: what continues a word, and whether English spaces are cleaned up.
        var words: (continuation: String, cleansUp: Bool)?
    }

    private func unknown(_ field: String, _ type: String?) -> CoppiceError {
        CoppiceError(
            .badData, source: source, field: field,
            type.map { "the type \($0) is not known" } ?? "expected an object with a type")
    }

    // MARK: Normalizers

    func normalizer(_ json: JSON, byteLevel: inout Bool) throws -> Normalizer? {
        if json.isNull { return nil }
        let type = json["type"]?.stringValue
        switch type {
        case "Sequence":
            var steps: [Normalizer] = []
            for step in json["normalizers"]?.arrayValue ?? [] {
                if let step = try normalizer(step, byteLevel: &byteLevel) { steps.append(step) }
            }
            return .sequence(steps)
        case "NFC": return .canonicalComposition
        case "NFD": return .canonicalDecomposition
        case "NFKC": return .compatibilityComposition
        case "NFKD": return .compatibilityDecomposition
        case "Lowercase": return .lowercase
        case "BertNormalizer":
            let fields = ConfigurationFields(json: json, source: source, prefix: "normalizer.")
            let lowercases = try fields.flag("lowercase", default: true)
            return .bert(
                BertNormalizer(
                    cleansText: try fields.flag("clean_text", default: true),
                    separatesIdeographs: try fields.flag("handle_chinese_chars", default: true),
                    stripsAccents: try fields.flag("strip_accents", default: lowercases), lowercases: lowercases))
        case "StripAccents": return .stripAccents
        case "Strip":
            return .strip(
                left: json["strip_left"]?.boolValue ?? true, right: json["strip_right"]?.boolValue ?? true)
        case "Prepend": return .prepend(try string(json, "prepend", "normalizer"))
        case "Replace":
            let content = try string(json, "content", "normalizer")
            if let literal = json["pattern"]?["String"]?.stringValue { return .replace(literal, with: content) }
            let regex = json["pattern"]?["Regex"]?.stringValue
            if regex == " {2,}" { return .replaceSpaceRuns(with: content) }
            throw CoppiceError(
                .badData, source: source, field: "normalizer.pattern",
                "expected a String or the Regex \" {2,}\", found \(regex ?? "neither")")
        case "Precompiled":
            let text = try string(json, "precompiled_charsmap", "normalizer")
            guard let data = Data(base64Encoded: text) else {
                throw CoppiceError(
                    .badData, source: source, field: "normalizer.precompiled_charsmap", "expected base64")
            }
            return data.isEmpty ? nil : .characterMap(try CharacterMap(Array(data)))
        case "ByteLevel":
            byteLevel = true
            return nil
        default: throw unknown("normalizer", type)
        }
    }

    private func string(_ json: JSON, _ name: String, _ parent: String) throws -> String {
        guard let text = json[name]?.stringValue else {
            throw CoppiceError(.badData, source: source, field: "\(parent).\(name)", "expected a string")
        }
        return text
    }

    // MARK: Pre-tokenizers

    func addPreTokenizer(_ json: JSON, to splitting: inout Splitting) throws {
        if json.isNull { return }
        let type = json["type"]?.stringValue
        func add(_ matcher: PreTokenizer.Matcher, _ behavior: PreTokenizer.Behavior, inverted: Bool = false) {
            splitting.stages.append(.split(matcher, behavior, inverted: inverted))
        }
        switch type {
        case "Sequence":
            for part in json["pretokenizers"]?.arrayValue ?? [] { try addPreTokenizer(part, to: &splitting) }
        case "ByteLevel":
            splitting.isByteLevel = true
            if json["add_prefix_space"]?.boolValue ?? true { splitting.stages.append(.prefixSpace) }
            if json["use_regex"]?.boolValue ?? true { splitting.stages.append(.pattern(.gpt2)) }
        case "Split": try addSplit(json, to: &splitting)
        case "Digits":
            let isEach = json["individual_digits"]?.boolValue ?? false
            if isEach { add(.character(.number), .isolated) } else { add(.run(.number), .isolated) }
        case "Punctuation": add(.character(.punctuation), try behavior(json, default: .isolated))
        case "Whitespace": add(.wordsAndSymbols, .removed, inverted: true)
        case "WhitespaceSplit": add(.run(.space), .removed)
        case "BertPreTokenizer": splitting.stages.append(.wordsAndPunctuation)
        case "CharDelimiterSplit": add(.literal(Array(try string(json, "delimiter", "pre_tokenizer").utf8)), .removed)
        case "Metaspace":
            let mark = json["replacement"]?.stringValue?.unicodeScalars.first ?? "\u{2581}"
            splitting.stages.append(
                .metaspace(replacement: mark, prepending(json), splits: json["split"]?.boolValue ?? true))
        default: throw unknown("pre_tokenizer", type)
        }
    }

    private func prepending(_ json: JSON) -> PreTokenizer.Prepending {
        switch json["prepend_scheme"]?.stringValue {
        case "always": .always
        case "first": .first
        case "never": .never
        default: json["add_prefix_space"]?.boolValue ?? true ? .always : .never
        }
    }

    private func behavior(_ json: JSON, default fallback: PreTokenizer.Behavior) throws -> PreTokenizer.Behavior {
        guard let name = json["behavior"]?.stringValue else { return fallback }
        guard let behavior = PreTokenizer.Behavior(rawValue: name) else {
            throw CoppiceError(.badData, source: source, field: "pre_tokenizer.behavior", "\(name) is not known")
        }
        return behavior
    }

    private func addSplit(_ json: JSON, to splitting: inout Splitting) throws {
        let behavior = try behavior(json, default: .isolated)
        let isInverted = json["invert"]?.boolValue ?? false
        if let literal = json["pattern"]?["String"]?.stringValue {
            splitting.stages.append(.split(.literal(Array(literal.utf8)), behavior, inverted: isInverted))
            return
        }
        let expression = json["pattern"]?["Regex"]?.stringValue ?? ""
        do {
            let pattern = try SplitPattern(expression)
            // The published expressions match everything, so that it does not matter which side is a match.
            let takesAll = pattern.matchesEverything && (behavior == .isolated || (behavior == .removed && isInverted))
            splitting.stages.append(
                takesAll ? .pattern(pattern) : .split(.pattern(pattern), behavior, inverted: isInverted))
        } catch var error as CoppiceError {
            error.source = source
            throw error
        }
    }

    // MARK: Decoders

    func decoding(_ json: JSON) throws -> Decoding {
        var decoding = Decoding()
        if !json.isNull { try addDecoder(json, to: &decoding) }
        return decoding
    }

    private func addDecoder(_ json: JSON, to decoding: inout Decoding) throws {
        let type = json["type"]?.stringValue
        switch type {
        case "Sequence":
            for part in json["decoders"]?.arrayValue ?? [] { try addDecoder(part, to: &decoding) }
        case "ByteLevel": decoding.isByteLevel = true
        case "ByteFallback": decoding.hasByteFallback = true
        case "Fuse": break
        case "WordPiece":
            decoding.words = (json["prefix"]?.stringValue ?? "##", json["cleanup"]?.boolValue ?? true)
            decoding.leadingSpaces = .spelled
        case "Metaspace":
            decoding.space = json["replacement"]?.stringValue?.unicodeScalars.first ?? "\u{2581}"
            decoding.leadingSpaces = prepending(json) == .never ? .kept : .dropsOne
        case "Replace":
            guard let pattern = json["pattern"]?["String"]?.stringValue, pattern.unicodeScalars.count == 1,
                json["content"]?.stringValue == " "
            else {
                throw CoppiceError(
                    .badData, source: source, field: "decoder.Replace", "expected one character replaced by a space")
            }
            decoding.space = pattern.unicodeScalars.first
        case "Strip":
            guard json["content"]?.stringValue == " ", json["stop"]?.intValue ?? 0 == 0 else {
                throw CoppiceError(.badData, source: source, field: "decoder.Strip", "expected spaces at the start")
            }
            if json["start"]?.intValue ?? 0 > 0 { decoding.leadingSpaces = .dropsOne }
        default: throw unknown("decoder", type)
        }
    }

    // MARK: Post-processors

    /// The tokens around a text; nil when no post-processor says so.
    func template(_ json: JSON, find: (String) -> Int?) throws -> (prefix: [Int], suffix: [Int])? {
        if json.isNull { return nil }
        let type = json["type"]?.stringValue
        switch type {
        case "Sequence":
            var result: (prefix: [Int], suffix: [Int])?
            for part in json["processors"]?.arrayValue ?? [] {
                guard let next = try template(part, find: find) else { continue }
                result = (next.prefix + (result?.prefix ?? []), (result?.suffix ?? []) + next.suffix)
            }
            return result
        case "ByteLevel": return nil
        case "BertProcessing", "RobertaProcessing":
            guard let begin = json["cls"]?[1]?.intValue, let end = json["sep"]?[1]?.intValue else {
                throw CoppiceError(.badData, source: source, field: "post_processor", "expected cls and sep")
            }
            return ([begin], [end])
        case "TemplateProcessing":
            var (prefix, suffix): ([Int], [Int]) = ([], [])
            var isAfterText = false
            for part in json["single"]?.arrayValue ?? [] {
                guard let name = part["SpecialToken"]?["id"]?.stringValue else {
                    isAfterText = true
                    continue
                }
                let listed = json["special_tokens"]?[name]?["ids"]?.arrayValue?.compactMap(\.intValue)
                guard let ids = listed ?? find(name).map({ [$0] }) else {
                    throw CoppiceError(
                        .badData, source: source, field: "post_processor.special_tokens", "\(name) is missing")
                }
                if isAfterText { suffix += ids } else { prefix += ids }
            }
            return (prefix, suffix)
        default: throw unknown("post_processor", type)
        }
    }
}
