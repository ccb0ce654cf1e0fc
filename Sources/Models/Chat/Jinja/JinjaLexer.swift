/// Cuts a template into literal text and the words of its tags.
enum JinjaLexer {
    enum Token: Equatable {
        case text(String)
        case outputBegin, outputEnd, blockBegin, blockEnd
        case name(String)
        case string(String)
        case integer(Int)
        case float(Double)
        case symbol(String)
        case end
    }

    struct Located {
        var token: Token
        var line: Int
    }

    static func tokens(of template: String) throws -> [Located] {
        var lexing = Lexing(template)
        return try lexing.run()
    }
}

private struct Lexing {
    private let text: [UInt8]
    private var position = 0
    private var line = 1
    private var tokens: [JinjaLexer.Located] = []

    init(_ template: String) {
        // One line end at the very end does not count, as with Jinja's own settings.
        let unified = template.replacingLineEnds()
        text = Array((unified.hasSuffix("\n") ? String(unified.dropLast()) : unified).utf8)
    }

    private func at(_ index: Int, _ literal: StaticString) -> Bool {
        let count = literal.utf8CodeUnitCount
        guard index + count <= text.count else { return false }
        return text[index..<index + count]
            .elementsEqual(UnsafeBufferPointer(start: literal.utf8Start, count: count))
    }

