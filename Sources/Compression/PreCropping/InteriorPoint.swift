import CoppiceTensors
import Foundation

/// The primal-dual interior-point iterations of ``GeometricProgram``: constraints f_c(y) ≤ 0 in the order posynomials
/// (as log Σ − log limit), upper bounds, lower bounds, differences.
struct InteriorPoint {
    private let program: GeometricProgram
    private var count: Int { program.weights.count }
    private var constraintCount: Int {
        program.posynomials.count + 2 * count + program.differences.count
    }

    init(_ program: GeometricProgram) { self.program = program }

    /// The constraints at a point, with gradients of the posynomials.
    private struct State {
        /// f.
        var values: [Double]
        /// ∇f of each posynomial.
        var slopes: [[Double]]
        /// The shares π of each posynomial's monomials.
        var shares: [[Double]]
    }

    func solve(largestIterationCount: Int) throws -> GeometricProgram.Solution {
        let scale = program.weights.max() ?? 1
        // Primal-dual steps from afar can end at the border; near the central path they converge in a few.
        var (point, barrier) = try centered(gap: 1e-3 * scale)
        var state = state(at: point)
        var multipliers = state.values.map { -1 / (barrier * $0) }
        for iteration in 0..<largestIterationCount {
            let gap = -zip(state.values, multipliers).reduce(0) { $0 + $1.0 * $1.1 }
            let dual = dualResidual(state, multipliers)
            let worst = dual.map { abs($0) }.max() ?? 0
            if worst < 1e-11 * scale, gap < 1e-11 * scale { return solution(point, state, multipliers, iteration) }
            barrier = 20 * Double(constraintCount) / gap
            let step = try pointStep(state, multipliers, barrier)
            let dualStep = multiplierStep(state, multipliers, barrier, along: step)
            var length = 1.0
            for (multiplier, change) in zip(multipliers, dualStep) where change < 0 {
                length = min(length, -multiplier / change)
            }
            length = min(1, 0.99 * length)
            let before = norm(dual, state, multipliers, barrier)
            var isSettled = false
            for _ in 0..<60 {
                let nextPoint = zip(point, step).map { $0 + length * $1 }
                let nextMultipliers = zip(multipliers, dualStep).map { $0 + length * $1 }
                let next = self.state(at: nextPoint)
                if next.values.allSatisfy({ $0 < 0 }) {
                    let after = norm(dualResidual(next, nextMultipliers), next, nextMultipliers, barrier)
                    if after <= (1 - 0.01 * length) * before || length < 1e-12 {
                        (point, state, multipliers, isSettled) = (nextPoint, next, nextMultipliers, true)
                        break
                    }
                }
                length *= 0.5
            }
            // No step helps any more: as near as the arithmetic lets it come.
            if !isSettled { return solution(point, state, multipliers, iteration) }
        }
        return solution(point, state, multipliers, largestIterationCount)
    }

    /// A point near the central path, by Newton's method on t Σ w_i y_i + Σ_c log(−f_c(y)) for growing t (Boyd and
    /// Vandenberghe, section 11.3).
    ///
    /// - Returns: the point, and the t at which the gap of duality is below `gap`.
    private func centered(gap: Double) throws -> (point: [Double], barrier: Double) {
        var point = try start()
        var state = state(at: point)
        var barrier = 1 / (program.weights.max() ?? 1)
        func value(_ point: [Double], _ state: State) -> Double {
            barrier * zip(point, program.weights).reduce(0) { $0 + $1.0 * $1.1 }
                + state.values.reduce(0) { $0 + log(-$1) }
        }
        while true {
            for _ in 0..<50 {
                let multipliers = state.values.map { -1 / (barrier * $0) }
                let step = try pointStep(state, multipliers, barrier)
                let slope = -barrier * zip(dualResidual(state, multipliers), step).reduce(0) { $0 + $1.0 * $1.1 }
                if slope < 1e-6 { break }
                let before = value(point, state)
                var length = 1.0
                while length > 1e-12 {
                    let nextPoint = zip(point, step).map { $0 + length * $1 }
                    let next = self.state(at: nextPoint)
                    if next.values.allSatisfy({ $0 < 0 }), value(nextPoint, next) >= before + 0.1 * length * slope {
                        (point, state) = (nextPoint, next)
                        break
                    }
                    length *= 0.5
                }
                if length <= 1e-12 { break }
            }
            if Double(constraintCount) / barrier < gap { return (point, barrier) }
            barrier *= 10
        }
    }

    private func solution(
        _ point: [Double], _ state: State, _ multipliers: [Double], _ iterations: Int
    ) -> GeometricProgram.Solution {
        let scale = program.weights.max() ?? 1
        let stationarity = (dualResidual(state, multipliers).map { abs($0) }.max() ?? 0) / scale
        let slackness = (zip(state.values, multipliers).map { abs($0 * $1) }.max() ?? 0) / scale
        let violation = max(0, state.values.max() ?? 0)
        return .init(
            point: point, multipliers: Array(multipliers.prefix(program.posynomials.count)),
            residual: max(stationarity, slackness, violation), iterations: iterations)
    }

