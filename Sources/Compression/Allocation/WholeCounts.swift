/// Whole numbers of weights from real-valued shares.
enum WholeCounts {
    /// Whole counts with the sum `total`: the shares rounded down, the rest to the largest fractions, the earlier first
    /// among equals.
    ///
    /// - Parameters:
    ///   - exact: shares that add up to `total` but for rounding errors.
    ///   - limits: the most that each may get.
    /// - Precondition: `0 ≤ total ≤ Σ limits`.
    /// - Complexity: O(L log L) for L shares.
    static func rounding(_ exact: [Double], total: Int, limits: [Int]) -> [Int] {
        var counts = zip(exact, limits).map { min($1, max(0, Int($0.rounded(.down)))) }
        let byFraction = exact.indices.sorted {
            let first = exact[$0] - exact[$0].rounded(.down)
            let second = exact[$1] - exact[$1].rounded(.down)
            return first == second ? $0 < $1 : first > second
        }
        var missing = total - counts.reduce(0, +)
        // One round is enough but for rounding errors of the shares.
        while missing != 0 {
            let before = missing
            for index in byFraction where missing > 0 && counts[index] < limits[index] {
                counts[index] += 1
                missing -= 1
            }
            for index in byFraction.reversed() where missing < 0 && counts[index] > 0 {
                counts[index] -= 1
                missing += 1
            }
            precondition(before != missing, "the total exceeds the limits")
        }
        return counts
    }
}
