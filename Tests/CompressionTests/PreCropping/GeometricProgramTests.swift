import CoppiceCompression
import CoppiceTensors
import Foundation
import Testing

@Suite struct GeometricProgramTests {
    /// A chain of fixed ends: layer l costs c_l exp(y_{l−1} + y_l).
    private func chain(
        _ costs: [Double], part: Double, differences: [GeometricProgram.Difference] = []
    ) -> GeometricProgram {
        let count = costs.count - 1
        let monomials = costs.enumerated().map { layer, cost in
            GeometricProgram.Monomial(cost, [layer - 1, layer].filter { (0..<count).contains($0) })
        }
        return GeometricProgram(
            weights: [Double](repeating: 2, count: count), lower: [Double](repeating: -4, count: count),
            upper: [Double](repeating: 0, count: count),
            posynomials: [.init(monomials, limit: part * costs.reduce(0, +))], differences: differences)
    }

    @Test(arguments: [0.02, 0.1, 0.3, 0.9])
    func conditionsOfOptimalityHold(part: Double) throws {
        for count in [2, 5, 60] {
            var generator = RandomGenerator(seed: UInt64(count))
            let costs = Tensor.uniform([count], low: 0, high: 7, using: &generator).doubles().map { exp($0) }
            let program = chain(costs, part: part)
            let solution = try program.solve()
            #expect(solution.residual < 1e-9, "\(count) layers: \(solution.residual)")
            let value = program.posynomials[0].value(solution.point)
            #expect(value <= program.posynomials[0].limit && value > 0.999_999 * program.posynomials[0].limit)
        }
    }

    @Test func noGridPointIsBetter() throws {
        let program = chain([3, 40, 90, 10], part: 0.25)
        let found = try program.solve().point.reduce(0, +)
        var best = -Double.infinity
        for a in 0...100 {
            for b in 0...100 {
                // The largest last variable that the budget leaves: linear in exp(c).
                let (x, y) = (-Double(a) * 0.03, -Double(b) * 0.03)
                let fixed = 3 * exp(x) + 40 * exp(x + y)
                let slope = 90 * exp(y) + 10
                let room = (program.posynomials[0].limit - fixed) / slope
                if room > 0 { best = max(best, x + y + min(0, log(room))) }
            }
        }
        #expect(found >= best - 1e-9 && found < best + 0.01)
    }

    @Test func twoBudgetsAndOrderAreKept() throws {
        var program = chain([10, 20, 400, 900, 50], part: 0.2)
        let second = program.posynomials[0].monomials.enumerated().map { index, monomial in
            GeometricProgram.Monomial(monomial.coefficient * pow(8, -Double(index)), monomial.variables)
        }
        let limit = 0.5 * second.reduce(0) { $0 + $1.coefficient }
        program.posynomials.append(.init(second, limit: limit))
        let free = try program.solve()
        #expect(free.residual < 1e-9)
        #expect(free.point[0] < free.point[3] - 0.1)
        program.differences = [.init(lower: 3, upper: 0, bound: 0)]
        let ordered = try program.solve()
        #expect(ordered.residual < 1e-9)
        #expect(ordered.point[3] <= ordered.point[0] + 1e-9)
        #expect(ordered.point.reduce(0, +) < free.point.reduce(0, +) - 1e-3)
    }

    @Test func variablesWithoutRoomAreConstants() throws {
        var program = chain([10, 20, 400, 900], part: 0.2)
        program.upper[1] = -1
        program.lower[1] = -1
        let solution = try program.solve()
        #expect(solution.point[1] == -1 && solution.residual < 1e-9)
    }

    /// Near the optimum is not at it.
    @Test func iterationsThatDoNotConvergeAreAnError() throws {
        let program = chain([10, 20, 400, 900], part: 0.2)
        for count in [0, 1] {
            #expect {
                try program.solve(largestIterationCount: count)
            } throws: {
                ($0 as? CoppiceError)?.kind == .badData
                    && "\($0)".hasPrefix("budget: no widths were found for it: conditions of optimality are missed by")
            }
        }
        #expect(try program.solve(largestIterationCount: 100).point == program.solve().point)
    }

    @Test func whatCannotBeIsAnError() throws {
        #expect(throws: CoppiceError.self) { try chain([10, 20, 400], part: 1e-4).solve() }
        #expect(try chain([10, 20, 400], part: 1).solve().point == [0, 0])
    }
}
