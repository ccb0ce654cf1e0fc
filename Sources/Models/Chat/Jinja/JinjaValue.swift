import OrderedCollections

/// A value of a template, with Python's meaning.
enum JinjaValue: Sendable {
    case undefined(String)
    case none
    case boolean(Bool)
    case integer(Int)
    case float(Double)
    case string(String)
    case list([JinjaValue])
    case dictionary(OrderedDictionary<String, JinjaValue>)
    case namespace(JinjaNamespace)
    case function(JinjaFunction)

    init(_ json: JSON) {
        switch json {
        case .null: self = .none
        case .bool(let value): self = .boolean(value)
        case .integer(let value): self = .integer(value)
        case .number(let value): self = .float(value)
        case .string(let value): self = .string(value)
        case .array(let elements): self = .list(elements.map(JinjaValue.init))
        case .object(let members): self = .dictionary(members.mapValues { JinjaValue($0) })
        }
    }

    /// Python's truth value.
    var isTrue: Bool {
        switch self {
        case .undefined, .none: false
        case .boolean(let value): value
        case .integer(let value): value != 0
        case .float(let value): value != 0
        case .string(let value): !value.isEmpty
        case .list(let elements): !elements.isEmpty
        case .dictionary(let members): !members.isEmpty
        case .namespace, .function: true
        }
    }

    /// What errors call it.
    var kind: String {
        switch self {
        case .undefined: "undefined"
        case .none: "none"
        case .boolean: "a boolean"
        case .integer, .float: "a number"
        case .string: "a string"
        case .list: "a list"
        case .dictionary: "a mapping"
        case .namespace: "a namespace"
        case .function: "a function"
        }
    }

    /// `str(x)`.
    var text: String {
        switch self {
        case .undefined: ""
        case .string(let value): value
        default: representation
        }
    }

    /// `repr(x)`.
    var representation: String {
        switch self {
        case .undefined: "Undefined"
        case .none: "None"
        case .boolean(let value): value ? "True" : "False"
        case .integer(let value): String(value)
        case .float(let value): String(value)
        case .string(let value):
            value.contains("'") && !value.contains("\"") ? "\"\(Self.escaped(value))\"" : Self.quoted(value)
        case .list(let elements): "[" + elements.map(\.representation).joined(separator: ", ") + "]"
        case .dictionary(let members):
            "{" + members.map { "\(Self.string($0.key)): \($0.value.representation)" }.joined(separator: ", ") + "}"
        case .namespace: "<Namespace>"
        case .function: "<function>"
        }
    }

    private static func string(_ text: String) -> String { JinjaValue.string(text).representation }

    private static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    private static func quoted(_ text: String) -> String {
        "'" + escaped(text).split(separator: "'", omittingEmptySubsequences: false).joined(separator: "\\'") + "'"
    }

    /// `a == b`.
    func equals(_ other: JinjaValue) -> Bool {
        switch (self, other) {
        case (.undefined, .undefined), (.none, .none): true
        case (.string(let left), .string(let right)): left.utf8.elementsEqual(right.utf8)
        case (.list(let left), .list(let right)):
            left.count == right.count && zip(left, right).allSatisfy { $0.equals($1) }
        case (.dictionary(let left), .dictionary(let right)):
            left.count == right.count && left.allSatisfy { member in right[member.key]?.equals(member.value) ?? false }
        default:
            if let left = number, let right = other.number { left == right } else { false }
        }
    }

    /// Numbers, and booleans as 0 and 1.
    var number: Double? {
        switch self {
        case .boolean(let value): value ? 1 : 0
        case .integer(let value): Double(value)
        case .float(let value): value
        default: nil
        }
    }

    var integer: Int? {
        switch self {
        case .boolean(let value): value ? 1 : 0
        case .integer(let value): value
        default: nil
        }
    }

    /// `json.dumps(x, ensure_ascii=False)`, with `indent` if given.
    func json(indent: Int? = nil, level: Int = 0) -> String {
        func join(_ parts: [String], _ open: String, _ close: String) -> String {
            guard !parts.isEmpty else { return open + close }
            guard let indent else { return open + parts.joined(separator: ", ") + close }
            let inner = "\n" + String(repeating: " ", count: indent * (level + 1))
            let outer = "\n" + String(repeating: " ", count: indent * level)
            return open + inner + parts.joined(separator: "," + inner) + outer + close
        }
        switch self {
        case .undefined, .none, .namespace, .function: return "null"
        case .boolean(let value): return value ? "true" : "false"
        case .integer(let value): return String(value)
        case .float(let value): return String(value)
        case .string(let value): return JSON.string(value).serialized()
        case .list(let elements): return join(elements.map { $0.json(indent: indent, level: level + 1) }, "[", "]")
        case .dictionary(let members):
            return join(
                members.map {
                    JSON.string($0.key).serialized() + ": " + $0.value.json(indent: indent, level: level + 1)
                }, "{", "}")
        }
    }
}

/// The one kind of value that a template can change: `{% set ns.x = … %}`.
final class JinjaNamespace: @unchecked Sendable {
    // Made and used within one rendering, on one thread.
    var fields: OrderedDictionary<String, JinjaValue> = [:]
}

/// Something that can be called.
struct JinjaFunction: Sendable {
    typealias Body = @Sendable (JinjaInterpreter, JinjaCall) throws -> JinjaValue

    var name: String
    var body: Body
}

/// The arguments of a call, a filter or a test, evaluated.
struct JinjaCall: Sendable {
    var positional: [JinjaValue]
    var named: [String: JinjaValue]
    var line: Int

    /// The argument at `index` or named `name`.
    func argument(_ index: Int, _ name: String) -> JinjaValue? {
        positional.indices.contains(index) ? positional[index] : named[name]
    }
}
