import CoppiceTensors

/// The types of GGUF metadata, by their numbers in files.
public enum GGUFValueType: UInt32, Sendable, CaseIterable {
    case u8, i8, u16, i16, u32, i32, f32, bool, string, array, u64, i64, f64

    /// Bytes of a value; nil for those whose length varies.
    var byteCount: Int? {
        switch self {
        case .u8, .i8, .bool: 1
        case .u16, .i16: 2
        case .u32, .i32, .f32: 4
        case .u64, .i64, .f64: 8
        case .string, .array: nil
        }
    }

    /// The fewest bytes that a value takes.
    var leastByteCount: Int { byteCount ?? (self == .string ? 8 : 12) }
}

/// A metadata value of a GGUF file.
public enum GGUFValue: Sendable {
    case u8(UInt8)
    case i8(Int8)
    case u16(UInt16)
    case i16(Int16)
    case u32(UInt32)
    case i32(Int32)
    case u64(UInt64)
    case i64(Int64)
    case f32(Float)
    case f64(Double)
    case bool(Bool)
    /// Bytes that are not UTF-8 are replaced by U+FFFD.
    case string(String)
    case array(GGUFArray)

    /// Any integer that `Int` holds.
    public var intValue: Int? {
        switch self {
        case .u8(let value): Int(value)
        case .i8(let value): Int(value)
        case .u16(let value): Int(value)
        case .i16(let value): Int(value)
        case .u32(let value): Int(value)
        case .i32(let value): Int(value)
        case .u64(let value): Int(exactly: value)
        case .i64(let value): Int(exactly: value)
        case .f32, .f64, .bool, .string, .array: nil
        }
    }

    /// Any number.
    public var doubleValue: Double? {
        switch self {
        case .f32(let value): Double(value)
        case .f64(let value): value
        case .u64(let value): Double(value)
        default: intValue.map(Double.init)
        }
    }

    public var boolValue: Bool? { if case .bool(let value) = self { value } else { nil } }
    public var stringValue: String? { if case .string(let value) = self { value } else { nil } }
    public var arrayValue: GGUFArray? { if case .array(let value) = self { value } else { nil } }

    /// For error messages: a number, a quoted string, or what kind of list it is.
    var summary: String {
        switch self {
        case .bool(let value): "\(value)"
        case .string(let value): "\"\(value.count > 60 ? value.prefix(60) + "…" : value[...])\""
        case .array(let array): "a list of \(array.count) \(array.elementType) values"
        default: intValue.map(String.init) ?? doubleValue.map { "\($0)" } ?? "a number beyond 64 bits"
        }
    }
}

/// A list in a GGUF file's metadata, read from the mapped file when asked for.
public struct GGUFArray: Sendable {
    public let elementType: GGUFValueType
    public let count: Int
    private let file: MappedFile
    /// The elements, which were checked to lie within the file.
    private let bytes: Range<Int>

    init(_ elementType: GGUFValueType, count: Int, in file: MappedFile, at bytes: Range<Int>) {
        self.elementType = elementType
        self.count = count
        self.file = file
        self.bytes = bytes
    }

    private func elements<Stored: BitwiseCopyable, Element>(
        _ type: Stored.Type, _ convert: (Stored) -> Element?
    ) -> [Element]? {
        file.withBytes { file in
            var result: [Element] = []
            result.reserveCapacity(count)
            for index in 0..<count {
                let offset = bytes.lowerBound + index * MemoryLayout<Stored>.size
                guard let element = convert(file.loadUnaligned(fromByteOffset: offset, as: Stored.self)) else {
                    return nil
                }
                result.append(element)
            }
            return result
        }
    }

    /// The elements as whole numbers; nil when they are something else or beyond `Int`.
    public var integers: [Int]? {
        switch elementType {
        case .u8: elements(UInt8.self) { Int($0) }
        case .i8: elements(Int8.self) { Int($0) }
        case .u16: elements(UInt16.self) { Int(UInt16(littleEndian: $0)) }
        case .i16: elements(Int16.self) { Int(Int16(littleEndian: $0)) }
        case .u32: elements(UInt32.self) { Int(UInt32(littleEndian: $0)) }
        case .i32: elements(Int32.self) { Int(Int32(littleEndian: $0)) }
        case .u64: elements(UInt64.self) { Int(exactly: UInt64(littleEndian: $0)) }
        case .i64: elements(Int64.self) { Int(Int64(littleEndian: $0)) }
        case .f32, .f64, .bool, .string, .array: nil
        }
    }

    /// The elements as numbers; nil when they are something else.
    public var numbers: [Double]? {
        switch elementType {
        case .f32: elements(UInt32.self) { Double(Float(bitPattern: UInt32(littleEndian: $0))) }
        case .f64: elements(UInt64.self) { Double(bitPattern: UInt64(littleEndian: $0)) }
        default: integers?.map(Double.init)
        }
    }

    /// The elements of a list of truth values; nil for other lists.
    public var flags: [Bool]? { elementType == .bool ? elements(UInt8.self) { $0 != 0 } : nil }

    /// Calls `body` with the bytes of each string; false for a list of something else.
    @discardableResult
    public func forEachString(_ body: (UnsafeRawBufferPointer) throws -> Void) rethrows -> Bool {
        guard elementType == .string else { return false }
        try file.withBytes { file in
            var position = bytes.lowerBound
            for _ in 0..<count {
                let length = Int(UInt64(littleEndian: file.loadUnaligned(fromByteOffset: position, as: UInt64.self)))
                try body(UnsafeRawBufferPointer(rebasing: file[(position + 8)..<(position + 8 + length)]))
                position += 8 + length
            }
        }
        return true
    }

    /// The elements of a list of strings; nil for other lists. Bytes that are not UTF-8 are replaced by U+FFFD.
    public var strings: [String]? {
        var result: [String] = []
        result.reserveCapacity(count)
        return forEachString { result.append(String(decoding: $0, as: UTF8.self)) } ? result : nil
    }

    /// The elements of a list of lists; nil for other lists.
    public var arrays: [GGUFArray]? {
        guard elementType == .array else { return nil }
        // The file was checked when it was opened: reading the same bytes again cannot fail.
        var cursor = GGUFCursor(file, position: bytes.lowerBound)
        return try? (0..<count).map { _ in try cursor.array("list", depth: 0) }
    }
}
