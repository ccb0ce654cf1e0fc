import CKernels
import CoppiceTensors

/// The threshold of a selection that is made again and again of scores that move little: looked for near the last one, in
/// one pass, and by ``ExactSelection`` where it is not there. The answer is the same.
public struct TrackedSelection: Sendable {
    /// The largest score that was removed last.
    private var last: Float?
    /// How far from it the next is looked for.
    private var reach: Float = 0
    /// Scores within reach.
    private var candidates: [Float] = []

    public init() {}

    /// The threshold that removes exactly `count` of some scores.
    ///
    /// - Parameters:
    ///   - scores: f32 `[rows, columns]` each, finite; compared all with each other, in this order.
    ///   - bySize: whether absolute values are compared.
    /// - Complexity: O(N): a pass or a few where the threshold has moved little, else three more.
    public mutating func threshold(
        removing count: Int, of scores: [Tensor], bySize: Bool = false
    ) -> SelectionThreshold {
        guard count > 0 else { return .none }
        for _ in 0..<Self.attempts {
            if let found = near(count, scores, bySize) { return found }
        }
        let threshold = ExactSelection.threshold(removing: count) { visit in
            for own in scores { (bySize ? own.abs() : own).withElements(Float.self) { visit($0) } }
        }
        // The score of that key, and a few hundredths of it around.
        let value = ExactSelection.score(ofKey: threshold.key)
        if last == nil { reach = max(abs(value) * 0.03, .leastNormalMagnitude) }
        last = value
        return threshold
    }

    /// Passes near the last threshold before all scores are counted.
    private static let attempts = 4

    /// The threshold, where it is within reach of the last one and few scores are. Else what is in reach changes.
    private mutating func near(_ count: Int, _ scores: [Tensor], _ bySize: Bool) -> SelectionThreshold? {
        guard let last, reach.isFinite else { return nil }
        let (low, high) = (last - reach, last + reach)
        let limit = scores.reduce(0) { $0 + $1.count } / 16
        if candidates.count < limit + 64 { candidates = [Float](repeating: 0, count: limit + 64) }
        let found: (threshold: SelectionThreshold?, count: Int)? = candidates.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return nil }
            var (below, candidates) = (0, 0)
            for own in scores {
                let more = own.withElements(Float.self) { elements in
                    elements.baseAddress.map {
                        coppice_selection_between(
                            $0, elements.count, bySize ? 1 : 0, low, high, base + candidates, limit - candidates,
                            &below)
                    } ?? 0
                }
                guard more >= 0 else { return nil }
                candidates += more
            }
            let rank = count - 1 - below
            guard rank >= 0, rank < candidates else { return (nil, candidates) }
            let near = UnsafeBufferPointer(start: base, count: candidates)
            return (ExactSelection.threshold(removing: rank + 1) { $0(near) }, candidates)
        }
        guard let found else {
            reach *= 0.25
            return nil
        }
        guard let threshold = found.threshold else {
            reach *= 2
            return nil
        }
        if found.count > limit / 4 { reach *= 0.5 }
        self.last = ExactSelection.score(ofKey: threshold.key)
        return threshold
    }
}
