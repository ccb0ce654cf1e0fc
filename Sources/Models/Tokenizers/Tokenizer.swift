/// Turns text into token numbers and back.
///
/// ```swift
/// let tokenizer = try TokenizerLoader.load(folder: "models/tale")
/// let tokens = tokenizer.encode("Once upon a time", addingSpecialTokens: true)
/// print(tokenizer.decode(tokens, skippingSpecialTokens: true))
/// ```
///
/// A tokenizer is immutable: any number of threads may use it at once.
public protocol Tokenizer: Sendable {
    /// One more than the largest token number.
    var vocabularySize: Int { get }
    /// The token that begins a text, if the model was trained with one.
    var beginToken: Int? { get }
    /// The tokens that end an answer.
    var endTokens: Set<Int> { get }
    /// What ``decode(_:skippingSpecialTokens:)`` does with spaces at the start of the text.
    var leadingSpaces: LeadingSpaces { get }

    /// The tokens of `text`; what looks like a special token in it is ordinary text, so this is safe for any input.
    ///
    /// - Parameter addingSpecialTokens: whether the tokens that the model expects around a text (its begin token) are
    ///   put around it.
    /// - Complexity: O(*n* log *n*) at worst, and about O(*n*) for text of words.
    func encode(_ text: String, addingSpecialTokens: Bool) -> [Int]

    /// The tokens of `text` as it stands: nothing is added.
    ///
    /// - Parameter parsingSpecialTokens: whether the special tokens written out in it (`<|im_end|>`) become those
    ///   tokens, as the text of a chat template needs. Never parse what a stranger wrote.
    func encode(_ text: String, parsingSpecialTokens: Bool) -> [Int]

    /// The text of `ids`. Bytes that are not UTF-8 become U+FFFD; numbers beyond the vocabulary add nothing.
    func decode(_ ids: [Int], skippingSpecialTokens: Bool) -> String

    /// The vocabulary's own spelling of the token, such as `Ġtime` or `▁time`; empty beyond the vocabulary.
    func piece(_ id: Int) -> String

    /// The bytes that the token adds to the text where it is not the first; possibly a part of a character. For a
    /// special token its name. Where words have their space in front, so have punctuation and names.
    func bytes(of id: Int) -> [UInt8]

    /// Whether the token stands for no text (begin, end, turn marks).
    func isSpecial(_ id: Int) -> Bool

    /// A detokenizer for tokens that continue a text.
    func streamingDecoder() -> StreamingDetokenizer
}

/// What becomes of spaces at the start of a decoded text: tokenizers of the SentencePiece kind put one there.
public enum LeadingSpaces: Sendable {
    case kept
    /// The first one is left out.
    case dropsOne
    /// All are left out.
    case dropsAll
    /// The first token is shown as the vocabulary spells it: in WordPiece the others have their space in front.
    case spelled
}

extension Tokenizer {
    public var leadingSpaces: LeadingSpaces { .kept }

    public func isSpecial(_ id: Int) -> Bool { false }

    public func streamingDecoder() -> StreamingDetokenizer { StreamingDetokenizer(self) }
}
