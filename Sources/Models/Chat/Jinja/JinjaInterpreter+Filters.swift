import Foundation
import OrderedCollections

extension JinjaInterpreter {
    /// `value | name(arguments)`.
    func filter(_ name: String, _ value: JinjaValue, _ call: JinjaCall) throws -> JinjaValue {
        if let result = try textFilter(name, value, call) { return result }
        if let result = try listFilter(name, value, call) { return result }
        switch name {
        case "default", "d":
            let fallback = call.argument(0, "default_value") ?? .string("")
            if case .undefined = value { return fallback }
            return call.argument(1, "boolean")?.isTrue == true && !value.isTrue ? fallback : value
        case "tojson": return try made(value.json(indent: call.argument(99, "indent")?.integer ?? indent(call)))
        case "length", "count":
            switch value {
            case .string(let text): return .integer(text.unicodeScalars.count)
            case .list(let elements): return .integer(elements.count)
            case .dictionary(let members): return .integer(members.count)
            case .undefined: return .integer(0)
            default: throw error("\(name): \(value.kind) has no length")
            }
        case "string": return .string(value.text)
        case "int":
            if let integer = value.integer { return .integer(integer) }
            if case .float(let number) = value, let integer = Int(exactly: number.rounded(.towardZero)) {
                return .integer(integer)
            }
            let text = strip(value.text, nil, left: true, right: true)
            if let integer = Int(text) { return .integer(integer) }
            if let number = Double(text), let integer = Int(exactly: number.rounded(.towardZero)) {
                return .integer(integer)
            }
            return call.argument(0, "default") ?? .integer(0)
        case "float":
            return value.number.map { .float($0) } ?? Double(value.text).map { .float($0) }
                ?? call.argument(0, "default") ?? .float(0)
        case "abs":
            if let integer = value.integer, integer != .min { return .integer(abs(integer)) }
            guard let number = value.number else { throw error("abs: expected a number, found \(value.kind)") }
            return .float(abs(number))
        case "round":
            guard let number = value.number else { throw error("round: expected a number, found \(value.kind)") }
            let scale = pow(10, Double(call.argument(0, "precision")?.integer ?? 0))
            let rule: FloatingPointRoundingRule =
                switch call.argument(1, "method")?.text {
                case "floor": .down
                case "ceil": .up
                default: .toNearestOrEven
                }
            return .float((number * scale).rounded(rule) / scale)
        case "items":
            switch value {
            case .dictionary(let members): return try made(members.map { .list([.string($0.key), $0.value]) })
            case .undefined: return .list([])
            default: throw error("items: expected a mapping, found \(value.kind)")
            }
        case "dictsort":
            guard case .dictionary(let members) = value else { throw error("dictsort: expected a mapping") }
            let sorted = members.sorted { $0.key.lowercased() < $1.key.lowercased() }
            return try made(sorted.map { .list([.string($0.key), $0.value]) })
        case "attr": return try attribute(value, call.positional.first?.text ?? "")
        case "safe": return value
        default: throw error("the filter \(name) is not known")
        }
    }

    private func indent(_ call: JinjaCall) -> Int? {
        // Jinja's own filter takes the indentation first; that of transformers takes it by name.
        call.positional.first?.integer
    }

    private func textFilter(_ name: String, _ value: JinjaValue, _ call: JinjaCall) throws -> JinjaValue? {
        switch name {
        case "trim": return try made(strip(value.text, call.argument(0, "chars"), left: true, right: true))
        case "upper": return try made(value.text.uppercased())
        case "lower": return try made(value.text.lowercased())
        case "title": return try made(Self.title(value.text))
        case "capitalize": return try made(Self.capitalized(value.text))
        case "replace":
            guard let old = call.argument(0, "old"), let new = call.argument(1, "new") else {
                throw error("replace: expected two strings")
            }
            return try replace(value.text, old.text, new.text, limit: call.argument(2, "count")?.integer ?? -1)
        case "indent":
            let width = call.argument(0, "width") ?? .integer(4)
            let indentation: String
            if case .string(let text) = width {
                indentation = text
            } else {
                indentation = String(repeating: " ", count: min(max(width.integer ?? 4, 0), 1000))
            }
            let indentsFirst = call.argument(1, "first")?.isTrue ?? false
            let indentsBlank = call.argument(2, "blank")?.isTrue ?? false
            let lines = ByteSearch.split(value.text, "\n").enumerated().map { index, line in
                (index == 0 && !indentsFirst) || (line.isEmpty && !indentsBlank && index > 0)
                    ? line : indentation + line
            }
            return try made(lines.joined(separator: "\n"))
        case "escape", "e":
            var result = value.text
            for (from, to) in [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("'", "&#39;"), ("\"", "&#34;")] {
                result = ByteSearch.split(result, from).joined(separator: to)
            }
            return try made(result)
        case "wordcount":
            return .integer(value.text.unicodeScalars.split(whereSeparator: \.properties.isWhitespace).count)
        default: return nil
        }
    }

