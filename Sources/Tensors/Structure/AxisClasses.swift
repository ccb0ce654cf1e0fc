/// Positions that can only be removed together, as a forest of sets that are joined (Tarjan, "Efficiency of a good but
/// not linear set union algorithm", 1975), and the sets that cannot be removed at all.
struct AxisClasses {
    /// Why the positions of a class stay.
    enum Reason: Hashable {
        /// They are those of the data, of the result, of a kernel, of a table's entries: nothing else was to be expected.
        case given
        /// An operation whose coupling is not known reads them.
        case unsupported(String)
    }

    private var parents: [Int] = []
    private var sizes: [Int] = []
    private var reasons: [Int: Reason] = [:]

    /// New positions, each a class of its own.
    mutating func make(_ count: Int) -> Range<Int> {
        let new = parents.count..<(parents.count + count)
        parents += Array(new)
        sizes += [Int](repeating: 1, count: count)
        return new
    }

    var count: Int { parents.count }

    /// The representative of an element's class. Nearly O(1).
    mutating func root(_ element: Int) -> Int {
        var element = element
        while parents[element] != element {
            parents[element] = parents[parents[element]]
            element = parents[element]
        }
        return element
    }

    mutating func join(_ a: Int, _ b: Int) {
        var (large, small) = (root(a), root(b))
        guard large != small else { return }
        if sizes[large] < sizes[small] { swap(&large, &small) }
        parents[small] = large
        sizes[large] += sizes[small]
        if let reason = reasons.removeValue(forKey: small) { fix(large, reason) }
    }

    /// Keeps a class from being removed. What is given has precedence: where positions stay anyway, no rule is missing.
    mutating func fix(_ element: Int, _ reason: Reason) {
        let own = root(element)
        if reasons[own] == nil || reason == .given { reasons[own] = reason }
    }

    mutating func reason(_ element: Int) -> Reason? { reasons[root(element)] }
}
