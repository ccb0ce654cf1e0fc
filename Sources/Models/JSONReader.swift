import CoppiceTensors
import OrderedCollections

/// A cursor over a JSON document.
///
/// ``JSON`` is read through it; large regular parts (a vocabulary of 150,000 entries) are read from it directly,
/// without a value for each entry and with keys as bytes. It borrows the document and must not outlive it.
package struct JSONReader {
    private let bytes: UnsafeBufferPointer<UInt8>
    private let source: String
    private let duplicateKeys: JSON.DuplicateKeys
    private var position = 0
    private var depth = 0

    package init(
        _ bytes: UnsafeBufferPointer<UInt8>, source: String, duplicateKeys: JSON.DuplicateKeys = .lastWins
    ) {
        self.bytes = bytes
        self.source = source
        self.duplicateKeys = duplicateKeys
        if bytes.starts(with: [0xef, 0xbb, 0xbf]) { position = 3 }
    }

    /// Reads any value.
    package mutating func value() throws -> JSON {
        switch try peek() {
        case UInt8(ascii: "{"):
            var members: OrderedDictionary<String, JSON> = [:]
            try object { key, reader in
                let start = reader.position
                let name = try reader.text(key, at: start)
                let value = try reader.value()
                if members.updateValue(value, forKey: name) != nil, reader.duplicateKeys == .rejected {
                    throw reader.error("the key \"\(name)\" occurs twice in one object", at: start)
                }
            }
            return .object(members)
        case UInt8(ascii: "["):
            var elements: [JSON] = []
            try array { elements.append(try $0.value()) }
            return .array(elements)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try literal("true", .bool(true))
        case UInt8(ascii: "f"): return try literal("false", .bool(false))
        case UInt8(ascii: "n"): return try literal("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        default: throw error("expected a value, found \(found())", at: position)
        }
    }

    /// Reads an object; `member` gets each key's bytes and must read its value.
    package mutating func object(_ member: (UnsafeBufferPointer<UInt8>, inout JSONReader) throws -> Void) throws {
        guard try peek() == UInt8(ascii: "{") else { throw error("expected an object, found \(found())", at: position) }
        try descend()
        if try peek() != UInt8(ascii: "}") {
            repeat {
                guard try peek() == UInt8(ascii: "\"") else {
                    throw error("expected a key in quotation marks, found \(found())", at: position)
                }
                try withStringBytes { key, reader in
                    guard try reader.peek() == UInt8(ascii: ":") else {
                        throw reader.error(
                            "expected a colon after the key, found \(reader.found())", at: reader.position)
                    }
                    reader.position += 1
                    try member(key, &reader)
                }
            } while try hasAnother(closing: UInt8(ascii: "}"), "}")
        } else {
            position += 1
        }
        depth -= 1
    }

    /// Reads an array; `element` must read one value.
    package mutating func array(_ element: (inout JSONReader) throws -> Void) throws {
        guard try peek() == UInt8(ascii: "[") else { throw error("expected an array, found \(found())", at: position) }
        try descend()
        if try peek() != UInt8(ascii: "]") {
            repeat { try element(&self) } while try hasAnother(closing: UInt8(ascii: "]"), "]")
        } else {
            position += 1
        }
        depth -= 1
    }

    /// Reads a string.
    package mutating func string() throws -> String {
        let start = position
        return try withStringBytes { bytes, reader in try reader.text(bytes, at: start) }
    }

    /// Reads a string and passes on its bytes, escapes resolved but not checked to be UTF-8.
    package mutating func withStringBytes<Result>(
        _ body: (UnsafeBufferPointer<UInt8>, inout JSONReader) throws -> Result
    ) throws -> Result {
        guard try peek() == UInt8(ascii: "\"") else { throw error("expected a string, found \(found())", at: position) }
        let start = position + 1
        var end = start
        while end < bytes.count, bytes[end] != UInt8(ascii: "\""), bytes[end] != UInt8(ascii: "\\"), bytes[end] >= 0x20
        {
            end += 1
        }
        if end < bytes.count, bytes[end] == UInt8(ascii: "\"") {
            position = end + 1
            return try body(UnsafeBufferPointer(rebasing: bytes[start..<end]), &self)
        }
        let text = try unescapedBytes(from: start)
        return try text.withUnsafeBufferPointer { try body($0, &self) }
    }

    /// Reads a whole number.
    package mutating func integer(_ what: String) throws -> Int {
        _ = try peek()
        let start = position
        guard case .integer(let value) = try value() else { throw error("expected \(what), a whole number", at: start) }
        return value
    }

    /// Checks that nothing but white space is left.
    package mutating func end() throws {
        skipSpace()
        if position < bytes.count { throw error("expected the end, found \(found())", at: position) }
    }

    /// The next byte that is not white space, not consumed.
    package mutating func peek() throws -> UInt8 {
        skipSpace()
        guard position < bytes.count else { throw error("the text ends in the middle of a value", at: position) }
        return bytes[position]
    }

    /// An error at the place that was read last.
    package func error(_ message: String) -> CoppiceError { error(message, at: position) }

    // MARK: Grammar

    private mutating func skipSpace() {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x0a, 0x0d, 0x09: position += 1
            default: return
            }
        }
    }

    private mutating func descend() throws {
        depth += 1
        if depth > JSON.maximumDepth { throw error("nested deeper than \(JSON.maximumDepth) levels", at: position) }
        position += 1
    }

    private mutating func hasAnother(closing: UInt8, _ name: String) throws -> Bool {
        let next = try peek()
        guard next == closing || next == UInt8(ascii: ",") else {
            throw error("expected , or \(name), found \(found())", at: position)
        }
        position += 1
        return next != closing
    }

    private mutating func literal(_ name: StaticString, _ value: JSON) throws -> JSON {
        let end = position + name.utf8CodeUnitCount
        guard end <= bytes.count,
            UnsafeBufferPointer(rebasing: bytes[position..<end])
                .elementsEqual(UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
        else { throw error("expected \(name)", at: position) }
        position = end
        return value
    }

    private mutating func number() throws -> JSON {
        let start = position
        var isWhole = true
        var magnitude: UInt64 = 0
        var overflows = false
        func isDigit(_ at: Int) -> Bool { at < bytes.count && bytes[at] &- UInt8(ascii: "0") < 10 }
        let isNegative = bytes[position] == UInt8(ascii: "-")
        if isNegative { position += 1 }
        guard isDigit(position) else { throw error("expected a digit", at: position) }
        if bytes[position] == UInt8(ascii: "0"), isDigit(position + 1) {
            throw error("a number must not begin with 0", at: position)
        }
        while isDigit(position) {
            let (product, overflow) = magnitude.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(UInt64(bytes[position] &- UInt8(ascii: "0")))
            magnitude = sum
            overflows = overflows || overflow || carry
            position += 1
        }
        if position < bytes.count, bytes[position] == UInt8(ascii: ".") {
            isWhole = false
            position += 1
            guard isDigit(position) else { throw error("expected a digit after the decimal point", at: position) }
            while isDigit(position) { position += 1 }
        }
        if position < bytes.count, bytes[position] | 0x20 == UInt8(ascii: "e") {
            isWhole = false
            position += 1
            if position < bytes.count, bytes[position] == UInt8(ascii: "-") || bytes[position] == UInt8(ascii: "+") {
                position += 1
            }
            guard isDigit(position) else { throw error("expected a digit in the exponent", at: position) }
            while isDigit(position) { position += 1 }
        }
        if isWhole, !overflows {
            if !isNegative, let value = Int(exactly: magnitude) { return .integer(value) }
            if isNegative, magnitude <= UInt64(Int.max) + 1 { return .integer(Int(truncatingIfNeeded: 0 &- magnitude)) }
        }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        guard let value = Double(text), value.isFinite else {
            throw error("\(text.prefix(40)) is beyond the range of a double", at: start)
        }
        return .number(value)
    }

    // MARK: Strings

    private func text(_ bytes: UnsafeBufferPointer<UInt8>, at start: Int) throws -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw error("a string is not UTF-8", at: start)
        }
        return text
    }

    private mutating func unescapedBytes(from start: Int) throws -> [UInt8] {
        var result: [UInt8] = []
        var index = start
        while index < bytes.count {
            let byte = bytes[index]
            switch byte {
            case UInt8(ascii: "\""):
                position = index + 1
                return result
            case UInt8(ascii: "\\"): index = try appendEscape(at: index, to: &result)
            case 0..<0x20: throw error("a control character in a string must be escaped", at: index)
            default:
                result.append(byte)
                index += 1
            }
        }
        throw error("a string has no end", at: start - 1)
    }

    /// Resolves the escape at `index` and returns where the text goes on.
    private func appendEscape(at index: Int, to result: inout [UInt8]) throws -> Int {
        guard index + 1 < bytes.count else { throw error("a string has no end", at: index) }
        switch bytes[index + 1] {
        case UInt8(ascii: "n"): result.append(0x0a)
        case UInt8(ascii: "t"): result.append(0x09)
        case UInt8(ascii: "r"): result.append(0x0d)
        case UInt8(ascii: "b"): result.append(0x08)
        case UInt8(ascii: "f"): result.append(0x0c)
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): result.append(bytes[index + 1])
        case UInt8(ascii: "u"):
            let unit = try hexadecimal(at: index + 2)
            var scalar = unit
            var end = index + 6
            if unit & 0xfc00 == 0xd800 {
                guard end + 1 < bytes.count, bytes[end] == UInt8(ascii: "\\"), bytes[end + 1] == UInt8(ascii: "u"),
                    case let low = try hexadecimal(at: end + 2), low & 0xfc00 == 0xdc00
                else { throw error("an unpaired surrogate", at: index) }
                scalar = 0x10000 + (unit & 0x3ff) << 10 + low & 0x3ff
                end += 6
            }
            guard let valid = Unicode.Scalar(scalar) else { throw error("an unpaired surrogate", at: index) }
            result += UTF8.encode(valid).map(Array.init) ?? []
            return end
        default: throw error("an unknown escape", at: index)
        }
        return index + 2
    }

    private func hexadecimal(at start: Int) throws -> UInt32 {
        var value: UInt32 = 0
        for index in start..<start + 4 {
            guard index < bytes.count, let digit = Character(Unicode.Scalar(bytes[index])).hexDigitValue else {
                throw error("expected four hexadecimal digits after \\u", at: index)
            }
            value = value << 4 | UInt32(digit)
        }
        return value
    }

    // MARK: Errors

    private func found() -> String {
        guard position < bytes.count else { return "the end" }
        let byte = bytes[position]
        return byte > 0x20 && byte < 0x7f ? String(Unicode.Scalar(byte)) : "byte \(byte)"
    }

    private func error(_ message: String, at offset: Int) -> CoppiceError {
        let before = bytes[..<min(offset, bytes.count)]
        let line = before.reduce(1) { $1 == 0x0a ? $0 + 1 : $0 }
        let lineStart = before.lastIndex(of: 0x0a).map { $0 + 1 } ?? 0
        let column = before[lineStart...].reduce(1) { $1 & 0xc0 == 0x80 ? $0 : $0 + 1 }
        return CoppiceError(.badData, source: source, field: "line \(line), column \(column)", message)
    }
}