    private func listFilter(_ name: String, _ value: JinjaValue, _ call: JinjaCall) throws -> JinjaValue? {
        func items() throws -> [JinjaValue] {
            let items = try elements(of: value)
            try count(items.count)
            return items
        }
        switch name {
        case "join":
            let parts = try items()
            let attribute = call.argument(1, "attribute")?.text
            let values = try attribute.map { name in try parts.map { try self.path($0, name) } } ?? parts
            return try join(values, call.argument(0, "d")?.text ?? "")
        case "list": return try made(try items())
        case "first": return try items().first ?? .undefined("the first element")
        case "last": return try items().last ?? .undefined("the last element")
        case "reverse":
            if case .string(let text) = value {
                return .string(String(String.UnicodeScalarView(text.unicodeScalars.reversed())))
            }
            return try made(try items().reversed())
        case "select", "reject":
            return try made(
                try items().filter { try passes($0, Array(call.positional)) == (name == "select") })
        case "selectattr", "rejectattr":
            guard let attribute = call.positional.first?.text else { throw error("\(name): expected an attribute") }
            let test = Array(call.positional.dropFirst())
            return try made(
                try items().filter { try passes(try path($0, attribute), test) == (name == "selectattr") })
        case "map":
            if let attribute = call.named["attribute"]?.text {
                return try made(
                    try items().map { item in
                        let found = try self.path(item, attribute)
                        if case .undefined = found, let fallback = call.named["default"] { return fallback }
                        return found
                    })
            }
            guard let filterName = call.positional.first?.text else { throw error("map: expected a filter") }
            let inner = JinjaCall(positional: Array(call.positional.dropFirst()), named: call.named, line: call.line)
            return try made(try items().map { try filter(filterName, $0, inner) })
        case "sort":
            let attribute = call.argument(2, "attribute")?.text
            let isReversed = call.argument(0, "reverse")?.isTrue ?? false
            let ignoresCase = !(call.argument(1, "case_sensitive")?.isTrue ?? false)
            var keyed = try items().enumerated().map { index, item in
                var key = try attribute.map { try self.path(item, $0) } ?? item
                if ignoresCase, case .string(let text) = key { key = .string(text.lowercased()) }
                return (key: key, index: index, item: item)
            }
            try keyed.sort { left, right in
                if try compare("<", left.key, right.key) { return !isReversed }
                if try compare("<", right.key, left.key) { return isReversed }
                return left.index < right.index
            }
            return try made(keyed.map(\.item))
        case "unique":
            var seen: [JinjaValue] = []
            return try made(
                try items().filter { item in
                    try count(seen.count)
                    if seen.contains(where: { $0.equals(item) }) { return false }
                    seen.append(item)
                    return true
                })
        case "sum": return try items().reduce(.integer(0)) { try binary("+", $0, $1) }
        case "min", "max":
            let all = try items()
            guard var best = all.first else { return .undefined("the \(name) of nothing") }
            for item in all.dropFirst() where try compare(name == "min" ? "<" : ">", item, best) { best = item }
            return best
        default: return nil
        }
    }

    /// `a.b.0` of a value.
    private func path(_ value: JinjaValue, _ path: String) throws -> JinjaValue {
        try ByteSearch.split(path, ".").reduce(value) { value, name in
            if case .undefined = value { return value }
            return try element(value, Int(name).map { .integer($0) } ?? .string(name))
        }
    }

    private func passes(_ value: JinjaValue, _ test: [JinjaValue]) throws -> Bool {
        guard let name = test.first?.text else { return value.isTrue }
        return try self.test(name, value, Array(test.dropFirst()))
    }

    // MARK: Tests

    /// `value is name(arguments)`.
    func test(_ name: String, _ value: JinjaValue, _ arguments: [JinjaValue]) throws -> Bool {
        let other = arguments.first ?? .none
        switch (name, value) {
        case ("defined", .undefined): return false
        case ("defined", _): return true
        case ("undefined", .undefined): return true
        case ("undefined", _): return false
        case ("none", .none), ("string", .string), ("boolean", .boolean), ("integer", .integer), ("float", .float):
            return true
        case ("number", .integer), ("number", .float), ("number", .boolean): return true
        case ("mapping", .dictionary), ("callable", .function): return true
        case ("iterable", .list), ("iterable", .dictionary), ("iterable", .string), ("iterable", .undefined):
            return true
        case ("sequence", .list), ("sequence", .dictionary), ("sequence", .string), ("sequence", .undefined):
            return true
        case ("true", .boolean(let value)): return value
        case ("false", .boolean(let value)): return !value
        case ("lower", .string(let text)): return text == text.lowercased() && text != text.uppercased()
        case ("upper", .string(let text)): return text == text.uppercased() && text != text.lowercased()
        case ("none", _), ("string", _), ("boolean", _), ("integer", _), ("float", _), ("number", _), ("mapping", _),
            ("callable", _), ("iterable", _), ("sequence", _), ("true", _), ("false", _), ("lower", _), ("upper", _):
            return false
        case ("even", _), ("odd", _):
            guard let integer = value.integer else { throw error("\(name): expected a number, found \(value.kind)") }
            return (integer % 2 == 0) == (name == "even")
        case ("divisibleby", _):
            guard let integer = value.integer, let divisor = other.integer, divisor != 0 else {
                throw error("divisibleby: expected two numbers")
            }
            return integer % divisor == 0
        case ("eq", _), ("equalto", _), ("sameas", _): return value.equals(other)
        case ("ne", _): return !value.equals(other)
        case ("lt", _), ("lessthan", _): return try compare("<", value, other)
        case ("le", _): return try compare("<=", value, other)
        case ("gt", _), ("greaterthan", _): return try compare(">", value, other)
        case ("ge", _): return try compare(">=", value, other)
        case ("in", _): return try compare("in", value, other)
        default: throw error("the test \(name) is not known")
        }
    }
}
