import Foundation
import OrderedCollections

extension JinjaInterpreter {
    /// The elements that a loop goes through: of a list, a mapping's keys, a string's characters.
    func elements(of value: JinjaValue) throws -> [JinjaValue] {
        switch value {
        case .list(let elements): return elements
        case .dictionary(let members): return members.keys.map { .string($0) }
        case .string(let text):
            try count(text.utf8.count / 8)
            return text.unicodeScalars.map { .string(String($0)) }
        case .undefined: return []
        default: throw error("cannot go through \(value.kind)")
        }
    }

    func attribute(_ value: JinjaValue, _ name: String) throws -> JinjaValue {
        switch value {
        case .undefined(let what): throw error("\(what) is undefined; its \(name) was asked for")
        case .dictionary(let members): return members[name] ?? .undefined(name)
        case .namespace(let namespace): return namespace.fields[name] ?? .undefined(name)
        default: return .undefined(name)
        }
    }

    func element(_ value: JinjaValue, _ index: JinjaValue) throws -> JinjaValue {
        switch (value, index) {
        case (.undefined(let what), _): throw error("\(what) is undefined; its \(index.text) was asked for")
        case (.dictionary(let members), .string(let key)): return members[key] ?? .undefined(key)
        case (.dictionary(let members), _): return members[index.text] ?? .undefined(index.text)
        case (.namespace(let namespace), .string(let key)): return namespace.fields[key] ?? .undefined(key)
        case (.list(let elements), _):
            guard let position = index.integer.map({ $0 < 0 ? $0 + elements.count : $0 }),
                elements.indices.contains(position)
            else { return .undefined("element \(index.text)") }
            return elements[position]
        case (.string(let text), _):
            guard let position = index.integer else { return .undefined(index.text) }
            let scalars = Array(text.unicodeScalars)
            let place = position < 0 ? position + scalars.count : position
            return scalars.indices.contains(place)
                ? .string(String(scalars[place])) : .undefined("character \(position)")
        default: return .undefined(index.text)
        }
    }

    func slice(_ value: JinjaValue, _ from: JinjaValue?, _ to: JinjaValue?, _ step: JinjaValue?) throws -> JinjaValue {
        func bound(_ value: JinjaValue?) throws -> Int? {
            guard let value else { return nil }
            if case .none = value { return nil }
            guard let integer = value.integer else { throw error("a slice needs whole numbers, found \(value.kind)") }
            return integer
        }
        let (from, to, step) = (try bound(from), try bound(to), try bound(step) ?? 1)
        guard step != 0 else { throw error("a slice's step must not be 0") }
        switch value {
        case .string(let text):
            let scalars = Array(text.unicodeScalars)
            var result = String.UnicodeScalarView()
            for index in Self.indices(scalars.count, from, to, step) { result.append(scalars[index]) }
            return try made(String(result))
        case .list(let elements): return try made(Self.indices(elements.count, from, to, step).map { elements[$0] })
        default: throw error("\(value.kind) cannot be sliced")
        }
    }

    /// Python's indices of `[from:to:step]`.
    private static func indices(_ count: Int, _ from: Int?, _ to: Int?, _ step: Int) -> [Int] {
        func clamped(_ bound: Int, _ low: Int, _ high: Int) -> Int {
            min(max(bound < 0 ? max(bound, -count - 1) + count : bound, low), high)
        }
        if step > 0 {
            let start = from.map { clamped($0, 0, count) } ?? 0
            let end = to.map { clamped($0, 0, count) } ?? count
            return Array(stride(from: start, to: end, by: step))
        }
        let start = from.map { clamped($0, -1, count - 1) } ?? count - 1
        let end = to.map { clamped($0, -1, count - 1) } ?? -1
        return Array(stride(from: start, to: end, by: step))
    }

    func unary(_ operation: String, _ value: JinjaValue) throws -> JinjaValue {
        switch (operation, value) {
        case ("not", _): return .boolean(!value.isTrue)
        case ("-", .float(let number)): return .float(-number)
        case ("+", .float): return value
        default:
            guard let integer = value.integer, integer != .min else {
                throw error("\(operation) needs a number, found \(value.kind)")
            }
            return .integer(operation == "-" ? -integer : integer)
        }
    }

    func binary(_ operation: String, _ left: JinjaValue, _ right: JinjaValue) throws -> JinjaValue {
        switch (operation, left, right) {
        case ("~", _, _): return try made(left.text + right.text)
        case ("+", .string(let left), .string(let right)): return try made(left + right)
        case ("+", .list(let left), .list(let right)): return try made(left + right)
        case ("*", .string(let text), _):
            guard let times = right.integer else { break }
            guard times <= JinjaLimits.text / max(1, text.utf8.count) else {
                throw error("a text is longer than \(JinjaLimits.text) bytes")
            }
            return try made(String(repeating: text, count: max(0, times)))
        case ("%", .string, _): throw error("formatting with % is not supported")
        default: break
        }
        for value in [left, right] {
            if case .undefined(let what) = value { throw error("\(what) is undefined; \(operation) needs a value") }
        }
        if let left = left.integer, let right = right.integer, let result = try integer(operation, left, right) {
            return result
        }
        guard let first = left.number, let second = right.number else {
            throw error("\(operation) does not join \(left.kind) and \(right.kind)")
        }
        return try float(operation, first, second)
    }