    /// A point inside: near the lower bounds, where posynomials are smallest, those that must be larger a little
    /// farther from them.
    private func start() throws -> [Double] {
        var rank = [Int](repeating: 0, count: count)
        for _ in program.differences.indices {
            for difference in program.differences {
                rank[difference.upper] = max(rank[difference.upper], rank[difference.lower] + 1)
            }
        }
        let highest = Double((rank.max() ?? 0) + 1)
        var part = 0.5
        while part > 1e-10 {
            let point = (0..<count).map { index in
                let room = program.upper[index] - program.lower[index]
                return program.lower[index] + min(room, 1) * part * (Double(rank[index]) + 1) / highest
            }
            if state(at: point).values.allSatisfy({ $0 < -1e-14 }) { return point }
            part *= 0.5
        }
        throw GeometricProgram.infeasible
    }

    private func state(at point: [Double]) -> State {
        var values: [Double] = []
        values.reserveCapacity(constraintCount)
        var (slopes, shares): ([[Double]], [[Double]]) = ([], [])
        for posynomial in program.posynomials {
            var terms = posynomial.monomials.map { monomial in
                monomial.coefficient * exp(monomial.variables.reduce(0) { $0 + point[$1] })
            }
            let sum = terms.reduce(0, +)
            var slope = [Double](repeating: 0, count: count)
            for index in terms.indices {
                terms[index] /= sum
                for variable in posynomial.monomials[index].variables { slope[variable] += terms[index] }
            }
            values.append(log(sum / posynomial.limit))
            slopes.append(slope)
            shares.append(terms)
        }
        for index in 0..<count { values.append(point[index] - program.upper[index]) }
        for index in 0..<count { values.append(program.lower[index] - point[index]) }
        for difference in program.differences {
            values.append(point[difference.lower] - point[difference.upper] - difference.bound)
        }
        return State(values: values, slopes: slopes, shares: shares)
    }

    /// Σ_c multiplier_c ∇f_c.
    private func combination(_ state: State, _ multipliers: [Double]) -> [Double] {
        var sum = [Double](repeating: 0, count: count)
        let posynomials = program.posynomials.count
        for (slope, multiplier) in zip(state.slopes, multipliers) {
            for index in 0..<count { sum[index] += multiplier * slope[index] }
        }
        for index in 0..<count {
            sum[index] += multipliers[posynomials + index] - multipliers[posynomials + count + index]
        }
        for (place, difference) in program.differences.enumerated() {
            let multiplier = multipliers[posynomials + 2 * count + place]
            sum[difference.lower] += multiplier
            sum[difference.upper] -= multiplier
        }
        return sum
    }

    private func dualResidual(_ state: State, _ multipliers: [Double]) -> [Double] {
        zip(combination(state, multipliers), program.weights).map { $0 - $1 }
    }

    private func norm(_ dual: [Double], _ state: State, _ multipliers: [Double], _ barrier: Double) -> Double {
        let centring = zip(state.values, multipliers).reduce(0.0) { sum, own in
            let error = -own.0 * own.1 - 1 / barrier
            return sum + error * error
        }
        return (dual.reduce(0) { $0 + $1 * $1 } + centring).squareRoot()
    }

    /// ∇f_c · step for each constraint.
    private func changes(_ state: State, along step: [Double]) -> [Double] {
        var result = state.slopes.map { slope in zip(slope, step).reduce(0) { $0 + $1.0 * $1.1 } }
        result += step
        result += step.map { -$0 }
        result += program.differences.map { step[$0.lower] - step[$0.upper] }
        return result
    }

    /// The Newton step of the point.
    private func pointStep(_ state: State, _ multipliers: [Double], _ barrier: Double) throws -> [Double] {
        let n = count
        var matrix = [Double](repeating: 0, count: n * n)
        let ratios = zip(multipliers, state.values).map { -$0 / $1 }
        for (index, posynomial) in program.posynomials.enumerated() {
            let multiplier = multipliers[index]
            for (monomial, share) in zip(posynomial.monomials, state.shares[index]) {
                for a in monomial.variables { for b in monomial.variables { matrix[a * n + b] += multiplier * share } }
            }
            let slope = state.slopes[index]
            let factor = ratios[index] - multiplier
            for row in 0..<n where slope[row] != 0 {
                let scaled = factor * slope[row]
                for column in 0..<n { matrix[row * n + column] += scaled * slope[column] }
            }
        }
        let first = program.posynomials.count
        for index in 0..<n { matrix[index * n + index] += ratios[first + index] + ratios[first + n + index] }
        for (place, difference) in program.differences.enumerated() {
            let (a, b, ratio) = (difference.lower, difference.upper, ratios[first + 2 * n + place])
            matrix[a * n + a] += ratio
            matrix[b * n + b] += ratio
            matrix[a * n + b] -= ratio
            matrix[b * n + a] -= ratio
        }
        let pull = combination(state, state.values.map { -1 / (barrier * $0) })
        let right = zip(program.weights, pull).map { $0 - $1 }
        let factor = try Tensor(matrix, shape: [n, n]).choleskyFactor()
        return try factor.choleskySolve(Tensor(right, shape: [n])).doubles()
    }

    /// The Newton step of the multipliers that goes with a step of the point.
    private func multiplierStep(
        _ state: State, _ multipliers: [Double], _ barrier: Double, along step: [Double]
    ) -> [Double] {
        let moves = changes(state, along: step)
        return multipliers.indices.map { index in
            -multipliers[index] + (1 / barrier + multipliers[index] * moves[index]) / -state.values[index]
        }
    }
}
