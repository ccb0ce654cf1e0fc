import CoppiceTensors

/// A pattern over weight names, such as `mlp`, `q_proj`, `layers.0` or `model.layers.*.mlp.*`.
///
/// It matches a name when it equals the whole name or a run of whole dot-separated components of it. `*` stands for
/// any characters, dots included, and `?` for one.
public struct WeightPattern: Sendable, Hashable, CustomStringConvertible {
    public let text: String

    public init(_ text: String) { self.text = text }

    public var description: String { text }

    /// Whether the pattern matches a weight's name. O(components² · length · pattern length).
    public func matches(_ name: String) -> Bool {
        let components = name.split(separator: ".", omittingEmptySubsequences: false)
        let pattern = Array(text.utf8)
        for start in components.indices {
            for end in components.indices[start...]
            where Self.glob(pattern, Array(components[start...end].joined(separator: ".").utf8)) {
                return true
            }
        }
        return false
    }

    /// The pattern; where it matches none of some names, those whose other names it matches.
    ///
    /// - Parameter aliases: other names, such as those that a file has, by name.
    package func resolved(among names: [String], aliases: [String: String]) -> [WeightPattern] {
        guard !names.contains(where: matches) else { return [self] }
        let found = names.filter { name in aliases[name].map(matches) ?? false }
        return found.isEmpty ? [self] : found.map(WeightPattern.init)
    }

    /// The names that some patterns match.
    ///
    /// - Parameters:
    ///   - aliases: as of ``resolved(among:aliases:)``.
    ///   - what: what the names are of, for error messages.
    /// - Throws: `.badData` for a pattern that matches none, with the nearest name: a misspelt one would do nothing.
    static func names(
        matching patterns: [WeightPattern], among names: [String], aliases: [String: String] = [:], what: String
    ) throws -> Set<String> {
        var matched: Set<String> = []
        for pattern in patterns {
            let own = pattern.resolved(among: names, aliases: aliases)
            let found = names.filter { name in own.contains { $0.matches(name) } }
            guard !found.isEmpty else {
                throw CoppiceError(
                    .badData, "\"\(pattern)\" matches no \(what); " + WeightSelection.hint(pattern.text, names))
            }
            matched.formUnion(found)
        }
        return matched
    }

    /// Wildcard matching with one point to return to: the last `*`. No pattern makes it exponential.
    private static func glob(_ pattern: [UInt8], _ text: [UInt8]) -> Bool {
        let star = UInt8(ascii: "*")
        let any = UInt8(ascii: "?")
        var p = 0
        var t = 0
        var lastStar: (pattern: Int, text: Int)?
        while t < text.count {
            if p < pattern.count, pattern[p] == star {
                lastStar = (p, t)
                p += 1
            } else if p < pattern.count, pattern[p] == any || pattern[p] == text[t] {
                p += 1
                t += 1
            } else if let back = lastStar {
                lastStar = (back.pattern, back.text + 1)
                p = back.pattern + 1
                t = back.text + 1
            } else {
                return false
            }
        }
        return pattern[p...].allSatisfy { $0 == star }
    }
}
