/// Looks for stop strings in a text that arrives piece by piece, across the pieces' borders.
///
/// Text that could be the beginning of a stop string is held back until it is certain.
public struct StopStrings: Sendable {
    private let stops: [[UInt8]]
    private var held: [UInt8] = []
    /// Whether a stop string has been met; what follows is ignored.
    public private(set) var isStopped = false

    /// - Precondition: no string is empty.
    public init(_ strings: [String]) {
        precondition(!strings.contains(""), "a stop string is empty")
        stops = strings.map { Array($0.utf8) }
    }

    /// Takes more text and returns what is now certain not to belong to a stop string. The earliest occurrence of any
    /// stop string ends the text. O(text · stop strings).
    public mutating func append(_ text: String) -> String {
        guard !isStopped else { return "" }
        if stops.isEmpty { return text }
        held += text.utf8
        for start in held.indices {
            // A stop string that fits and matches from here ends the text; one that the text ends within is awaited.
            if stops.contains(where: { held[start...].starts(with: $0) }) {
                isStopped = true
                return take(start)
            }
        }
        let certain = held.indices.first { start in stops.contains { $0.starts(with: held[start...]) } }
        return take(certain ?? held.count)
    }

    /// The text still held back, at its end.
    public mutating func finish() -> String { isStopped ? "" : take(held.count) }

    private mutating func take(_ count: Int) -> String {
        defer { held.removeFirst(count) }
        return String(decoding: held[..<count], as: UTF8.self)
    }
}
