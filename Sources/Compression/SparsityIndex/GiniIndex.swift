import CoppiceTensors

/// The Gini coefficient of magnitudes, the measure of sparsity that ``PQIndex`` is compared with.
///
/// Hurley and Rickard, "Comparing measures of sparsity" (2009): Σᵢ (2i − N − 1) |w|₍ᵢ₎ / (N Σ|w|) over magnitudes in
/// rising order, i from 1; 0 where all are equal, 1 − 1/N where one is not zero.
public enum GiniIndex {
    /// The coefficient of a tensor's elements, of those that a mask keeps where there is one; 0 for none and for zeros.
    ///
    /// - Parameter values: f32 (others are converted), any shape; sums are in f64.
    /// - Throws: `.badData` for a number that is not finite.
    /// - Complexity: O(N log N).
    public static func value(of values: Tensor, mask: WeightMask? = nil) throws -> Double {
        let own = values.detached().converted(to: .f32).contiguous()
        try ExactSelection.checkFinite(own, name: "weights")
        var magnitudes = own.floats().map { abs($0) }
        if let mask {
            precondition(mask.count == own.count, "a mask of \(mask.count) for \(own.count) weights")
            magnitudes = magnitudes.indices.filter { mask.words[$0 / 64] >> UInt64($0 % 64) & 1 == 1 }
                .map { magnitudes[$0] }
        }
        magnitudes.sort()
        let count = Double(magnitudes.count)
        var (weighted, total) = (0.0, 0.0)
        for (index, magnitude) in magnitudes.enumerated() {
            weighted += (2 * Double(index + 1) - count - 1) * Double(magnitude)
            total += Double(magnitude)
        }
        return total > 0 ? weighted / (count * total) : 0
    }
}
