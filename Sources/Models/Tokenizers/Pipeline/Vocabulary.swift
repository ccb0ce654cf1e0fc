/// The pieces of a tokenizer by number, and what text each stands for.
struct Vocabulary: Sendable {
    /// How a piece spells its bytes.
    enum Spelling: Sendable {
        /// In the alphabet of byte-level BPE.
        case byteLevel
        /// As text, in which `space`, if given, stands for a space, and, with `byteFallback`, `<0x0A>` for a byte.
        case text(space: Unicode.Scalar?, byteFallback: Bool)
        /// Words as text with a space in front, but pieces that begin with `continuation` without it and without that;
        /// `cleansUp` leaves out the spaces of English that stand before punctuation.
        case words(continuation: String, cleansUp: Bool)
        /// As its bytes, which ``Vocabulary/rawBytes`` holds.
        case raw
    }

    var pieces: [String]
    /// Special tokens and those of the added ones that the vocabulary has only as text: they stand for their name.
    var isSpecial: [Bool]
    var isAdded: [Bool]
    let spelling: Spelling
    /// With ``Spelling/raw``.
    var rawBytes: [[UInt8]] = []
    /// What an unknown token adds to the text, if not its name.
    var unknown: (id: Int, text: String)?

    init(pieces: [String], spelling: Spelling) {
        self.pieces = pieces
        self.spelling = spelling
        isSpecial = Array(repeating: false, count: pieces.count)
        isAdded = isSpecial
    }

    init(rawBytes: [[UInt8]]) {
        self.init(pieces: rawBytes.map { ByteAlphabet.piece(of: $0) }, spelling: .raw)
        self.rawBytes = rawBytes
    }

    var count: Int { pieces.count }

    mutating func add(_ id: Int, _ content: String, isSpecial special: Bool) {
        while pieces.count <= id {
            pieces.append("")
            isSpecial.append(false)
            isAdded.append(false)
            if case .raw = spelling { rawBytes.append([]) }
        }
        pieces[id] = content
        isSpecial[id] = special
        isAdded[id] = true
    }

    func bytes(of id: Int) -> [UInt8] {
        guard pieces.indices.contains(id) else { return [] }
        let piece = pieces[id]
        if let unknown, unknown.id == id { return Array(unknown.text.utf8) }
        switch spelling {
        case .words(let continuation, let cleansUp): return Self.word(piece, continuation, cleansUp)
        case _ where isAdded[id] || isSpecial[id]: return Array(piece.utf8)
        case .byteLevel: return ByteAlphabet.bytes(of: piece) ?? Array(piece.utf8)
        case .raw: return rawBytes[id]
        case .text(let space, let byteFallback):
            if byteFallback, let byte = Self.byte(named: piece) { return [byte] }
            guard let space, piece.unicodeScalars.contains(space) else { return Array(piece.utf8) }
            var text = String.UnicodeScalarView()
            for scalar in piece.unicodeScalars { text.append(scalar == space ? " " : scalar) }
            return Array(String(text).utf8)
        }
    }

    private static func word(_ piece: String, _ continuation: String, _ cleansUp: Bool) -> [UInt8] {
        if piece.isEmpty { return [] }
        let continues = !continuation.isEmpty && piece.utf8.starts(with: continuation.utf8)
        let word = continues ? Array(piece.utf8.dropFirst(continuation.utf8.count)) : [UInt8(ascii: " ")] + piece.utf8
        guard cleansUp, let space = word.firstIndex(of: UInt8(ascii: " ")), space + 1 < word.count else { return word }
        var text = String(decoding: word, as: UTF8.self)
        for (pattern, replacement) in cleanings { text = Normalizer.replace(pattern, in: text, with: replacement) }
        return Array(text.utf8)
    }

    /// In the order in which they are done.
    private static let cleanings = [
        (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
        (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
    ]

    /// The byte that a piece such as `<0x0A>` stands for.
    static func byte(named piece: String) -> UInt8? {
        guard piece.utf8.count == 6, piece.hasPrefix("<0x"), piece.hasSuffix(">") else { return nil }
        return UInt8(piece.dropFirst(3).dropLast(), radix: 16)
    }

    static func name(of byte: UInt8) -> String {
        let digits = String(byte, radix: 16, uppercase: true)
        return "<0x" + (digits.count < 2 ? "0" : "") + digits + ">"
    }
}
