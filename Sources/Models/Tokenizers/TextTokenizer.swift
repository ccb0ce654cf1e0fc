/// A tokenizer put together from the parts that published tokenizers have: added tokens, a normalizer, a pre-tokenizer,
/// a model, and what is put around a text.
///
/// ``TokenizerLoader`` makes them from files.
final class TextTokenizer: Tokenizer {
    /// The parts that do not depend on the kind of model.
    struct Parts: Sendable {
        var vocabulary: Vocabulary
        var normalizer: Normalizer?
        var preTokenizer = PreTokenizer(stages: [])
        var addedTokens: [AddedTokens.Token] = []
        var prefix: [Int] = []
        var suffix: [Int] = []
        var beginToken: Int?
        var endTokens: Set<Int> = []
        var leadingSpaces = LeadingSpaces.kept
    }

    private typealias PieceEncoder = @Sendable (UnsafeBufferPointer<UInt8>, Bool, inout [Int]) -> Void

    private let vocabulary: Vocabulary
    private let normalizer: Normalizer?
    private let prefix: [Int]
    private let suffix: [Int]
    private let encodePieces: PieceEncoder
    // What is found in the text as written and in the normalized text, with and without special tokens.
    private let allAdded: (written: AddedTokens, normalized: AddedTokens)
    private let plainAdded: (written: AddedTokens, normalized: AddedTokens)

    let beginToken: Int?
    let endTokens: Set<Int>
    let leadingSpaces: LeadingSpaces

    init<Model: TokenModel>(_ parts: Parts, model: Model) {
        vocabulary = parts.vocabulary
        normalizer = parts.normalizer.flatMap { $0.isIdentity ? nil : $0 }
        prefix = parts.prefix
        suffix = parts.suffix
        beginToken = parts.beginToken
        endTokens = parts.endTokens
        leadingSpaces = parts.leadingSpaces
        let pool = WorkspacePool { model.makeWorkspace() }
        let preTokenizer = parts.preTokenizer
        encodePieces = { text, isFirst, tokens in
            pool.with { workspace in
                preTokenizer.forEachPiece(text, isFirst: isFirst) { model.append($0, to: &tokens, workspace) }
            }
        }
        allAdded = Self.split(parts.addedTokens, parts.normalizer)
        plainAdded = Self.split(parts.addedTokens.filter { !$0.isSpecial }, parts.normalizer)
    }

    private static func split(_ tokens: [AddedTokens.Token], _ normalizer: Normalizer?) -> (AddedTokens, AddedTokens) {
        guard let normalizer, !normalizer.isIdentity else { return (AddedTokens(tokens), AddedTokens([])) }
        let normalized = tokens.filter(\.isNormalized).map { token in
            var token = token
            token.content = Array(normalizer.apply(String(decoding: token.content, as: UTF8.self)).utf8)
            return token
        }
        return (AddedTokens(tokens.filter { !$0.isNormalized }), AddedTokens(normalized))
    }

    // MARK: Encoding

    func encode(_ text: String, addingSpecialTokens: Bool) -> [Int] {
        guard addingSpecialTokens else { return encode(text, plainAdded, prefix: [], suffix: []) }
        return encode(text, plainAdded, prefix: prefix, suffix: suffix)
    }

    func encode(_ text: String, parsingSpecialTokens: Bool) -> [Int] {
        encode(text, parsingSpecialTokens ? allAdded : plainAdded, prefix: [], suffix: [])
    }

    private func encode(
        _ text: String, _ added: (written: AddedTokens, normalized: AddedTokens), prefix: [Int], suffix: [Int]
    ) -> [Int] {
        var tokens = prefix
        tokens.reserveCapacity(text.utf8.count / 3 + prefix.count + suffix.count)
        var text = text
        text.withUTF8 { bytes in
            Self.forEachSegment(of: bytes, added.written, &tokens) { segment, isFirst, tokens in
                guard let normalizer else { return encodePieces(segment, isFirst, &tokens) }
                var normalized = normalizer.apply(String(decoding: segment, as: UTF8.self))
                normalized.withUTF8 { bytes in
                    Self.forEachSegment(of: bytes, added.normalized, &tokens) { part, startsPart, tokens in
                        encodePieces(part, isFirst && startsPart, &tokens)
                    }
                }
            }
        }
        return tokens + suffix
    }

    /// Appends the added tokens in `text` and calls `body` with what lies between them.
    private static func forEachSegment(
        of text: UnsafeBufferPointer<UInt8>, _ added: AddedTokens, _ tokens: inout [Int],
        _ body: (UnsafeBufferPointer<UInt8>, _ isFirst: Bool, inout [Int]) -> Void
    ) {
        var start = 0
        for match in added.matches(in: text) {
            if start < match.range.lowerBound {
                body(UnsafeBufferPointer(rebasing: text[start..<match.range.lowerBound]), start == 0, &tokens)
            }
            tokens.append(match.id)
            start = match.range.upperBound
        }
        if start < text.count { body(UnsafeBufferPointer(rebasing: text[start...]), start == 0, &tokens) }
    }

    // MARK: Decoding

    var vocabularySize: Int { vocabulary.count }

    func decode(_ ids: [Int], skippingSpecialTokens: Bool) -> String {
        var decoder = StreamingDetokenizer(self, skipsSpecialTokens: skippingSpecialTokens, startsText: true)
        return ids.map { decoder.append($0) }.joined() + decoder.finish()
    }

    func piece(_ id: Int) -> String {
        vocabulary.pieces.indices.contains(id) ? vocabulary.pieces[id] : ""
    }

    func bytes(of id: Int) -> [UInt8] { vocabulary.bytes(of: id) }

    func isSpecial(_ id: Int) -> Bool {
        vocabulary.isSpecial.indices.contains(id) && vocabulary.isSpecial[id]
    }
}
