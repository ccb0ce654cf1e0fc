import CoppiceCompression
import Testing

/// Curves of whole numbers that rise as channels go, so that sums compare exactly.
private func curves(_ generator: inout SeededGenerator, groups: Int, channels: Int) -> [DistortionCurve] {
    (0..<groups).map { group in
        var distortion = 0
        let points = (0..<channels).map { gone in
            if gone > 0 { distortion += Int.random(in: 1...10 * gone, using: &generator) }
            return DistortionCurve.Point(kept: channels - gone, distortion: Double(distortion))
        }
        return DistortionCurve(name: "group\(group)", count: channels, points: points)
    }
}

private func distortion(_ curves: [DistortionCurve], _ counts: [Int]) -> Double {
    zip(curves, counts).reduce(0) { $0 + $1.0.distortion(keeping: $1.1) }
}

/// The least distortion of all numbers of channels within a budget.
private func exhaustive(_ curves: [DistortionCurve], budget: Int, cost: ([Int]) -> Int) -> Double {
    func best(_ counts: [Int]) -> Double {
        guard counts.count < curves.count else {
            return cost(counts) <= budget ? distortion(curves, counts) : .infinity
        }
        return (1...curves[counts.count].count).map { best(counts + [$0]) }.min() ?? .infinity
    }
    return best([])
}

/// Whether no group can keep one more channel that lowers the distortion.
private func isFull(_ curves: [DistortionCurve], _ counts: [Int], budget: Int, cost: ([Int]) -> Int) -> Bool {
    curves.indices.allSatisfy { group in
        var more = counts
        more[group] += 1
        return counts[group] == curves[group].points[0].kept || cost(more) > budget
            || distortion(curves, more) >= distortion(curves, counts)
    }
}

@Suite struct ChannelBudgetTests {
    @Test func sumsOfCostsAreAllocatedAsByExhaustiveSearch() throws {
        var generator = SeededGenerator(seed: 31)
        for _ in 0..<60 {
            let curves = curves(&generator, groups: 3, channels: 6)
            let prices = (0..<3).map { _ in Int.random(in: 1...9, using: &generator) }
            func cost(_ counts: [Int]) -> Int { zip(counts, prices).reduce(0) { $0 + $1.0 * $1.1 } }
            let budget = Int.random(in: cost([1, 1, 1])...cost([6, 6, 6]), using: &generator)
            let counts = try ChannelBudget(curves, budget: budget, cost: cost).solved()
            #expect(cost(counts) <= budget)
            #expect(distortion(curves, counts) == exhaustive(curves, budget: budget, cost: cost))
        }
    }

    /// A chain of layers costs products of its widths: few tables are not allocated as exhaustive search would.
    @Test func productsOfWidthsAreAllocatedNearlyAsByExhaustiveSearch() throws {
        var generator = SeededGenerator(seed: 32)
        var best = 0
        for _ in 0..<60 {
            let curves = curves(&generator, groups: 3, channels: 8)
            let uses = (0..<4).map { _ in Int.random(in: 1...9, using: &generator) }
            func cost(_ counts: [Int]) -> Int {
                let widths = [3] + counts + [10]
                return uses.indices.reduce(0) { $0 + uses[$1] * widths[$1] * widths[$1 + 1] }
            }
            let budget = Int.random(in: cost([2, 2, 2])...cost([8, 8, 8]), using: &generator)
            let counts = try ChannelBudget(curves, budget: budget, cost: cost).solved()
            #expect(cost(counts) <= budget && isFull(curves, counts, budget: budget, cost: cost))
            let least = exhaustive(curves, budget: budget, cost: cost)
            #expect(distortion(curves, counts) <= 1.25 * least)
            if distortion(curves, counts) == least { best += 1 }
        }
        #expect(best >= 54)
    }

    /// Groups that keep all, curves that fall and budgets that all of the network or nothing of it fits.
    @Test func theEndsOfCurvesAreKept() throws {
        let fixed = DistortionCurve(name: "fixed", count: 4, points: [.init(kept: 4, distortion: 0)])
        let falling = DistortionCurve(
            name: "falling", count: 3,
            points: [.init(kept: 3, distortion: 0), .init(kept: 2, distortion: 5), .init(kept: 1, distortion: 1)])
        func cost(_ counts: [Int]) -> Int { counts[0] * counts[1] }
        func counts(_ budget: Int) throws -> [Int] {
            try ChannelBudget([fixed, falling], budget: budget, cost: cost).solved()
        }
        #expect(try counts(12) == [4, 3] && counts(100) == [4, 3])
        // Two channels would fit, and one is better.
        #expect(try counts(11) == [4, 1] && counts(4) == [4, 1])
        #expect {
            _ = try counts(3)
        } throws: { "\($0)".contains("budget: 3 is below the 4 that the fewest channels cost together") }
    }
}
