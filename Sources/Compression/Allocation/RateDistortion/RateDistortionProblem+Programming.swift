import CoppiceTensors

extension RateDistortionProblem {
    /// Entries that the table of ``Solver/exact`` may have, two bytes each.
    public static let maximumTableSize = 1 << 29

    /// Dynamic programming over buckets of `unit` units of what the budget leaves above the cheapest options.
    ///
    /// D_l[b] = min_j δ_lj + D_{l−1}[b − c_lj] is the least distortion of the first l layers for at most b buckets; which j
    /// it was is kept, and followed back from the whole budget. Layers come in the order of their largest costs, so that
    /// early tables are short.
    func solvedByProgramming(unit: Int) throws -> RateDistortionSolution {
        let least = layers.map(\.cheapest)
        let buckets = (budget - least.reduce(0, +)) / unit
        let costs = zip(layers, least).map { layer, least in
            layer.options.map { ($0.cost - least + unit - 1) / unit }
        }
        let order = layers.indices.sorted { (costs[$0].max() ?? 0, $0) < (costs[$1].max() ?? 0, $1) }
        // Beyond what the layers so far can spend, a table goes on as it ends.
        var reach: [Int] = []
        for index in order {
            let largest = costs[index].max() ?? 0
            let last = reach.last ?? 0
            reach.append(largest > buckets - last ? buckets : last + largest)
        }
        let size = reach.reduce(0) { $0 + $1 + 1 }
        guard size <= Self.maximumTableSize else {
            throw CoppiceError(
                .usage, field: "solver",
                "the programme needs a table of \(size) entries, expected at most \(Self.maximumTableSize); use buckets, "
                    + "or fewer of them")
        }

        var table = [Double](repeating: 0, count: buckets + 1)
        var decisions: [[UInt16]] = []
        for (place, index) in order.enumerated() {
            let stage = MinPlusStage(costs: costs[index], distortions: layers[index].options.map(\.distortion))
            let (next, decision) = stage.applied(to: table, count: reach[place] + 1)
            table = next
            decisions.append(decision)
        }

        var choices = [Int](repeating: 0, count: layers.count)
        var left = buckets
        for (place, index) in order.enumerated().reversed() {
            left = min(left, reach[place])
            choices[index] = Int(decisions[place][left])
            left -= costs[index][choices[index]]
        }
        if unit == 1 { return solution(choices, lowerBound: table[buckets]) }
        return solution(spendingSlack(choices), lowerBound: solvedOnHulls().lowerBound)
    }
}

/// One layer's step of the programme: a (min, +) product of a table with a list of shifts.
struct MinPlusStage {
    /// In buckets.
    var costs: [Int]
    var distortions: [Double]

    /// Numbers that are computed together, so that they stay in the fastest cache while all options pass over them.
    private static let block = 1024

    /// next[b] = min_j distortions[j] + table[b − costs[j]], and the first j that gives it, for b below `count`; after that
    /// `next` goes on as it ends.
    ///
    /// - Precondition: some cost is zero; a table of at least `count` entries.
    /// - Complexity: O(K · count).
    func applied(to table: [Double], count: Int) -> (next: [Double], decisions: [UInt16]) {
        var result = [Double](repeating: 0, count: table.count)
        let decisions = [UInt16](unsafeUninitializedCapacity: count) { decisions, decisionCount in
            decisionCount = count
            table.withUnsafeBufferPointer { table in
                result.withUnsafeMutableBufferPointer { next in
                    for start in stride(from: 0, to: count, by: Self.block) {
                        minimize(table, start..<min(start + Self.block, count), next, decisions)
                    }
                    for index in count..<next.count { next[index] = next[count - 1] }
                }
            }
        }
        return (result, decisions)
    }

    private func minimize(
        _ table: UnsafeBufferPointer<Double>, _ range: Range<Int>, _ next: UnsafeMutableBufferPointer<Double>,
        _ decisions: UnsafeMutableBufferPointer<UInt16>
    ) {
        withUnsafeTemporaryAllocation(of: Double.self, capacity: range.count) { least in
            // As wide as the numbers, so that both are chosen by one comparison.
            withUnsafeTemporaryAllocation(of: Int.self, capacity: range.count) { chosen in
                guard let value = least.baseAddress, let choice = chosen.baseAddress, let from = table.baseAddress
                else {
                    return
                }
                for index in 0..<range.count { (value[index], choice[index]) = (.infinity, 0) }
                for (option, cost) in costs.enumerated() {
                    let first = max(range.lowerBound, cost)
                    guard first < range.upperBound else { continue }
                    let (distortion, offset) = (distortions[option], first - range.lowerBound)
                    let (source, own, number) = (from + (first - cost), value + offset, choice + offset)
                    for index in 0..<(range.upperBound - first) {
                        let sum = source[index] + distortion
                        let isLess = sum < own[index]
                        own[index] = isLess ? sum : own[index]
                        number[index] = isLess ? option : number[index]
                    }
                }
                for (index, place) in range.enumerated() {
                    next[place] = value[index]
                    decisions[place] = UInt16(truncatingIfNeeded: choice[index])
                }
            }
        }
    }
}
