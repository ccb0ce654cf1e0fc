import CoppiceTensors
import Foundation

/// tiktoken's rank files: on each line a token's bytes in base64 and its number, which is also its rank.
enum RankFile {
    /// Whether the bytes begin like a rank file: base64, a space, a number.
    static func isRankFile(_ bytes: [UInt8]) -> Bool {
        guard let end = bytes.prefix(4096).firstIndex(of: UInt8(ascii: "\n")) else { return false }
        return entry(bytes[..<end]) != nil
    }

    private static func entry(_ line: ArraySlice<UInt8>) -> (bytes: [UInt8], rank: Int)? {
        let line = line.last == UInt8(ascii: "\r") ? line.dropLast() : line
        guard let space = line.firstIndex(of: UInt8(ascii: " ")),
            let rank = Int(String(decoding: line[(space + 1)...], as: UTF8.self)), rank >= 0, rank < 1 << 24,
            let bytes = decodedBase64(line[..<space]), !bytes.isEmpty
        else { return nil }
        return (bytes, rank)
    }

    private static func decodedBase64(_ text: ArraySlice<UInt8>) -> [UInt8]? {
        var bytes: [UInt8] = []
        var (bits, count) = (0 as UInt32, 0)
        for character in text {
            let value: UInt8
            switch character {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = character - UInt8(ascii: "A")
            case UInt8(ascii: "a")...UInt8(ascii: "z"): value = character - UInt8(ascii: "a") + 26
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = character - UInt8(ascii: "0") + 52
            case UInt8(ascii: "+"): value = 62
            case UInt8(ascii: "/"): value = 63
            case UInt8(ascii: "="): continue
            default: return nil
            }
            bits = bits << 6 | UInt32(value)
            count += 6
            if count >= 8 {
                count -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        return bytes
    }

    static func load(_ file: [UInt8], source: String, _ configuration: TokenizerConfiguration) throws -> TextTokenizer {
        let table = ByteStringTable(minimumCapacity: 1 << 16)
        var ranks: [Int32] = []
        var line = 0
        for content in file.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            line += 1
            if content.isEmpty { continue }
            guard let (bytes, rank) = entry(content) else {
                throw CoppiceError(
                    .badData, source: source, field: "line \(line)", "expected base64, a space and a number")
            }
            guard table.insert(bytes).isNew else {
                throw CoppiceError(.badData, source: source, field: "line \(line)", "the token occurs twice")
            }
            ranks.append(Int32(rank))
        }
        let symbols = (0...255).map { byte in table.find([UInt8(byte)]).map { ranks[$0] } ?? -1 }
        guard !symbols.contains(-1) else {
            throw CoppiceError(.badData, source: source, "a byte is missing; expected a token for each of the 256")
        }
        guard Set(ranks).count == ranks.count else {
            throw CoppiceError(.badData, source: source, "two tokens have the same number")
        }
        var pieces = [[UInt8]](repeating: [], count: Int(ranks.max() ?? 0) + 1)
        for (index, rank) in ranks.enumerated() { pieces[Int(rank)] = Array(table[index]) }
        let model = BPEModel(
            table: table, identifiers: ranks,
            merges: BPEModel.impliedMerges(table, ranks, atCharacters: false) { UInt32(ranks[$0]) },
            symbols: .bytes(symbols), fallback: BPEModel.Fallback(), ignoresMerges: true)

        var parts = TextTokenizer.Parts(vocabulary: Vocabulary(rawBytes: pieces))
        let family = Family(count: ranks.count)
        parts.preTokenizer = PreTokenizer(stages: [.pattern(family.pattern)])
        parts.addedTokens = configuration.added.isEmpty ? family.special(after: pieces.count) : configuration.added
        for token in parts.addedTokens {
            parts.vocabulary.add(token.id, String(decoding: token.content, as: UTF8.self), isSpecial: token.isSpecial)
        }
        let numbers = Dictionary(parts.addedTokens.map { ($0.content, $0.id) }, uniquingKeysWith: { $1 })
        let find = { (name: String) in numbers[Array(name.utf8)] }
        configuration.apply(to: &parts, begin: find("<|begin_of_text|>") ?? find("<|endoftext|>"), find: find)
        if let begin = find("<|begin_of_text|>") { parts.prefix = [begin] }
        return TextTokenizer(parts, model: model)
    }

    /// A rank file does not say how text is split nor which special tokens follow; the number of its tokens tells whose
    /// it is.
    private enum Family {
        case gpt2, cl100k, llama3

        init(count: Int) {
            switch count {
            case ..<100_000: self = .gpt2
            case 128_000: self = .llama3
            default: self = .cl100k
            }
        }

        var pattern: SplitPattern {
            switch self {
            case .gpt2: .gpt2
            case .cl100k: .cl100k
            case .llama3: .llama3
            }
        }

        func special(after count: Int) -> [AddedTokens.Token] {
            func tokens(_ names: [(Int, String)]) -> [AddedTokens.Token] {
                names.map { AddedTokens.Token(id: $0.0, content: Array($0.1.utf8), isSpecial: true) }
            }
            switch self {
            case .gpt2: return tokens([(count, "<|endoftext|>")])
            case .cl100k:
                return tokens([
                    (100_257, "<|endoftext|>"), (100_258, "<|fim_prefix|>"), (100_259, "<|fim_middle|>"),
                    (100_260, "<|fim_suffix|>"), (100_276, "<|endofprompt|>"),
                ])
            case .llama3:
                return tokens([
                    (128_000, "<|begin_of_text|>"), (128_001, "<|end_of_text|>"), (128_006, "<|start_header_id|>"),
                    (128_007, "<|end_header_id|>"), (128_008, "<|eom_id|>"), (128_009, "<|eot_id|>"),
                    (128_010, "<|python_tag|>"),
                ])
            }
        }
    }
}
