import CoppiceTensors
import Yams

/// A YAML node with its place, read strictly: every key must be known, every value of the expected kind and in range.
///
/// Recipes of all kinds are read through it, so that each mistake gives one line that names the file, the line, the
/// key and what was expected.
package struct RecipeNode {
    package let node: Node
    /// The path to the node, such as `stages[0].prune`.
    package let path: String
    /// The file, for error messages.
    package let source: String

    package init(node: Node, path: String, source: String) {
        self.node = node
        self.path = path
        self.source = source
    }

    /// The error to throw for this node.
    package func error(_ message: String, at other: Node? = nil, path otherPath: String? = nil) -> CoppiceError {
        let line = ((other ?? node).mark ?? node.mark).map { "line \($0.line)" }
        let path = otherPath ?? path
        let field = [line, path.isEmpty ? nil : path].compactMap { $0 }.joined(separator: ": ")
        return CoppiceError(.badData, source: source, field: field.isEmpty ? nil : field, message)
    }

    private func child(_ node: Node, _ key: String) -> RecipeNode {
        RecipeNode(node: node, path: path.isEmpty ? key : "\(path).\(key)", source: source)
    }

    // MARK: - Collections

    /// The values of a mapping by their keys.
    ///
    /// - Parameter known: the valid keys; any other is an error that names the nearest one.
    package func fields(_ known: [String]) throws -> [String: RecipeNode] {
        guard let mapping = node.mapping else {
            throw error("expected a mapping with the keys \(known.joined(separator: ", ")), found \(kind)")
        }
        var fields: [String: RecipeNode] = [:]
        for (key, value) in mapping {
            guard let name = key.scalar?.string else { throw error("expected a text as key", at: key) }
            guard known.contains(name) else {
                throw error("unknown key \"\(name.prefix(40))\"" + Spelling.hint(name, known), at: key)
            }
            fields[name] = child(value, name)
        }
        return fields
    }

    /// The values of a mapping whose keys the reader does not know, in order.
    package func entries(_ expected: String) throws -> [(key: String, value: RecipeNode)] {
        guard let mapping = node.mapping else { throw error("expected a mapping \(expected), found \(kind)") }
        return try mapping.map { key, value in
            guard let name = key.scalar?.string, !name.isEmpty else { throw error("expected a text as key", at: key) }
            return (name, child(value, name))
        }
    }

    /// The value of a key of a mapping, whatever else is in it; nil where there is none.
    package func value(_ key: String) -> RecipeNode? {
        node.mapping?.first { $0.key.scalar?.string == key }.map { child($0.value, key) }
    }

    /// The elements of a sequence.
    package func elements(_ expected: String) throws -> [RecipeNode] {
        guard let sequence = node.sequence else { throw error("expected a list of \(expected), found \(kind)") }
        return sequence.enumerated().map { RecipeNode(node: $1, path: "\(path)[\($0)]", source: source) }
    }

    // MARK: - Values

    /// A text.
    package func string(_ expected: String = "text") throws -> String {
        guard let scalar = node.scalar else { throw error("expected \(expected), found \(kind)") }
        return scalar.string
    }

    /// A list of texts, or one text; none of them empty.
    package func strings(_ expected: String) throws -> [String] {
        if node.scalar != nil {
            let text = try string()
            guard !text.isEmpty else { throw error("expected \(expected), found nothing") }
            return [text]
        }
        let texts = try elements(expected).map { element in
            let text = try element.string(expected)
            guard !text.isEmpty else { throw element.error("expected \(expected), found nothing") }
            return text
        }
        guard !texts.isEmpty else { throw error("expected \(expected), found an empty list") }
        return texts
    }

    /// One of a few words.
    package func word<Word: CaseIterable & RawRepresentable>(
        _ type: Word.Type, aliases: [String: Word] = [:]
    ) throws -> Word where Word.RawValue == String {
        let words = Word.allCases.map(\.rawValue)
        let text = try string("one of \(words.joined(separator: ", "))")
        if let word = Word(rawValue: text) ?? aliases[text] { return word }
        throw error("unknown value \"\(text.prefix(40))\"" + Spelling.hint(text, words))
    }

    /// A whole number in a range, not quoted.
    package func integer(in range: ClosedRange<Int>) throws -> Int {
        let expected =
            range.upperBound == .max
            ? "a whole number from \(range.lowerBound)"
            : "a whole number from \(range.lowerBound) to \(range.upperBound)"
        let text = try plain(expected)
        guard let value = Int(text), range.contains(value) else {
            throw error("expected \(expected), found \(text.prefix(40))")
        }
        return value
    }

    /// A number in a half-open range, not quoted.
    package func number(in range: Range<Double>) throws -> Double {
        let expected = "a number from \(range.lowerBound) to below \(range.upperBound)"
        let text = try plain(expected)
        guard let value = Double(text), range.contains(value) else {
            throw error("expected \(expected), found \(text.prefix(40))")
        }
        return value
    }

    /// A number in a closed range, not quoted.
    package func number(in range: ClosedRange<Double>) throws -> Double {
        let expected = "a number from \(range.lowerBound) to \(range.upperBound)"
        let text = try plain(expected)
        guard let value = Double(text), range.contains(value) else {
            throw error("expected \(expected), found \(text.prefix(40))")
        }
        return value
    }

    /// `true` or `false`.
    package func boolean() throws -> Bool {
        let text = try plain("true or false")
        switch text {
        case "true": return true
        case "false": return false
        default: throw error("expected true or false, found \(text.prefix(40))")
        }
    }

    private func plain(_ expected: String) throws -> String {
        guard let scalar = node.scalar else { throw error("expected \(expected), found \(kind)") }
        guard scalar.style == .plain || scalar.style == .any else {
            throw error("expected \(expected), found the text \"\(scalar.string)\"; leave the quotes out")
        }
        return scalar.string.isEmpty ? "nothing" : scalar.string
    }

    /// What the node is, for messages.
    package var kind: String {
        switch node {
        case .mapping: "a mapping"
        case .sequence: "a list"
        case .scalar(let scalar): scalar.string.isEmpty ? "nothing" : "\"\(scalar.string.prefix(40))\""
        case .alias: "an alias"
        }
    }
}
