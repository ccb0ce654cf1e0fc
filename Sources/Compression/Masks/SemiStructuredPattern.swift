import CoppiceTensors

/// An N:M pattern: of each `groupLength` consecutive weights of a row at most `kept` are kept.
///
/// Named by the kept count, as hardware and most tools do: 2:4 keeps two of four. (Some research code says
/// "prune N of every M"; for 1:2 and 2:4 both readings agree.)
public struct SemiStructuredPattern: Sendable, Hashable, CustomStringConvertible {
    /// Weights kept of a group.
    public let kept: Int
    /// Consecutive input weights in a group.
    public let groupLength: Int

    /// - Precondition: `0 < kept < groupLength ≤ 32`.
    public init(kept: Int, of groupLength: Int) {
        precondition(kept > 0 && kept < groupLength && groupLength <= 32, "\(kept):\(groupLength) is no N:M pattern")
        self.kept = kept
        self.groupLength = groupLength
    }

    /// Reads `"2:4"`. Nil when the text is not N:M with `0 < N < M ≤ 32`.
    public init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let kept = Int(parts[0]), let length = Int(parts[1]), kept > 0, kept < length,
            length <= 32
        else { return nil }
        self.init(kept: kept, of: length)
    }

    public var description: String { "\(kept):\(groupLength)" }

    /// The fraction of weights that the pattern removes.
    public var sparsity: Double { 1 - Double(kept) / Double(groupLength) }

    /// Throws when the group does not divide the rows of a weight, saying what would.
    public func check(name: String, columns: Int, source: String? = nil) throws {
        guard columns % groupLength != 0 else { return }
        let fitting = (2...32).filter { columns % $0 == 0 }.map(String.init).joined(separator: ", ")
        throw CoppiceError(
            .badData, source: source, field: name,
            "pattern \(self) needs rows whose length is a multiple of \(groupLength), this weight's is \(columns); "
                + (fitting.isEmpty ? "no group length up to 32 divides it" : "group lengths that divide it: \(fitting)")
                + "; exclude the weight or choose another pattern")
    }
}
