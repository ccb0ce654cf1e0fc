import CoppiceTensors
import OrderedCollections

/// A JSON value (RFC 8259). Objects keep the order of their keys.
///
/// ```swift
/// let config = try JSON(parsing: bytes, source: "config.json")
/// let layers = config["num_hidden_layers"]?.intValue
/// ```
///
/// Numbers without fraction and exponent that fit are ``integer(_:)`` and exact; all others are ``number(_:)``. Keys
/// compare as Swift strings do, by canonical equivalence; a vocabulary, whose keys are bytes, is read with
/// `JSONReader`.
public enum JSON: Sendable, Hashable {
    case null
    case bool(Bool)
    case integer(Int)
    case number(Double)
    case string(String)
    case array([JSON])
    case object(OrderedDictionary<String, JSON>)

    /// What to do with a key that occurs twice in one object.
    public enum DuplicateKeys: Sendable {
        /// The last value counts, as with most readers.
        case lastWins
        case rejected
    }

    /// Parses a whole document: one value with nothing but white space around it, in UTF-8, a byte-order mark allowed.
    ///
    /// - Parameter source: what errors call the document, such as its path.
    /// - Throws: ``CoppiceError`` (`badData`) with line and column of the first fault: a grammar error, invalid UTF-8,
    ///   an unpaired surrogate, a number beyond `Double`, more than ``maximumDepth`` levels.
    /// - Complexity: O(*n*) in the number of bytes.
    public init(
        parsing bytes: some Sequence<UInt8>, source: String, duplicateKeys: DuplicateKeys = .lastWins
    ) throws {
        let parse = { (buffer: UnsafeBufferPointer<UInt8>) throws -> JSON in
            var reader = JSONReader(buffer, source: source, duplicateKeys: duplicateKeys)
            let value = try reader.value()
            try reader.end()
            return value
        }
        if let value = try bytes.withContiguousStorageIfAvailable(parse) {
            self = value
        } else {
            self = try Array(bytes).withUnsafeBufferPointer(parse)
        }
    }

    /// Parses the text of a document; see ``init(parsing:source:duplicateKeys:)``.
    public init(text: String, source: String, duplicateKeys: DuplicateKeys = .lastWins) throws {
        try self.init(parsing: text.utf8, source: source, duplicateKeys: duplicateKeys)
    }

    /// Arrays and objects nested deeper than this are refused, so that no document can exhaust the stack.
    public static let maximumDepth = 256

    /// The member `key` of an object; nil for a missing key and for every other kind of value. O(1).
    public subscript(key: String) -> JSON? {
        if case .object(let members) = self { members[key] } else { nil }
    }

    /// The element at `index` of an array; nil out of range and for every other kind of value. O(1).
    public subscript(index: Int) -> JSON? {
        if case .array(let elements) = self, elements.indices.contains(index) { elements[index] } else { nil }
    }

    public var isNull: Bool { self == .null }

    public var boolValue: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }

    /// The number, if it is whole and fits.
    public var intValue: Int? {
        switch self {
        case .integer(let value): value
        case .number(let value): Int(exactly: value)
        default: nil
        }
    }

    public var doubleValue: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }

    public var stringValue: String? {
        if case .string(let value) = self { value } else { nil }
    }

    public var arrayValue: [JSON]? {
        if case .array(let elements) = self { elements } else { nil }
    }

    public var objectValue: OrderedDictionary<String, JSON>? {
        if case .object(let members) = self { members } else { nil }
    }
}
