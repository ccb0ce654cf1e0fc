import CoppiceCompression
import CoppiceTensors
import Foundation
import Testing

@Suite struct WaterFillingTests {
    private func costs(_ count: Int, seed: UInt64) -> [Double] {
        var generator = RandomGenerator(seed: seed)
        return Tensor.uniform([count], low: 1, high: 12, using: &generator).doubles().map { exp($0) }
    }

    private func budget(_ costs: [Double], part: Double) -> WaterFilling.Budget {
        .init(costs: costs, limit: part * costs.reduce(0, +))
    }

    @Test(arguments: [1, 3, 40, 1000], [0.001, 0.1, 0.3, 0.9])
    func oneBudgetIsOptimalAndGivesUnsaturatedLayersTheSame(layers: Int, part: Double) {
        let costs = costs(layers, seed: UInt64(layers))
        let problem = WaterFilling([budget(costs, part: part)])
        let solution = problem.solve()
        #expect(problem.residual(of: solution) < 1e-9)
        let free = solution.densities.indices.filter { solution.densities[$0] < 1 }
        #expect(!free.isEmpty)
        let shares = free.map { costs[$0] * solution.densities[$0] }
        #expect((shares.max() ?? 0) / (shares.min() ?? 1) < 1 + 1e-9)
        let used = zip(costs, solution.densities).reduce(0) { $0 + $1.0 * $1.1 }
        #expect(abs(used / problem.budgets[0].limit - 1) < 1e-9)
    }

    @Test(arguments: [(0.3, 0.3), (0.1, 0.8), (0.8, 0.1), (0.05, 0.06), (1.5, 0.2), (1, 1)])
    func twoBudgetsAreOptimal(parts: (Double, Double)) {
        for seed in 0..<8 as Range<UInt64> {
            let (first, second) = (costs(50, seed: 2 * seed), costs(50, seed: 2 * seed + 1))
            let problem = WaterFilling([budget(first, part: parts.0), budget(second, part: parts.1)])
            #expect(problem.residual(of: problem.solve()) < 1e-9)
        }
    }

    @Test func theResidualSeesWhatIsNotOptimal() {
        let problem = WaterFilling([budget([1, 10, 100], part: 0.3)])
        var solution = problem.solve()
        solution.densities[2] *= 0.9
        #expect(problem.residual(of: solution) > 0.05)
    }

    @Test func aBudgetForAllLeavesLayersDense() {
        let problem = WaterFilling([budget([1, 2, 3], part: 1.2), budget([3, 2, 1], part: 1)])
        #expect(problem.solve().densities == [1, 1, 1])
        let larger = WaterFilling([budget([1, 2, 3], part: 1.2)], limit: 2).solve()
        #expect(larger.densities.contains { $0 > 1 } && larger.densities.allSatisfy { $0 <= 2 })
    }

    @Test func noGridPointIsBetter() {
        let costs = (first: [4.0, 9, 30, 11], second: [50.0, 20, 8, 3])
        let problem = WaterFilling([budget(costs.first, part: 0.4), budget(costs.second, part: 0.45)])
        let solution = problem.solve()
        let found = solution.densities.reduce(0) { $0 + log($1) }
        var best = -Double.infinity
        let grid = (1...40).map { Double($0) / 40 }
        for a in grid {
            for b in grid {
                for c in grid {
                    // The best last density that both budgets leave.
                    let rest = zip(problem.budgets, [costs.first, costs.second]).map { budget, cost in
                        (budget.limit - cost[0] * a - cost[1] * b - cost[2] * c) / cost[3]
                    }
                    let d = min(1, rest[0], rest[1])
                    if d > 0 { best = max(best, log(a) + log(b) + log(c) + log(d)) }
                }
            }
        }
        #expect(found >= best - 1e-12)
        #expect(found < best + 0.01)
    }

    @Test func scaleDoesNotMatterAndMoreNeverTakesAway() {
        let own = costs(20, seed: 5)
        let reference = WaterFilling([budget(own, part: 0.2)]).solve().densities
        let scaled = WaterFilling([budget(own.map { $0 * 37 }, part: 0.2)]).solve().densities
        #expect(zip(reference, scaled).allSatisfy { abs($0 - $1) < 1e-12 })
        var before = reference
        for part in [0.25, 0.4, 0.7, 1.0] {
            let next = WaterFilling([budget(own, part: part)]).solve().densities
            #expect(zip(before, next).allSatisfy { $0 <= $1 + 1e-12 })
            before = next
        }
    }

    /// E[1ᵀ Π |W_l ∘ M_l| 1] over normal weights and random masks is σ-independent of granularity: the closed form.
    @Test func theExpectedFlowDependsOnDensitiesAlone() {
        let (widths, densities, deviation) = ([6, 8, 8, 5], [0.5, 0.25, 0.5], 0.7)
        var paths = widths.reduce(1.0) { $0 * Double($1) }
        for density in densities { paths *= density * deviation * (2 / Double.pi).squareRoot() }
        for isByRow in [false, true] {
            let mean = SynapticFlowSampler(widths: widths, densities: densities, deviation: deviation, isByRow: isByRow)
                .mean(draws: 200_000, seed: isByRow ? 3 : 4)
            #expect(abs(mean / paths - 1) < 0.01, "by row: \(isByRow), \(mean) for \(paths)")
        }
    }
}

/// Draws linear chains of random weights and masks, and averages their flow.
private struct SynapticFlowSampler {
    var widths: [Int]
    var densities: [Double]
    var deviation: Double
    /// Whether whole outputs of a layer are kept or removed, each layer's on its own.
    var isByRow: Bool

    func mean(draws: Int, seed: UInt64) -> Double {
        var generator = RandomGenerator(seed: seed)
        let chunk = 20_000
        var sum = 0.0
        for _ in 0..<draws / chunk {
            let normals = zip(widths, widths.dropFirst()).map { inputs, outputs in
                Tensor.normal([chunk * inputs * outputs], using: &generator).doubles()
            }
            let chances = zip(widths, widths.dropFirst()).map { inputs, outputs in
                Tensor.uniform([chunk * inputs * outputs], low: 0, high: 1, using: &generator).doubles()
            }
            for draw in 0..<chunk {
                var flow = [Double](repeating: 1, count: widths[0])
                for layer in densities.indices {
                    let (inputs, outputs) = (widths[layer], widths[layer + 1])
                    let base = draw * inputs * outputs
                    flow = (0..<outputs).map { output in
                        var total = 0.0
                        for input in 0..<inputs {
                            let place = base + output * inputs + input
                            let chance = chances[layer][isByRow ? base + output * inputs : place]
                            if chance < densities[layer] {
                                total += abs(normals[layer][place]) * deviation * flow[input]
                            }
                        }
                        return total
                    }
                }
                sum += flow.reduce(0, +)
            }
        }
        return sum / Double(draws / chunk * chunk)
    }
}
