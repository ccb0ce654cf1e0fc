import CoppiceTensors

/// Reads the fields of a GGUF file one after the other. Everything is untrusted: counts and lengths are compared with
/// the bytes that follow before anything is read or allocated.
struct GGUFCursor {
    let file: MappedFile
    private(set) var position: Int

    /// Lists nested deeper than this are refused, so that no file can exhaust the stack.
    static let greatestDepth = 16

    init(_ file: MappedFile, position: Int = 0) {
        self.file = file
        self.position = position
    }

    var remaining: Int { file.byteCount - position }

    func failure(_ field: String?, _ message: String) -> CoppiceError {
        CoppiceError(.badData, source: file.path, field: field.map(Self.short), message)
    }

    /// A name as errors quote it.
    static func short(_ text: String) -> String { text.count > 80 ? text.prefix(80) + "…" : text }

    mutating func integer<Number: FixedWidthInteger & BitwiseCopyable>(
        _ type: Number.Type, _ field: String
    ) throws -> Number {
        let size = MemoryLayout<Number>.size
        guard remaining >= size else {
            throw failure(field, "expected \(size) bytes at byte \(position) but the file ends: truncated?")
        }
        defer { position += size }
        return Number(littleEndian: file.withBytes { $0.loadUnaligned(fromByteOffset: position, as: type) })
    }

    /// A number of things that take at least `size` bytes each, and so cannot be more than the file has room for.
    mutating func count(_ field: String, of things: String, size: Int) throws -> Int {
        let count = try integer(UInt64.self, field)
        guard count <= UInt64(remaining / size) else {
            throw failure(field, "\(count) \(things) do not fit into the \(remaining) bytes that follow")
        }
        return Int(count)
    }

    mutating func string(_ field: String) throws -> String {
        let length = try count(field, of: "bytes of text", size: 1)
        defer { position += length }
        return file.withBytes { String(decoding: $0[position..<(position + length)], as: UTF8.self) }
    }

    mutating func type(_ field: String) throws -> GGUFValueType {
        let number = try integer(UInt32.self, field)
        guard let type = GGUFValueType(rawValue: number) else {
            throw failure(field, "value type \(number) is not known, expected 0 to 12")
        }
        return type
    }

    mutating func value(_ field: String) throws -> GGUFValue {
        switch try type(field) {
        case .u8: return .u8(try integer(UInt8.self, field))
        case .i8: return .i8(try integer(Int8.self, field))
        case .u16: return .u16(try integer(UInt16.self, field))
        case .i16: return .i16(try integer(Int16.self, field))
        case .u32: return .u32(try integer(UInt32.self, field))
        case .i32: return .i32(try integer(Int32.self, field))
        case .u64: return .u64(try integer(UInt64.self, field))
        case .i64: return .i64(try integer(Int64.self, field))
        case .f32: return .f32(Float(bitPattern: try integer(UInt32.self, field)))
        case .f64: return .f64(Double(bitPattern: try integer(UInt64.self, field)))
        case .bool:
            let byte = try integer(UInt8.self, field)
            guard byte <= 1 else { throw failure(field, "expected 0 or 1 for a truth value, found \(byte)") }
            return .bool(byte == 1)
        case .string: return .string(try string(field))
        case .array: return .array(try array(field, depth: 0))
        }
    }

    /// A list, which is walked over but not copied.
    mutating func array(_ field: String, depth: Int) throws -> GGUFArray {
        guard depth < Self.greatestDepth else {
            throw failure(field, "lists are nested deeper than \(Self.greatestDepth)")
        }
        let type = try type(field)
        let count = try count(field, of: "values of type \(type)", size: type.leastByteCount)
        let start = position
        if let size = type.byteCount {
            position += count * size
        } else {
            for _ in 0..<count {
                if type == .array {
                    _ = try array(field, depth: depth + 1)
                } else {
                    position += try self.count(field, of: "bytes of text", size: 1)
                }
            }
        }
        return GGUFArray(type, count: count, in: file, at: start..<position)
    }
}
