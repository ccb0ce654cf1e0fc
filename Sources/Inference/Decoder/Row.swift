/// Identifies one sequence (one request's text) within an engine and its cache.
public struct SequenceID: Hashable, Sendable, Comparable, CustomStringConvertible {
    public let rawValue: Int

    public init(_ rawValue: Int) { self.rawValue = rawValue }

    public static func < (left: SequenceID, right: SequenceID) -> Bool { left.rawValue < right.rawValue }

    public var description: String { "sequence \(rawValue)" }
}

/// One sequence's share of a mixed forward pass: a chunk of its prompt, or the one token of a decoding step.
///
/// A forward pass takes any number of rows; the tokens of all rows lie one after the other in row order.
public struct Row: Hashable, Sendable {
    public var sequence: SequenceID
    /// Position of the first token, counted from the start of the sequence.
    public var start: Int
    /// Number of tokens, at least one.
    public var count: Int

    public init(sequence: SequenceID, start: Int, count: Int) {
        self.sequence = sequence
        self.start = start
        self.count = count
    }

    /// The positions that the row computes.
    public var positions: Range<Int> { start..<(start + count) }
}
