/// Where a sequence changes its level: for the fraction of near-zero weights along the checkpoints of a training.
public struct ChangePoint: Sendable, Hashable, Codable {
    /// Index of the first element after the largest jump between neighbours.
    public var largestJumpIndex: Int
    /// That jump, signed.
    public var largestJump: Double
    /// Index of the first element after the change that the cumulative sum of deviations points at.
    public var cumulativeSumIndex: Int
    /// The difference of the means after and before ``cumulativeSumIndex``.
    public var levelShift: Double

    /// Finds the change. Nil for fewer than two elements or when nothing changes.
    ///
    /// The cumulative sum S_t = Σ_{i≤t} (f_i − mean) has its largest absolute value where the level shifts
    /// (Page, "Continuous inspection schemes", 1954); unlike the largest jump it is not drawn by one outlier.
    ///
    /// - Complexity: O(n).
    public init?(_ values: [Double]) {
        guard values.count >= 2 else { return nil }
        let jumps = zip(values, values.dropFirst()).map { $1 - $0 }
        let steepest = jumps.indices.dropFirst().reduce(0) { abs(jumps[$1]) > abs(jumps[$0]) ? $1 : $0 }
        guard jumps[steepest] != 0 else { return nil }
        let mean = values.reduce(0, +) / Double(values.count)
        var sum = 0.0
        var largest = -1.0
        var split = 1
        for index in 0..<(values.count - 1) {
            sum += values[index] - mean
            if abs(sum) > largest {
                largest = abs(sum)
                split = index + 1
            }
        }
        largestJumpIndex = steepest + 1
        largestJump = jumps[steepest]
        cumulativeSumIndex = split
        let before = values[..<split].reduce(0, +) / Double(split)
        let after = values[split...].reduce(0, +) / Double(values.count - split)
        levelShift = after - before
    }
}
