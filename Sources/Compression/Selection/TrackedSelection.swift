import CoppiceTensors

/// The threshold of a selection that is made again and again of scores that move little: looked for near the last one, in
/// one pass, and by ``ExactSelection`` where it is not there. The answer is the same.
public struct TrackedSelection: Sendable {
    /// The largest score that was removed last.
    private var last: Float?
    /// How far from it the next is looked for.
    private var reach: Float = 0

    public init() {}

    /// The threshold that removes exactly `count` of some scores.
    ///
    /// - Parameter scores: f32 `[rows, columns]` each, finite; compared all with each other, in this order.
    /// - Complexity: O(N), one pass where the threshold has moved little, else four.
    public mutating func threshold(removing count: Int, of scores: [Tensor]) -> SelectionThreshold {
        guard count > 0 else { return .none }
        if let found = near(count, scores) { return found }
        let threshold = ExactSelection.threshold(removing: count) { visit in
            for own in scores { own.withElements(Float.self) { visit($0) } }
        }
        // The score of that key, and a hundredth of it around.
        for own in scores {
            let value = own.withElements(Float.self) { elements in
                elements.first { ExactSelection.orderKey($0) == threshold.key }
            }
            guard let value else { continue }
            if last == nil { reach = max(abs(value) * 0.01, .leastNormalMagnitude) } else { reach *= 2 }
            last = value
            break
        }
        return threshold
    }

    /// The threshold, where it is within reach of the last one and few scores are.
    private mutating func near(_ count: Int, _ scores: [Tensor]) -> SelectionThreshold? {
        guard let last, reach.isFinite else { return nil }
        let (low, high) = (last - reach, last + reach)
        let limit = scores.reduce(0) { $0 + $1.count } / 16
        var below = 0
        var candidates: [Float] = []
        for own in scores {
            let isFew = own.withElements(Float.self) { elements in
                for score in elements {
                    below += score < low ? 1 : 0
                    guard score >= low, score <= high else { continue }
                    candidates.append(score)
                    if candidates.count > limit { return false }
                }
                return true
            }
            guard isFew else {
                reach *= 0.125
                return nil
            }
        }
        let rank = count - 1 - below
        guard candidates.indices.contains(rank) else { return nil }
        candidates.sort()
        let value = candidates[rank]
        if candidates.count > limit / 4 { reach *= 0.5 }
        self.last = value
        // Of those equal to it, as many as have a rank up to it.
        let first = candidates[...rank].lastIndex { $0 < value }.map { $0 + 1 } ?? 0
        return SelectionThreshold(key: ExactSelection.orderKey(value), ties: rank - first + 1)
    }
}
