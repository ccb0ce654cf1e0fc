import CoppiceTensors
import Foundation

/// Maximises Σ w_i y_i for y between bounds, under posynomial constraints Σ_m c_m exp(Σ_{i ∈ m} y_i) ≤ limit and
/// differences y_i − y_j ≤ bound: a geometric programme in logarithmic variables, which is convex.
///
/// Solved by a primal-dual interior-point method (Boyd and Vandenberghe, "Convex optimization", 2004, section 11.7) on
/// the logarithms of the posynomials.
public struct GeometricProgram: Sendable {
    /// c · exp(Σ y_i) over a list of variables; a variable may occur twice.
    public struct Monomial: Sendable, Hashable {
        public var coefficient: Double
        public var variables: [Int]

        public init(_ coefficient: Double, _ variables: [Int]) {
            self.coefficient = coefficient
            self.variables = variables
        }
    }

    /// Σ monomials ≤ limit.
    public struct Posynomial: Sendable, Hashable {
        public var monomials: [Monomial]
        public var limit: Double

        public init(_ monomials: [Monomial], limit: Double) {
            self.monomials = monomials
            self.limit = limit
        }

        /// The sum at a point.
        public func value(_ point: [Double]) -> Double {
            monomials.reduce(0) { $0 + $1.coefficient * exp($1.variables.reduce(0) { $0 + point[$1] }) }
        }
    }

    /// y_lower − y_upper ≤ bound.
    public struct Difference: Sendable, Hashable {
        public var lower: Int
        public var upper: Int
        public var bound: Double

        public init(lower: Int, upper: Int, bound: Double) {
            self.lower = lower
            self.upper = upper
            self.bound = bound
        }
    }

    public struct Solution: Sendable {
        public var point: [Double]
        /// Of the posynomials' logarithms.
        public var multipliers: [Double]
        /// The largest error of the conditions of Karush, Kuhn and Tucker: stationarity relative to the largest weight,
        /// constraints that are violated, complementary slackness.
        public var residual: Double
        public var iterations: Int
    }

    /// w: positive.
    public var weights: [Double]
    public var lower: [Double]
    public var upper: [Double]
    public var posynomials: [Posynomial]
    public var differences: [Difference]

    /// - Precondition: positive weights, bounds in order, coefficients at least 0, places of variables that there are.
    public init(
        weights: [Double], lower: [Double], upper: [Double], posynomials: [Posynomial], differences: [Difference] = []
    ) {
        precondition(lower.count == weights.count && upper.count == weights.count, "bounds for each variable expected")
        precondition(zip(lower, upper).allSatisfy { $0 <= $1 } && weights.allSatisfy { $0 > 0 }, "an empty programme")
        precondition(
            posynomials.allSatisfy { $0.monomials.allSatisfy { $0.coefficient >= 0 } }, "a negative coefficient")
        self.weights = weights
        self.lower = lower
        self.upper = upper
        self.posynomials = posynomials
        self.differences = differences
    }

    /// Whether the point of all lower bounds satisfies the posynomials: they grow with every variable, so otherwise
    /// nothing does.
    public var isFeasible: Bool { posynomials.allSatisfy { $0.value(lower) <= $0.limit } }

    /// The optimum.
    ///
    /// - Parameter largestIterationCount: steps of Newton's method after which it gives up.
    /// - Throws: `.badData` for a programme without a point inside, and where the conditions of Karush, Kuhn and Tucker
    ///   are not met to 1e-6 at the point that was found.
    /// - Complexity: O(n³ + monomials) for each of some fifty iterations of Newton's method.
    public func solve(largestIterationCount: Int = 200) throws -> Solution {
        if let all = upperSolution { return all }
        // A budget for the least alone leaves no inside.
        if isFeasible, posynomials.contains(where: { $0.value(lower) > $0.limit * (1 - 1e-9) }) {
            return Solution(point: lower, multipliers: posynomials.map { _ in 0 }, residual: 0, iterations: 0)
        }
        // Variables that have no room are constants.
        let free = weights.indices.filter { upper[$0] - lower[$0] > 1e-12 }
        guard !free.isEmpty else {
            guard isFeasible else { throw Self.infeasible }
            return Solution(point: lower, multipliers: posynomials.map { _ in 0 }, residual: 0, iterations: 0)
        }
        var place = [Int?](repeating: nil, count: weights.count)
        for (index, variable) in free.enumerated() { place[variable] = index }
        let reduced = GeometricProgram(
            weights: free.map { weights[$0] }, lower: free.map { lower[$0] }, upper: free.map { upper[$0] },
            posynomials: posynomials.map { posynomial in
                Posynomial(
                    posynomial.monomials.map { monomial in
                        var own = Monomial(monomial.coefficient, [])
                        for variable in monomial.variables {
                            if let index = place[variable] {
                                own.variables.append(index)
                            } else {
                                own.coefficient *= exp(lower[variable])
                            }
                        }
                        return own
                    }, limit: posynomial.limit)
            },
            differences: differences.compactMap { difference in
                guard let a = place[difference.lower], let b = place[difference.upper] else { return nil }
                return Difference(lower: a, upper: b, bound: difference.bound)
            })
        var tight = reduced
        // A difference to a constant is a bound.
        for difference in differences {
            switch (place[difference.lower], place[difference.upper]) {
            case (let index?, nil):
                tight.upper[index] = min(tight.upper[index], difference.bound + lower[difference.upper])
            case (nil, let index?):
                tight.lower[index] = max(tight.lower[index], lower[difference.lower] - difference.bound)
            default: break
            }
        }
        let inner = try InteriorPoint(tight).solve(largestIterationCount: largestIterationCount)
        guard inner.residual <= Self.largestResidual else {
            throw CoppiceError(
                .badData, field: "budget",
                "no widths were found for it: conditions of optimality are missed by \(inner.residual) after "
                    + "\(inner.iterations) steps, expected at most \(Self.largestResidual)")
        }
        var point = lower
        for (index, variable) in free.enumerated() { point[variable] = inner.point[index] }
        return Solution(
            point: point, multipliers: inner.multipliers, residual: inner.residual, iterations: inner.iterations)
    }

    /// The upper bounds, where nothing forbids them.
    private var upperSolution: Solution? {
        guard posynomials.allSatisfy({ $0.value(upper) <= $0.limit }),
            differences.allSatisfy({ upper[$0.lower] - upper[$0.upper] <= $0.bound })
        else { return nil }
        return Solution(point: upper, multipliers: posynomials.map { _ in 0 }, residual: 0, iterations: 0)
    }

    /// Of a ``Solution`` that is one.
    private static let largestResidual = 1e-6

    static let infeasible = CoppiceError(.badData, field: "budget", "nothing is small enough for it")
}
