extension JSON {
    /// The value as JSON text: compact, or `pretty` with two spaces a level.
    ///
    /// JSON has no infinities and no NaN: such a ``number(_:)`` is written as `null`.
    ///
    /// - Complexity: O(*n*) in the length of the text.
    public func serialized(pretty: Bool = false) -> String {
        var bytes: [UInt8] = []
        write(into: &bytes, indentation: pretty ? 0 : nil)
        return String(decoding: bytes, as: UTF8.self)
    }

    private func write(into bytes: inout [UInt8], indentation: Int?) {
        switch self {
        case .null: bytes += "null".utf8
        case .bool(let value): bytes += (value ? "true" : "false").utf8
        case .integer(let value): bytes += String(value).utf8
        case .number(let value): bytes += (value.isFinite ? String(value) : "null").utf8
        case .string(let value): Self.quote(value, into: &bytes)
        case .array(let elements):
            Self.write(elements, "[", "]", into: &bytes, indentation: indentation) { element, bytes, indentation in
                element.write(into: &bytes, indentation: indentation)
            }
        case .object(let members):
            Self.write(members, "{", "}", into: &bytes, indentation: indentation) { member, bytes, indentation in
                Self.quote(member.key, into: &bytes)
                bytes += (indentation == nil ? ":" : ": ").utf8
                member.value.write(into: &bytes, indentation: indentation)
            }
        }
    }

    private static func write<Items: Sequence>(
        _ items: Items, _ opening: Unicode.Scalar, _ closing: Unicode.Scalar, into bytes: inout [UInt8],
        indentation: Int?, _ writeItem: (Items.Element, inout [UInt8], Int?) -> Void
    ) {
        let inner = indentation.map { $0 + 2 }
        bytes.append(UInt8(ascii: opening))
        var isEmpty = true
        for item in items {
            if !isEmpty { bytes.append(UInt8(ascii: ",")) }
            isEmpty = false
            breakLine(inner, into: &bytes)
            writeItem(item, &bytes, inner)
        }
        if !isEmpty { breakLine(indentation, into: &bytes) }
        bytes.append(UInt8(ascii: closing))
    }

    private static func breakLine(_ indentation: Int?, into bytes: inout [UInt8]) {
        guard let indentation else { return }
        bytes.append(UInt8(ascii: "\n"))
        bytes.append(contentsOf: repeatElement(UInt8(ascii: " "), count: indentation))
    }

    private static let hexadecimalDigits = Array("0123456789abcdef".utf8)

    private static func quote(_ text: String, into bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): bytes += #"\""#.utf8
            case UInt8(ascii: "\\"): bytes += #"\\"#.utf8
            case UInt8(ascii: "\n"): bytes += #"\n"#.utf8
            case UInt8(ascii: "\r"): bytes += #"\r"#.utf8
            case UInt8(ascii: "\t"): bytes += #"\t"#.utf8
            case 0..<0x20, 0x7f:
                bytes += #"\u00"#.utf8
                bytes.append(hexadecimalDigits[Int(byte >> 4)])
                bytes.append(hexadecimalDigits[Int(byte & 15)])
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}
