/// The logits of some of a pass's tokens: `[count, vocabulary]` in f32.
///
/// They lie in the cache's working memory and are valid until the next forward pass over the same cache.
public struct Logits {
    /// Tokens that logits were asked for, in order.
    public let count: Int
    public let vocabularySize: Int
    let base: UnsafeMutablePointer<Float>
    /// Keeps the memory.
    let cache: KeyValueCache

    /// One token's logits.
    public subscript(index: Int) -> UnsafeBufferPointer<Float> {
        precondition(index >= 0 && index < count, "logits \(index) of \(count)")
        return UnsafeBufferPointer(start: base + index * vocabularySize, count: vocabularySize)
    }

    /// A copy that stays valid.
    public func copy() -> [[Float]] { (0..<count).map { Array(self[$0]) } }
}

/// Which tokens of a pass logits are computed for.
public enum LogitSelection: Sendable, Hashable {
    /// The last token of every row, in row order: what generation needs.
    case lastOfEachRow
    /// Every token.
    case all
    /// None: the pass only fills the cache.
    case none
    /// Tokens of the pass by index, ascending.
    case tokens([Int])
}
