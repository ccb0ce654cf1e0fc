/// The Unicode properties of a character that pre-tokenizers ask for, as a set of bits.
///
/// Classes of the first two planes stand in a table, which is built at the first character beyond ASCII.
struct CharacterClass: OptionSet, Sendable {
    var rawValue: UInt8

    /// `\p{L}`.
    static let letter = CharacterClass(rawValue: 1)
    /// `\p{N}`.
    static let number = CharacterClass(rawValue: 2)
    /// `\s`: the property White_Space.
    static let space = CharacterClass(rawValue: 4)
    /// `[\r\n]`.
    static let lineEnd = CharacterClass(rawValue: 8)
    /// `[\p{Lu}\p{Lt}]`.
    static let upper = CharacterClass(rawValue: 16)
    /// `\p{Ll}`.
    static let lower = CharacterClass(rawValue: 32)
    /// `\p{M}`.
    static let mark = CharacterClass(rawValue: 64)
    /// `\p{P}`, and in ASCII also the symbols, as BERT's and Hugging Face's notion of punctuation has it.
    static let punctuation = CharacterClass(rawValue: 128)

    /// `\w` is `[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]`; this is asked for rarely and not in the table.
    static func isWord(_ scalar: Unicode.Scalar) -> Bool {
        let properties = scalar.properties
        if properties.isAlphabetic || properties.isJoinControl { return true }
        switch properties.generalCategory {
        case .decimalNumber, .connectorPunctuation, .nonspacingMark, .spacingMark, .enclosingMark: return true
        default: return false
        }
    }

    static func of(_ scalar: Unicode.Scalar) -> CharacterClass {
        let value = Int(scalar.value)
        if value < 128 { return CharacterClass(rawValue: ascii.base[value]) }
        if value < planes.count { return CharacterClass(rawValue: planes.base[value]) }
        return computed(scalar)
    }

    /// The class and the length in bytes of the character at `text`, which must be valid UTF-8.
    @inline(__always)
    static func at(_ text: UnsafePointer<UInt8>, _ ascii: UnsafePointer<UInt8>) -> (CharacterClass, Int) {
        let first = text[0]
        if first < 0x80 { return (CharacterClass(rawValue: ascii[Int(first)]), 1) }
        return beyondASCII(text)
    }

    /// The table for `at(_:_:)`: hot loops fetch it once.
    static var asciiTable: UnsafePointer<UInt8> { ascii.base }

    @inline(never)
    private static func beyondASCII(_ text: UnsafePointer<UInt8>) -> (CharacterClass, Int) {
        let (scalar, length) = UTF8Text.scalar(at: text)
        return (of(scalar), length)
    }

    private struct Table: @unchecked Sendable {
        // Written once, before it is shared, and never freed.
        let base: UnsafePointer<UInt8>
        let count: Int

        init(count: Int) {
            let base = UnsafeMutablePointer<UInt8>.allocate(capacity: count)
            for value in 0..<count {
                base[value] = Unicode.Scalar(UInt32(value)).map { computed($0).rawValue } ?? 0
            }
            self.base = UnsafePointer(base)
            self.count = count
        }
    }

    private static let ascii = Table(count: 128)
    private static let planes = Table(count: 0x20000)

    private static func computed(_ scalar: Unicode.Scalar) -> CharacterClass {
        var result: CharacterClass = []
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .titlecaseLetter: result = [.letter, .upper]
        case .lowercaseLetter: result = [.letter, .lower]
        case .modifierLetter, .otherLetter: result = .letter
        case .decimalNumber, .letterNumber, .otherNumber: result = .number
        case .nonspacingMark, .spacingMark, .enclosingMark: result = .mark
        case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
            .finalPunctuation, .otherPunctuation:
            result = .punctuation
        case .mathSymbol, .currencySymbol, .modifierSymbol, .otherSymbol:
            if scalar.isASCII { result = .punctuation }
        default: break
        }
        if scalar.properties.isWhitespace { result.insert(.space) }
        if scalar == "\r" || scalar == "\n" { result.insert(.lineEnd) }
        return result
    }
}
