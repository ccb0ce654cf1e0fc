import CoppiceTensors
import Foundation
import Testing

@Suite struct LBFGSTests {
    /// Σ 100 (x_{i+1} − x_i²)² + (1 − x_i)²: a curved valley with its minimum 0 at ones.
    private func rosenbrock(_ x: [Double]) -> (value: Double, gradient: [Double]) {
        var value = 0.0
        var gradient = [Double](repeating: 0, count: x.count)
        for i in 0..<(x.count - 1) {
            let (bend, rest) = (x[i + 1] - x[i] * x[i], 1 - x[i])
            value += 100 * bend * bend + rest * rest
            gradient[i] += -400 * x[i] * bend - 2 * rest
            gradient[i + 1] += 200 * bend
        }
        return (value, gradient)
    }

    @Test(arguments: [2, 10, 50]) func findsTheEndOfACurvedValley(size: Int) {
        let start = (0..<size).map { $0 % 2 == 0 ? -1.2 : 1.0 }
        let result = LBFGS().minimize(from: start, rosenbrock)
        #expect(result.ending == .gradient || result.ending == .lineSearch)
        #expect(result.value < 1e-16)
        for x in result.point { #expect(abs(x - 1) < 1e-8) }
        #expect(result.iterations < 400 && result.evaluations < 2 * result.iterations + 30)
    }

    /// The minimum of ½ xᵀ A x − bᵀ x is A⁻¹ b, with condition number 10⁴.
    @Test func solvesAnIllConditionedQuadraticForm() {
        let scales = (0..<20).map { pow(10, 4 * Double($0) / 19) }
        var method = LBFGS()
        method.maximumIterations = 2_000
        let result = method.minimize(from: .init(repeating: 0, count: 20)) { x in
            let products = zip(scales, x).map { $0 * $1 }
            let value = zip(products, x).reduce(0) { $0 + $1.0 * $1.1 / 2 - $1.1 }
            return (value, products.map { $0 - 1 })
        }
        for (x, scale) in zip(result.point, scales) { #expect(abs(x * scale - 1) < 1e-6) }
    }

    /// −ln x + x is finite for x > 0 alone; its minimum is at 1.
    @Test func staysWhereTheFunctionIsFinite() {
        let result = LBFGS().minimize(from: [30]) { x in
            x[0] > 0 ? (x[0] - log(x[0]), [1 - 1 / x[0]]) : (.infinity, [.nan])
        }
        #expect(abs(result.point[0] - 1) < 1e-8)
    }

    @Test func endsWhereNothingIsToBeFound() {
        let atMinimum = LBFGS().minimize(from: [0, 0]) { x in (x[0] * x[0] + x[1] * x[1], [2 * x[0], 2 * x[1]]) }
        #expect(atMinimum.ending == .gradient && atMinimum.iterations == 0 && atMinimum.point == [0, 0])
        // The gradient points uphill: no step is lower.
        let wrong = LBFGS().minimize(from: [1]) { x in (x[0] * x[0], [-2 * x[0]]) }
        #expect(wrong.ending == .lineSearch && wrong.point == [1])
        let undefined = LBFGS().minimize(from: [1]) { _ in (.nan, [.nan]) }
        #expect(undefined.ending == .lineSearch && undefined.point == [1])
        var limited = LBFGS()
        limited.maximumIterations = 3
        let early = limited.minimize(from: [-1.2, 1], rosenbrock)
        #expect(early.ending == .iterations && early.iterations == 3 && early.value < 24.2)
        var coarse = LBFGS()
        coarse.valueTolerance = 1e-2
        #expect(coarse.minimize(from: [-1.2, 1], rosenbrock).ending == .value)
    }

    @Test func neverRises() {
        var values: [Double] = []
        for limit in 0..<25 {
            var method = LBFGS()
            method.maximumIterations = limit
            values.append(method.minimize(from: [-1.2, 1, -0.5, 2], rosenbrock).value)
        }
        #expect(zip(values, values.dropFirst()).allSatisfy { $0 >= $1 })
        #expect(values[24] < values[0] / 100)
    }
}
