/// The printable alphabet of byte-level BPE: each byte stands as one character.
///
/// Printable ASCII and Latin-1 stand for themselves and the other 68 bytes for U+0100 and up in order of their value
/// (Radford et al., "Language Models are Unsupervised Multitask Learners", 2019), so that a space is `Ġ`.
enum ByteAlphabet {
    /// The character of each byte.
    static let characters: [Unicode.Scalar] = {
        var next: UInt32 = 0x100
        return (0...255).map { (byte: UInt32) in
            if standsForItself(byte) { return Unicode.Scalar(UInt8(byte)) }
            defer { next += 1 }
            return Unicode.Scalar(next) ?? " "
        }
    }()

    /// The byte of each character below U+0144, or nil where there is none.
    private static let bytes: [UInt8?] = {
        var bytes = [UInt8?](repeating: nil, count: 0x144)
        for (byte, character) in characters.enumerated() { bytes[Int(character.value)] = UInt8(byte) }
        return bytes
    }()

    private static func standsForItself(_ byte: UInt32) -> Bool {
        (0x21...0x7e).contains(byte) || (0xa1...0xac).contains(byte) || (0xae...0xff).contains(byte)
    }

    static func byte(of character: Unicode.Scalar) -> UInt8? {
        character.value < bytes.count ? bytes[Int(character.value)] : nil
    }

    /// The bytes that `piece` stands for; nil when it has a character outside the alphabet.
    static func bytes(of piece: String) -> [UInt8]? {
        var result: [UInt8] = []
        result.reserveCapacity(piece.utf8.count)
        for character in piece.unicodeScalars {
            guard let byte = byte(of: character) else { return nil }
            result.append(byte)
        }
        return result
    }

    static func piece(of bytes: some Sequence<UInt8>) -> String {
        var piece = String.UnicodeScalarView()
        for byte in bytes { piece.append(characters[Int(byte)]) }
        return String(piece)
    }
}
