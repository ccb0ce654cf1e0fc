import OrderedCollections

extension JinjaInterpreter {
    /// Calls a method of Python's strings, mappings or lists; nil when there is none of that name.
    func method(_ name: String, of value: JinjaValue, _ call: JinjaCall) throws -> JinjaValue? {
        switch value {
        case .string(let text): return try method(name, ofText: text, call)
        case .dictionary(let members): return try method(name, of: members, call)
        case .list(let elements): return try method(name, of: elements, call)
        default: return nil
        }
    }

    private func method(_ name: String, of members: OrderedDictionary<String, JinjaValue>, _ call: JinjaCall) throws
        -> JinjaValue?
    {
        switch name {
        case "items": return try made(members.map { .list([.string($0.key), $0.value]) })
        case "keys": return try made(members.keys.map { .string($0) })
        case "values": return try made(Array(members.values))
        case "get": return members[call.positional.first?.text ?? ""] ?? call.argument(1, "default") ?? JinjaValue.none
        default: return nil
        }
    }

    private func method(_ name: String, of elements: [JinjaValue], _ call: JinjaCall) throws -> JinjaValue? {
        switch name {
        case "index":
            let wanted = call.positional.first ?? .none
            guard let index = elements.firstIndex(where: { $0.equals(wanted) }) else {
                throw error("index: \(wanted.representation) is not in the list")
            }
            return .integer(index)
        case "count":
            let wanted = call.positional.first ?? .none
            return .integer(elements.reduce(0) { $1.equals(wanted) ? $0 + 1 : $0 })
        case "append", "extend", "insert", "pop", "remove", "clear", "sort", "reverse":
            throw error("\(name): lists cannot be changed; use + and a namespace")
        default: return nil
        }
    }

