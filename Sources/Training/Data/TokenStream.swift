import CoppiceTensors

/// The tokens of a text, document after document, each with the end token behind it.
public struct TokenStream: Sendable, Equatable {
    /// Token numbers.
    public let tokens: [Int32]
    /// UTF-8 bytes of the text that they stand for, for bits per byte.
    public let byteCount: Int

    public init(tokens: [Int32], byteCount: Int) {
        self.tokens = tokens
        self.byteCount = byteCount
    }

    /// Tokenizes a text.
    ///
    /// - Parameters:
    ///   - endToken: put behind each document.
    ///   - encode: the tokenizer, without special tokens.
    ///   - progress: called with the bytes done so far.
    public init(
        _ text: TrainingText, endToken: Int, encode: (String) throws -> [Int], progress: (Int) -> Void = { _ in }
    ) rethrows {
        var tokens: [Int32] = []
        tokens.reserveCapacity(text.byteCount / 3)
        var done = 0
        for document in text.documents {
            for piece in Self.pieces(document) {
                tokens.append(contentsOf: try encode(piece).map { Int32($0) })
                done += piece.utf8.count
                progress(done)
            }
            tokens.append(Int32(endToken))
        }
        self.init(tokens: tokens, byteCount: text.byteCount)
    }

    /// A long document in pieces of some hundred kilobytes, cut behind a line, so that no tokenizer has to hold a book
    /// at once. Cutting there leaves the tokens of a byte-level BPE as they are: none of its pre-tokenizers joins a
    /// line feed and the letter behind it. (SentencePiece sees one more space at each cut.)
    static func pieces(_ document: String) -> [String] {
        let largest = 1 << 18
        guard document.utf8.count > largest else { return [document] }
        var pieces: [String] = []
        var start = document.startIndex
        var position = document.startIndex
        let utf8 = document.utf8
        var size = 0
        while position < utf8.endIndex {
            let isBreak = utf8[position] == UInt8(ascii: "\n")
            utf8.formIndex(after: &position)
            size += 1
            // Behind the last of several line feeds and before a letter: pre-tokenizers keep line feeds together.
            if size >= largest, isBreak, position < utf8.endIndex, isWordStart(utf8[position]) {
                pieces.append(String(document[start..<position]))
                (start, size) = (position, 0)
            }
        }
        if start < document.endIndex { pieces.append(String(document[start...])) }
        return pieces
    }

    private static func isWordStart(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
    }

    /// Throws unless at least one window of `length` tokens and its successor fits, and all tokens are known.
    ///
    /// - Parameter source: the text's name, for the message.
    public func check(length: Int, vocabularySize: Int, source: String) throws {
        guard tokens.count > length else {
            throw CoppiceError(
                .badData, source: source,
                "has \(tokens.count) tokens, expected at least \(length + 1) (the sequence length and one)")
        }
        if let outside = tokens.first(where: { $0 < 0 || $0 >= vocabularySize }) {
            throw CoppiceError(
                .badData, source: source, "has the token \(outside), expected tokens below \(vocabularySize)")
        }
    }
}