    /// Nil for operations whose result is no whole number.
    private func integer(_ operation: String, _ left: Int, _ right: Int) throws -> JinjaValue? {
        let result: (partialValue: Int, overflow: Bool)
        switch operation {
        case "+": result = left.addingReportingOverflow(right)
        case "-": result = left.subtractingReportingOverflow(right)
        case "*": result = left.multipliedReportingOverflow(by: right)
        case "//", "%":
            guard right != 0 else { throw error("division by zero") }
            let (quotient, overflow) = left.dividedReportingOverflow(by: right)
            if overflow { throw error("a number is out of range") }
            let remainder = left - quotient * right
            let isFloored = remainder != 0 && (remainder < 0) != (right < 0)
            if operation == "//" { return .integer(isFloored ? quotient - 1 : quotient) }
            return .integer(isFloored ? remainder + right : remainder)
        case "**" where right >= 0:
            var power = 1
            for _ in 0..<min(right, 64) {
                let (next, overflow) = power.multipliedReportingOverflow(by: left)
                if overflow { throw error("a number is out of range") }
                power = next
            }
            if right > 64, abs(left) > 1 { throw error("a number is out of range") }
            return .integer(right > 64 && left == -1 && right % 2 == 1 ? -1 : power)
        default: return nil
        }
        if result.overflow { throw error("a number is out of range") }
        return .integer(result.partialValue)
    }

    private func float(_ operation: String, _ left: Double, _ right: Double) throws -> JinjaValue {
        switch operation {
        case "+": return .float(left + right)
        case "-": return .float(left - right)
        case "*": return .float(left * right)
        case "**": return .float(pow(left, right))
        default:
            guard right != 0 else { throw error("division by zero") }
            if operation == "/" { return .float(left / right) }
            let quotient = (left / right).rounded(.down)
            return .float(operation == "//" ? quotient : left - quotient * right)
        }
    }

    func compare(_ operation: String, _ left: JinjaValue, _ right: JinjaValue) throws -> Bool {
        switch operation {
        case "==": return left.equals(right)
        case "!=": return !left.equals(right)
        case "in": return try contains(right, left)
        case "not in": return try !contains(right, left)
        default: break
        }
        let order: Int
        switch (left, right) {
        case (.string(let left), .string(let right)):
            let (first, second) = (left.unicodeScalars, right.unicodeScalars)
            order = first.elementsEqual(second) ? 0 : first.lexicographicallyPrecedes(second) ? -1 : 1
        default:
            guard let first = left.number, let second = right.number else {
                throw error("\(operation) does not compare \(left.kind) and \(right.kind)")
            }
            order = first == second ? 0 : first < second ? -1 : 1
        }
        switch operation {
        case "<": return order < 0
        case "<=": return order <= 0
        case ">": return order > 0
        default: return order >= 0
        }
    }

    private func contains(_ container: JinjaValue, _ value: JinjaValue) throws -> Bool {
        switch (container, value) {
        case (.string(let text), .string(let part)):
            try count(text.utf8.count / 16)
            return ByteSearch.first(Array(part.utf8), in: Array(text.utf8), from: 0) != nil
        case (.list(let elements), _):
            try count(elements.count)
            return elements.contains { $0.equals(value) }
        case (.dictionary(let members), .string(let key)): return members[key] != nil
        case (.dictionary, _), (.undefined, _): return false
        default: throw error("in does not look for \(value.kind) in \(container.kind)")
        }
    }
}

/// Finds bytes in bytes: Swift's own search goes by characters and would miss a match before a combining mark.
enum ByteSearch {
    static func first(_ pattern: [UInt8], in text: [UInt8], from start: Int) -> Int? {
        guard let first = pattern.first else { return start <= text.count ? start : nil }
        guard text.count >= pattern.count else { return nil }
        var position = start
        while position <= text.count - pattern.count {
            if text[position] == first, text[position..<position + pattern.count].elementsEqual(pattern) {
                return position
            }
            position += 1
        }
        return nil
    }

    /// The parts of `text` between occurrences of `separator`, of which at most `limit` count.
    static func split(_ text: String, _ separator: String, limit: Int = .max) -> [String] {
        let (bytes, pattern) = (Array(text.utf8), Array(separator.utf8))
        var parts: [String] = []
        var start = 0
        while !pattern.isEmpty, parts.count < limit, let found = first(pattern, in: bytes, from: start) {
            parts.append(String(decoding: bytes[start..<found], as: UTF8.self))
            start = found + pattern.count
        }
        return parts + [String(decoding: bytes[start...], as: UTF8.self)]
    }
}
