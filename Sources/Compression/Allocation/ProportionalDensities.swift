/// Densities in proportion to what each matrix asks for.
enum ProportionalDensities {
    /// density_l = ε · share_l / count_l with ε such that `total` entries are kept. A matrix whose density would exceed
    /// one is kept whole, and ε is solved again for the others.
    ///
    /// - Parameters:
    ///   - counts: entries of each matrix; one without any has a density of one.
    ///   - shares: what each is kept in proportion to, not negative.
    /// - Precondition: `0 ≤ total ≤ Σ counts`.
    /// - Complexity: O(L²) for L matrices.
    static func solving(_ counts: [Int], shares: [Double], total: Int) -> [Double] {
        var isDense = counts.map { $0 == 0 }
        while true {
            let fixed = zip(counts, isDense).reduce(0) { $0 + ($1.1 ? $1.0 : 0) }
            let share = zip(shares, isDense).reduce(0.0) { $0 + ($1.1 ? 0 : $1.0) }
            let epsilon = share == 0 ? 0 : Double(total - fixed) / share
            let densities = counts.indices.map { isDense[$0] ? 1 : epsilon * shares[$0] / Double(counts[$0]) }
            let overfull = densities.indices.filter { densities[$0] > 1 }
            if overfull.isEmpty { return densities }
            for index in overfull { isDense[index] = true }
        }
    }
}
