import CoppiceTensors

/// Reads the wire format of protocol buffers: fields by number, without a schema.
struct ProtobufReader {
    enum Value {
        case varint(UInt64)
        case fixed64(UInt64)
        case bytes(ArraySlice<UInt8>)
        case fixed32(UInt32)
    }

    private var bytes: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
    }

    /// The next field, or nil at the end.
    ///
    /// - Throws: ``CoppiceError`` (`badData`) when the message is cut off or has an unknown wire type.
    mutating func next() throws -> (field: Int, value: Value)? {
        if bytes.isEmpty { return nil }
        let tag = try varint()
        let field = Int(tag >> 3)
        switch tag & 7 {
        case 0: return (field, .varint(try varint()))
        case 1: return (field, .fixed64(try fixed(8)))
        case 2:
            let length = try varint()
            guard length <= UInt64(bytes.count) else { throw Self.damaged("is cut off") }
            defer { bytes = bytes.dropFirst(Int(length)) }
            return (field, .bytes(bytes.prefix(Int(length))))
        case 5: return (field, .fixed32(UInt32(try fixed(4))))
        default: throw Self.damaged("has an unknown wire type")
        }
    }

    private static func damaged(_ what: String) -> CoppiceError {
        CoppiceError(.badData, "no SentencePiece model: its protocol buffer \(what)")
    }

    private mutating func varint() throws -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 64, by: 7) {
            guard let byte = bytes.popFirst() else { throw Self.damaged("is cut off") }
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return value }
        }
        throw Self.damaged("has a number of more than 64 bits")
    }

    private mutating func fixed(_ count: Int) throws -> UInt64 {
        guard bytes.count >= count else { throw Self.damaged("is cut off") }
        defer { bytes = bytes.dropFirst(count) }
        return bytes.prefix(count).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}

extension ProtobufReader.Value {
    /// A signed or Boolean number.
    var number: Int? { if case .varint(let value) = self { Int(truncatingIfNeeded: value) } else { nil } }
    var isTrue: Bool { number ?? 0 != 0 }
    var float: Float? { if case .fixed32(let value) = self { Float(bitPattern: value) } else { nil } }
    var bytes: ArraySlice<UInt8>? { if case .bytes(let value) = self { value } else { nil } }
    var text: String? { bytes.map { String(decoding: $0, as: UTF8.self) } }
}