    private func method(_ name: String, ofText text: String, _ call: JinjaCall) throws -> JinjaValue? {
        switch name {
        case "strip": return try made(strip(text, call.argument(0, "chars"), left: true, right: true))
        case "lstrip": return try made(strip(text, call.argument(0, "chars"), left: true, right: false))
        case "rstrip": return try made(strip(text, call.argument(0, "chars"), left: false, right: true))
        case "split": return try split(text, call)
        case "rsplit": return try reverseSplit(text, call)
        case "splitlines":
            let unified = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).map(String.init)
            return try made((text.last?.isNewline ?? true ? unified.dropLast() : unified[...]).map { .string($0) })
        case "startswith": return .boolean(try any(call, name) { text.utf8.starts(with: $0.utf8) })
        case "endswith": return .boolean(try any(call, name) { text.utf8.reversed().starts(with: $0.utf8.reversed()) })
        case "replace":
            guard case .string(let old)? = call.argument(0, "old"), case .string(let new)? = call.argument(1, "new")
            else { throw error("replace: expected two strings") }
            return try replace(text, old, new, limit: call.argument(2, "count")?.integer ?? -1)
        case "upper": return try made(text.uppercased())
        case "lower": return try made(text.lowercased())
        case "title": return try made(Self.title(text))
        case "capitalize": return try made(Self.capitalized(text))
        case "join": return try join(try elements(of: call.positional.first ?? .none), text)
        case "find":
            guard case .string(let part)? = call.positional.first else { throw error("find: expected a string") }
            let bytes = Array(text.utf8)
            guard let found = ByteSearch.first(Array(part.utf8), in: bytes, from: 0) else { return .integer(-1) }
            return .integer(String(decoding: bytes[..<found], as: UTF8.self).unicodeScalars.count)
        case "count":
            guard case .string(let part)? = call.positional.first else { throw error("count: expected a string") }
            return .integer(ByteSearch.split(text, part).count - 1)
        case "isdigit": return .boolean(every(text) { $0.properties.numericType != nil })
        case "isalpha": return .boolean(every(text) { CharacterClass.of($0).contains(.letter) })
        case "isspace": return .boolean(every(text) { $0.properties.isWhitespace })
        case "isupper": return .boolean(text == text.uppercased() && text != text.lowercased())
        case "islower": return .boolean(text == text.lowercased() && text != text.uppercased())
        case "removeprefix":
            let part = call.positional.first?.text ?? ""
            return .string(
                text.utf8.starts(with: part.utf8)
                    ? String(decoding: text.utf8.dropFirst(part.utf8.count), as: UTF8.self) : text)
        case "removesuffix":
            let part = call.positional.first?.text ?? ""
            let matches = text.utf8.reversed().starts(with: part.utf8.reversed())
            return .string(matches ? String(decoding: text.utf8.dropLast(part.utf8.count), as: UTF8.self) : text)
        default: return nil
        }
    }

    private func every(_ text: String, _ test: (Unicode.Scalar) -> Bool) -> Bool {
        !text.isEmpty && text.unicodeScalars.allSatisfy(test)
    }

    /// Whether the test holds for the argument, or for any of a list of them.
    private func any(_ call: JinjaCall, _ name: String, _ test: (String) -> Bool) throws -> Bool {
        switch call.positional.first {
        case .string(let part): return test(part)
        case .list(let parts): return parts.contains { test($0.text) }
        default: throw error("\(name): expected a string")
        }
    }

    func strip(_ text: String, _ characters: JinjaValue?, left: Bool, right: Bool) -> String {
        let isStripped: (Unicode.Scalar) -> Bool
        if case .string(let characters)? = characters {
            let set = Set(characters.unicodeScalars)
            isStripped = { set.contains($0) }
        } else {
            isStripped = { $0.properties.isWhitespace || (0x1c...0x1f).contains($0.value) }
        }
        var rest = text.unicodeScalars[...]
        if left { rest = rest.drop(while: isStripped) }
        if right { while let last = rest.last, isStripped(last) { rest.removeLast() } }
        return String(rest)
    }

    func replace(_ text: String, _ old: String, _ new: String, limit: Int) throws -> JinjaValue {
        if old.isEmpty {
            let scalars = text.unicodeScalars.map { String($0) }
            return try made(new + scalars.map { $0 + new }.joined())
        }
        let parts = ByteSearch.split(text, old, limit: limit < 0 ? .max : limit)
        guard text.utf8.count + parts.count * new.utf8.count <= JinjaLimits.text else {
            throw error("a text is longer than \(JinjaLimits.text) bytes")
        }
        return try made(parts.joined(separator: new))
    }

    private func words(_ text: String) -> [String] {
        text.unicodeScalars.split(whereSeparator: \.properties.isWhitespace).map { String($0) }
    }

    private func split(_ text: String, _ call: JinjaCall) throws -> JinjaValue {
        let limit = call.argument(1, "maxsplit")?.integer ?? -1
        guard case .string(let separator)? = call.argument(0, "sep") else {
            guard limit < 0 else {
                let pieces = strip(text, nil, left: true, right: false).unicodeScalars
                    .split(maxSplits: limit, whereSeparator: \.properties.isWhitespace)
                return try made(pieces.map { .string(self.strip(String($0), nil, left: true, right: false)) })
            }
            return try made(words(text).map { .string($0) })
        }
        guard !separator.isEmpty else { throw error("split: the separator is empty") }
        return try made(ByteSearch.split(text, separator, limit: limit < 0 ? .max : limit).map { .string($0) })
    }

    private func reverseSplit(_ text: String, _ call: JinjaCall) throws -> JinjaValue {
        let limit = call.argument(1, "maxsplit")?.integer ?? -1
        guard case .string(let separator)? = call.argument(0, "sep"), !separator.isEmpty else {
            return try split(text, call)
        }
        var parts = ByteSearch.split(text, separator)
        if limit >= 0, parts.count > limit + 1 {
            let head = parts.dropLast(limit).joined(separator: separator)
            parts = [head] + parts.suffix(limit)
        }
        return try made(parts.map { .string($0) })
    }

    func join(_ elements: [JinjaValue], _ separator: String) throws -> JinjaValue {
        let total = elements.reduce(0) { $0 + $1.text.utf8.count + separator.utf8.count }
        guard total <= JinjaLimits.text else { throw error("a text is longer than \(JinjaLimits.text) bytes") }
        return try made(elements.map(\.text).joined(separator: separator))
    }

    static func capitalized(_ text: String) -> String {
        guard let first = text.first else { return text }
        return String(first).uppercased() + text.dropFirst().lowercased()
    }

    static func title(_ text: String) -> String {
        var result = ""
        var isInside = false
        for character in text {
            result += isInside ? character.lowercased() : character.uppercased()
            isInside = character.isLetter
        }
        return result
    }
}
