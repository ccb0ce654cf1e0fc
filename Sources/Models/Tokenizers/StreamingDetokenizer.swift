/// Turns tokens into text one by one and never gives out half a character.
///
/// ```swift
/// var decoder = tokenizer.streamingDecoder()
/// for token in tokens { print(decoder.append(token), terminator: "") }
/// print(decoder.finish())
/// ```
///
/// All parts together are what ``Tokenizer/decode(_:skippingSpecialTokens:)`` gives for all tokens.
public struct StreamingDetokenizer: Sendable {
    private let tokenizer: any Tokenizer
    private let skipsSpecialTokens: Bool
    private var pending: [UInt8] = []
    private var dropsSpaces: LeadingSpaces

    /// - Parameters:
    ///   - skipsSpecialTokens: whether special tokens add nothing.
    ///   - startsText: whether the first token begins a text. Otherwise, as when a model continues a prompt, a space in
    ///     front of its first word is kept.
    public init(_ tokenizer: any Tokenizer, skipsSpecialTokens: Bool = true, startsText: Bool = false) {
        self.tokenizer = tokenizer
        self.skipsSpecialTokens = skipsSpecialTokens
        dropsSpaces = startsText ? tokenizer.leadingSpaces : .kept
    }

    /// The text that is complete with this token; empty while a character still misses bytes.
    public mutating func append(_ id: Int) -> String {
        if tokenizer.isSpecial(id) {
            if skipsSpecialTokens { return "" }
            if dropsSpaces != .spelled { dropsSpaces = .kept }
        }
        pending += dropsSpaces == .kept ? tokenizer.bytes(of: id)[...] : withoutLeadingSpaces(id)
        return take(pending.count - UTF8Text.incompleteSuffix(of: pending))
    }

    /// What is left: bytes of a character that never became complete, as U+FFFD.
    public mutating func finish() -> String { take(pending.count) }

    private mutating func take(_ count: Int) -> String {
        let text = String(decoding: pending[..<count], as: UTF8.self)
        pending.removeFirst(count)
        return text
    }

    private mutating func withoutLeadingSpaces(_ id: Int) -> ArraySlice<UInt8> {
        let bytes = tokenizer.bytes(of: id)
        if dropsSpaces == .spelled {
            if !bytes.isEmpty { dropsSpaces = .kept }
            return Array(tokenizer.piece(id).utf8)[...]
        }
        let space = UInt8(ascii: " ")
        // Only the spaces of the text are left out, not one in what an unknown token is shown as.
        let first = tokenizer.piece(id).unicodeScalars.first
        if first != " ", first != "\u{2581}" { dropsSpaces = .kept }
        switch dropsSpaces {
        case .kept, .spelled: return bytes[...]
        case .dropsOne:
            if !bytes.isEmpty { dropsSpaces = .kept }
            return bytes.first == space ? bytes.dropFirst() : bytes[...]
        case .dropsAll:
            let rest = bytes.drop { $0 == space }
            if !rest.isEmpty { dropsSpaces = .kept }
            return rest
        }
    }
}
