/// Least-squares fit of a monotone sequence, by pooling adjacent violators.
///
/// Ayer et al., "An empirical distribution function for sampling with incomplete information" (1955).
public enum IsotonicRegression {
    /// The non-increasing sequence closest to `values` in (weighted) squares.
    ///
    /// - Parameter weights: one positive weight a value; equal weights when nil.
    /// - Complexity: O(n).
    public static func nonIncreasing(_ values: [Double], weights: [Double]? = nil) -> [Double] {
        precondition(weights.map { $0.count == values.count } ?? true, "one weight a value")
        var blocks: [(mean: Double, weight: Double, count: Int)] = []
        for (index, value) in values.enumerated() {
            var block = (mean: value, weight: weights?[index] ?? 1, count: 1)
            while let last = blocks.last, last.mean < block.mean {
                let weight = last.weight + block.weight
                block = (
                    (last.mean * last.weight + block.mean * block.weight) / weight, weight, last.count + block.count
                )
                blocks.removeLast()
            }
            blocks.append(block)
        }
        return blocks.flatMap { [Double](repeating: $0.mean, count: $0.count) }
    }
}