    mutating func run() throws -> [JinjaLexer.Located] {
        // Whether the white space that follows goes, because of `-` in the last tag.
        var stripsNext = false
        var trimsLineEnd = false
        while position < text.count {
            var end = position
            while end < text.count, !(at(end, "{{") || at(end, "{%") || at(end, "{#")) { end += 1 }
            var literal = text[position..<end]
            if stripsNext {
                literal = literal.drop(while: Self.isSpace)
            } else if trimsLineEnd, literal.first == UInt8(ascii: "\n") {
                literal = literal.dropFirst()
            }
            let opensTag = end < text.count
            let control = opensTag && end + 2 < text.count ? text[end + 2] : 0
            if opensTag, control == UInt8(ascii: "-") {
                while let last = literal.last, Self.isSpace(last) { literal.removeLast() }
            } else if opensTag, control != UInt8(ascii: "+"), !at(end, "{{") {
                literal = Self.withoutIndentation(literal, startsLine: position == 0 || text[position - 1] == 0x0a)
            }
            if !literal.isEmpty { add(.text(String(decoding: literal, as: UTF8.self))) }
            advance(to: end)
            guard opensTag else { break }
            (stripsNext, trimsLineEnd) = try tag()
        }
        add(.end)
        return tokens
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0d).contains(byte) }

    /// `lstrip_blocks`: spaces and tabs between the start of a line and a block are not text.
    private static func withoutIndentation(_ literal: ArraySlice<UInt8>, startsLine: Bool) -> ArraySlice<UInt8> {
        var rest = literal
        while let last = rest.last, last != 0x0a, isSpace(last) { rest.removeLast() }
        if rest.last == 0x0a || (rest.isEmpty && startsLine) { return rest }
        return literal
    }

    private mutating func add(_ token: JinjaLexer.Token) { tokens.append(.init(token: token, line: line)) }

    private mutating func advance(to end: Int) {
        while position < end {
            if text[position] == 0x0a { line += 1 }
            position += 1
        }
    }

    /// Reads one tag; returns what becomes of the white space after it.
    private mutating func tag() throws -> (stripsNext: Bool, trimsLineEnd: Bool) {
        let start = line
        if at(position, "{#") {
            var end = position + 2
            while end < text.count, !at(end, "#}") { end += 1 }
            guard end < text.count else { throw JinjaError.at(start, "a comment has no end") }
            let strips = text[end - 1] == UInt8(ascii: "-") && end > position + 2
            advance(to: end + 2)
            return (strips, true)
        }
        let isBlock = at(position, "{%")
        advance(to: position + 2)
        if position < text.count, text[position] == UInt8(ascii: "-") || text[position] == UInt8(ascii: "+") {
            position += 1
        }
        add(isBlock ? .blockBegin : .outputBegin)
        let first = tokens.count
        var depth = 0
        while true {
            skipSpace()
            guard position < text.count else { throw JinjaError.at(start, "a tag has no end") }
            let control = text[position]
            let closing = control == UInt8(ascii: "-") || control == UInt8(ascii: "+") ? position + 1 : position
            if isBlock ? at(closing, "%}") : depth == 0 && at(closing, "}}") {
                add(isBlock ? .blockEnd : .outputEnd)
                position = closing + 2
                let strips = control == UInt8(ascii: "-")
                if isBlock, tokens.count == first + 2, tokens[first].token == .name("raw") {
                    return try rawText(start, strips: strips)
                }
                return (strips, isBlock && control != UInt8(ascii: "+"))
            }
            try word()
            switch tokens.last?.token {
            case .symbol("{"), .symbol("["), .symbol("("): depth += 1
            case .symbol("}"), .symbol("]"), .symbol(")"): depth -= 1
            default: break
            }
        }
    }

    /// What stands between `raw` and `endraw`, as text; the two tags themselves are taken away.
    private mutating func rawText(_ start: Int, strips: Bool) throws -> (Bool, Bool) {
        tokens.removeLast(3)
        var end = position
        while end < text.count {
            if at(end, "{%") {
                var inner = end + 2
                while inner < text.count, Self.isSpace(text[inner]) || text[inner] == UInt8(ascii: "-") { inner += 1 }
                if at(inner, "endraw") { break }
            }
            end += 1
        }
        guard end < text.count else { throw JinjaError.at(start, "raw has no endraw") }
        var literal = text[position..<end]
        if strips {
            literal = literal.drop(while: Self.isSpace)
        } else if literal.first == 0x0a {
            literal.removeFirst()
        }
        if text[end + 2] == UInt8(ascii: "-") {
            while let last = literal.last, Self.isSpace(last) { literal.removeLast() }
        } else {
            literal = Self.withoutIndentation(literal, startsLine: false)
        }
        if !literal.isEmpty { add(.text(String(decoding: literal, as: UTF8.self))) }
        var close = end
        while close < text.count, !at(close, "%}") { close += 1 }
        guard close < text.count else { throw JinjaError.at(start, "endraw has no end") }
        advance(to: close + 2)
        return (text[close - 1] == UInt8(ascii: "-"), true)
    }

    private mutating func skipSpace() {
        while position < text.count, Self.isSpace(text[position]) { advance(to: position + 1) }
    }

    private mutating func word() throws {
        let byte = text[position]
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"), 0x80...:
            let name = take { Self.isNamePart($0) }
            add(.name(name))
        case UInt8(ascii: "0")...UInt8(ascii: "9"): try number()
        case UInt8(ascii: "'"), UInt8(ascii: "\""): try string(byte)
        default:
            for symbol in ["==", "!=", "<=", ">=", "//", "**"] where text[position...].starts(with: symbol.utf8) {
                add(.symbol(symbol))
                position += 2
                return
            }
            guard "+-*/%~|.,:()[]{}<>=".utf8.contains(byte) else {
                throw JinjaError.at(line, "unexpected character \(Unicode.Scalar(byte))")
            }
            add(.symbol(String(Unicode.Scalar(byte))))
            position += 1
        }
    }

    private static func isNamePart(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), 0x80...:
            true
        default: false
        }
    }

    private mutating func take(_ isPart: (UInt8) -> Bool) -> String {
        let start = position
        while position < text.count, isPart(text[position]) { position += 1 }
        return String(decoding: text[start..<position], as: UTF8.self)
    }

    private mutating func number() throws {
        let isDigit = { (byte: UInt8) in byte &- 0x30 < 10 || byte == UInt8(ascii: "_") }
        var digits = take(isDigit)
        var isFloat = false
        if position + 1 < text.count, text[position] == UInt8(ascii: "."), isDigit(text[position + 1]) {
            position += 1
            digits += "." + take(isDigit)
            isFloat = true
        }
        if position < text.count, text[position] | 0x20 == UInt8(ascii: "e") {
            position += 1
            digits += "e" + take { isDigit($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "+") }
            isFloat = true
        }
        digits.removeAll { $0 == "_" }
        if !isFloat, let value = Int(digits) {
            add(.integer(value))
        } else if isFloat, let value = Double(digits) {
            add(.float(value))
        } else {
            throw JinjaError.at(line, "the number \(digits) is out of range")
        }
    }

    private mutating func string(_ quote: UInt8) throws {
        let start = line
        var bytes: [UInt8] = []
        position += 1
        while position < text.count, text[position] != quote {
            if text[position] != UInt8(ascii: "\\") {
                bytes.append(text[position])
                advance(to: position + 1)
                continue
            }
            guard position + 1 < text.count else { break }
            let escape = text[position + 1]
            advance(to: position + 2)
            switch escape {
            case UInt8(ascii: "n"): bytes.append(0x0a)
            case UInt8(ascii: "t"): bytes.append(0x09)
            case UInt8(ascii: "r"): bytes.append(0x0d)
            case UInt8(ascii: "\\"), UInt8(ascii: "'"), UInt8(ascii: "\""): bytes.append(escape)
            case 0x0a: break
            case UInt8(ascii: "x"), UInt8(ascii: "u"), UInt8(ascii: "U"):
                let count = escape == UInt8(ascii: "x") ? 2 : escape == UInt8(ascii: "u") ? 4 : 8
                let end = min(position + count, text.count)
                guard let value = UInt32(String(decoding: text[position..<end], as: UTF8.self), radix: 16),
                    let scalar = Unicode.Scalar(value), end == position + count
                else { throw JinjaError.at(line, "a wrong escape in a string") }
                bytes += String(scalar).utf8
                position = end
            default: bytes += [UInt8(ascii: "\\"), escape]
            }
        }
        guard position < text.count else { throw JinjaError.at(start, "a string has no end") }
        position += 1
        add(.string(String(decoding: bytes, as: UTF8.self)))
    }
}

extension String {
    /// With `\n` for `\r\n` and `\r`.
    fileprivate func replacingLineEnds() -> String {
        guard utf8.contains(0x0d) else { return self }
        var bytes: [UInt8] = []
        var wasReturn = false
        for byte in utf8 {
            if byte == 0x0a, wasReturn {
                wasReturn = false
                continue
            }
            wasReturn = byte == 0x0d
            bytes.append(wasReturn ? 0x0a : byte)
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
