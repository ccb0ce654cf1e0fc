import CoppiceModels
import CoppiceTensors
import Hummingbird

/// The fields of a JSON object in a request, read with their types and ranges checked.
///
/// A field that is `null` counts as absent and one that nobody asks for is ignored, as clients send many. Every error
/// names the field by its path (`messages[2].content`) and says what was expected and what was found.
struct RequestFields {
    private let value: JSON
    private let path: String

    /// - Throws: ``APIError`` (400) when the bytes are not a JSON object in UTF-8.
    init(parsing body: ByteBuffer) throws {
        guard body.readableBytes > 0 else { throw APIError.invalid(nil, "the body is empty; expected a JSON object") }
        do {
            try self.init(JSON(parsing: body.readableBytesView, source: "request body"), path: "")
        } catch let error as CoppiceError {
            throw APIError.invalid(nil, code: "malformed_json", error.description)
        }
    }

    /// - Throws: ``APIError`` (400) when `value` is not an object.
    init(_ value: JSON, path: String) throws {
        guard value.objectValue != nil else {
            throw APIError.invalid(
                path.isEmpty ? nil : path,
                "expected \(path.isEmpty ? "a JSON object" : "an object"), found \(value.kindName)")
        }
        self.value = value
        self.path = path
    }

    /// The path of the field called `name`.
    func path(of name: String) -> String {
        path.isEmpty ? name : "\(path).\(name)"
    }

    subscript(name: String) -> JSON? {
        guard let field = value[name], field != .null else { return nil }
        return field
    }

    func mismatch(_ name: String, expected: String, found: JSON) -> APIError {
        APIError.invalid(path(of: name), "expected \(expected), found \(found.kindName)")
    }

    func required<T>(_ name: String, _ field: T?) throws -> T {
        guard let field else { throw APIError.invalid(path(of: name), "required") }
        return field
    }

    func string(_ name: String) throws -> String? {
        guard let field = self[name] else { return nil }
        guard let text = field.stringValue else { throw mismatch(name, expected: "a string", found: field) }
        return text
    }

    func boolean(_ name: String) throws -> Bool? {
        guard let field = self[name] else { return nil }
        guard let flag = field.boolValue else { throw mismatch(name, expected: "true or false", found: field) }
        return flag
    }

    func array(_ name: String) throws -> [JSON]? {
        guard let field = self[name] else { return nil }
        guard let elements = field.arrayValue else { throw mismatch(name, expected: "an array", found: field) }
        return elements
    }

    /// An integer; numbers such as `16.0` count, `16.5` does not.
    func integer(_ name: String, in range: ClosedRange<Int>) throws -> Int? {
        guard let field = self[name] else { return nil }
        guard let number = field.exactInteger else { throw mismatch(name, expected: "an integer", found: field) }
        guard range.contains(number) else {
            throw APIError.invalid(path(of: name), "expected \(range.spoken), found \(number)")
        }
        return number
    }

    /// A finite number.
    func number(_ name: String, in range: ClosedRange<Double>) throws -> Double? {
        guard let field = self[name] else { return nil }
        guard let number = field.numericValue else { throw mismatch(name, expected: "a number", found: field) }
        guard number.isFinite, range.contains(number) else {
            throw APIError.invalid(
                path(of: name), "expected a number from \(range.lowerBound) to \(range.upperBound), found \(number)")
        }
        return number
    }
}

extension JSON {
    /// What to call this kind of value in a message.
    var kindName: String {
        switch self {
        case .null: "null"
        case .bool: "a boolean"
        case .integer(let number): "the number \(number)"
        case .number(let number): "the number \(number)"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }

    /// The value as an integer if it is a number without a fraction that fits.
    var exactInteger: Int? {
        switch self {
        case .integer(let number): number
        case .number(let number): Int(exactly: number)
        default: nil
        }
    }

    /// The value if it is a number.
    var numericValue: Double? {
        switch self {
        case .integer(let number): Double(number)
        case .number(let number): number
        default: nil
        }
    }
}

extension ClosedRange where Bound == Int {
    /// The range in words, without the bounds that stand for "any".
    fileprivate var spoken: String {
        switch (lowerBound, upperBound) {
        case (.min, .max): "an integer"
        case (_, .max): "at least \(lowerBound)"
        case (.min, _): "at most \(upperBound)"
        default: "an integer from \(lowerBound) to \(upperBound)"
        }
    }
}
