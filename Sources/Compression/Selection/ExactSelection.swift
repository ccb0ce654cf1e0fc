import CKernels
import CoppiceTensors

/// Where a selection of the smallest scores ends: all scores below the threshold are removed, and of those equal to
/// it the first `ties` in order.
public struct SelectionThreshold: Sendable, Hashable {
    /// The order key of the largest removed score (see ``ExactSelection/orderKey(_:)``). Zero when nothing is removed.
    public var key: UInt32
    /// Scores equal to the threshold that are removed, the earliest first.
    public var ties: Int

    /// A threshold that removes nothing.
    public static let none = SelectionThreshold(key: 0, ties: 0)
}

/// Exact selection of the smallest scores, by counting the digits of their bit patterns.
///
/// The number removed is exact: equal scores are told apart by their position (tensor order, then index), the
/// earliest removed first. Nothing is sorted, so a selection is O(N) with three passes over the scores, and
/// the scores may be produced anew for each pass, so they never need to be in memory together.
///
/// Scores must be numbers: check them with ``checkFinite(_:name:columns:source:)`` first.
public enum ExactSelection {
    /// The number of weights that sparsity `sparsity` removes of `count`: ⌊s·N⌋, by ``WholeShare``.
    public static func removedCount(_ count: Int, sparsity: Double) -> Int {
        precondition(sparsity >= 0 && sparsity <= 1, "sparsity \(sparsity) is outside [0, 1]")
        return min(count, WholeShare.down(sparsity, of: count))
    }

    /// An unsigned integer that sorts as the score does. `-0` and `+0` have the same key.
    public static func orderKey(_ score: Float) -> UInt32 { coppice_order_key(score) }

    /// The score of an order key; `+0` for that of both zeros.
    static func score(ofKey key: UInt32) -> Float {
        Float(bitPattern: key & 0x8000_0000 != 0 ? key ^ 0x8000_0000 : ~key)
    }

    /// Finds the threshold that removes exactly `count` scores of a stream.
    ///
    /// - Parameters:
    ///   - count: Scores to remove, at most as many as there are.
    ///   - forEach: Calls its argument with all scores in order, piece by piece. It is called three times and must
    ///     give the same scores each time.
    /// - Complexity: O(N), three passes.
    public static func threshold(
        removing count: Int, forEach: (_ visit: (UnsafeBufferPointer<Float>) -> Void) throws -> Void
    ) rethrows -> SelectionThreshold {
        precondition(count >= 0, "negative count")
        if count == 0 { return .none }
        var rank = count - 1  // rank, within the bucket looked at, of the largest score removed
        var prefix: UInt32 = 0
        for level in 0..<3 {
            var counts = [UInt64](repeating: 0, count: Int(COPPICE_SELECTION_BUCKETS))
            try forEach { scores in
                guard let base = scores.baseAddress else { return }
                coppice_selection_count(base, scores.count, Int32(level), prefix, &counts)
            }
            var digit = 0
            while digit < counts.count, rank >= Int(counts[digit]) {
                rank -= Int(counts[digit])
                digit += 1
            }
            precondition(digit < counts.count, "fewer scores than are to be removed")
            prefix = prefix << (level == 2 ? 10 : 11) | UInt32(digit)
        }
        return SelectionThreshold(key: prefix, ties: rank + 1)
    }

    /// How many scores are below a threshold, and how many equal to it.
    ///
    /// - Complexity: O(N).
    static func counts(
        _ scores: UnsafeBufferPointer<Float>, around threshold: SelectionThreshold
    ) -> (below: Int, equal: Int) {
        guard let base = scores.baseAddress, threshold != .none else { return (0, 0) }
        var equal = 0
        let below = coppice_selection_count_below(base, scores.count, threshold.key, &equal)
        return (below, equal)
    }

    /// The mask that keeps all but the `count` smallest of a matrix's scores.
    ///
    /// - Parameter scores: f32 of shape `[rows, columns]`, finite.
    public static func mask(_ scores: Tensor, removing count: Int) -> WeightMask {
        precondition(count <= scores.count, "more weights to remove than there are")
        let threshold = threshold(removing: count) { visit in scores.withElements(Float.self) { visit($0) } }
        var ties = threshold.ties
        return mask(scores, threshold: threshold, ties: &ties)
    }

    /// The mask of one tensor of a stream whose threshold is known.
    ///
    /// - Parameters:
    ///   - ties: Scores equal to the threshold still to be removed; reduced by those removed here. Pass the same variable
    ///     for the tensors in their order, starting with ``SelectionThreshold/ties``.
    ///   - bySize: whether absolute values are compared.
    public static func mask(
        _ scores: Tensor, threshold: SelectionThreshold, ties: inout Int, bySize: Bool = false
    ) -> WeightMask {
        var words = [UInt64](repeating: 0, count: (scores.count + 63) / 64)
        let removed = scores.withElements(Float.self) { elements -> Int in
            guard let base = elements.baseAddress, !elements.isEmpty else { return 0 }
            return coppice_selection_mask(base, elements.count, bySize ? 1 : 0, threshold.key, ties, &words)
        }
        ties -= removed
        return WeightMask(rows: scores.shape[0], columns: scores.shape[1], words: words)
    }

    /// The mask that removes the `removed` smallest of each run of `length` consecutive scores of a row.
    ///
    /// With `length` equal to the columns this compares within rows; with a smaller one it is N:M selection.
    ///
    /// - Parameter extra: So many of the first runs remove one more.
    /// - Precondition: `length` divides the columns; no run removes more than `length`.
    /// - Complexity: O(N) for long runs, O(N·length) up to a length of 32.
    public static func mask(
        _ scores: Tensor, removing removed: Int, ofEach length: Int, extra: Int = 0
    ) -> WeightMask {
        precondition(length > 0 && scores.shape[1] % length == 0, "\(length) does not divide \(scores.shape[1])")
        precondition(removed >= 0 && removed + min(extra, 1) <= length, "cannot remove \(removed) of \(length)")
        var words = [UInt64](repeating: 0, count: (scores.count + 63) / 64)
        scores.withElements(Float.self) { elements in
            guard let base = elements.baseAddress, !elements.isEmpty else { return }
            coppice_selection_groups(base, elements.count / length, length, removed, extra, &words)
        }
        return WeightMask(rows: scores.shape[0], columns: scores.shape[1], words: words)
    }

    /// Throws when a value is NaN or infinite, naming the tensor and the element.
    public static func checkFinite(_ values: Tensor, name: String, source: String? = nil) throws {
        let index = values.withElements(Float.self) { elements -> Int in
            guard let base = elements.baseAddress else { return -1 }
            return coppice_first_non_finite(base, elements.count)
        }
        guard index >= 0 else { return }
        let value = values.withElements(Float.self) { $0[index] }
        let columns = max(1, values.shape.last ?? 1)
        let place = values.rank == 2 ? "[\(index / columns), \(index % columns)]" : "[\(index)]"
        throw CoppiceError(
            .badData, source: source, field: name,
            "element \(place) is \(value.isNaN ? "NaN" : "infinite"), expected finite numbers")
    }
}
