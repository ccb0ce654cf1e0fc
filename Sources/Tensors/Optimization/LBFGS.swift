import Foundation

/// Limited-memory BFGS: minimizes a smooth function of many variables from values and gradients, in f64.
///
/// ```swift
/// let result = LBFGS().minimize(from: [-1.2, 1]) { x in
///     let (a, b) = (1 - x[0], x[1] - x[0] * x[0])
///     return (a * a + 100 * b * b, [-2 * a - 400 * x[0] * b, 200 * b])
/// }
/// ```
///
/// Directions by the two-loop recursion over the last ``memory`` pairs, steps by a line search to the strong Wolfe
/// conditions. Values that are not finite are treated as too high, so a function may have a restricted domain around
/// the start.
///
/// Source: Liu and Nocedal, "On the limited memory BFGS method for large scale optimization" (1989); Nocedal and Wright,
/// "Numerical Optimization" (2006), algorithms 7.4, 7.5, 3.5 and 3.6.
public struct LBFGS: Sendable, Hashable {
    /// Pairs of steps and changes of the gradient that the curvature is taken from.
    public var memory = 10
    public var maximumIterations = 500
    /// Ends where no component of the gradient is larger than this.
    public var gradientTolerance = 1e-10
    /// Ends where an iteration lowers the value by less than this part of it (or of 1, where that is larger).
    public var valueTolerance = 0.0
    /// c₁: the part of the decrease that the slope promises and a step must keep.
    public var sufficientDecrease = 1e-4
    /// c₂: the part of the slope that a step may leave.
    public var curvature = 0.9

    public init() {}

    /// A function's value and gradient at a point.
    public typealias Objective = (_ point: [Double]) -> (value: Double, gradient: [Double])

    /// Why the iteration ended.
    public enum Ending: Sendable, Hashable {
        /// The gradient is as small as was asked for.
        case gradient
        /// The value no longer falls by as much as was asked for.
        case value
        /// No lower value was found along the direction: as good as the arithmetic allows, or a wrong gradient.
        case lineSearch
        case iterations
    }

    /// Where the iteration ended.
    public struct Result: Sendable, Hashable {
        public var point: [Double]
        public var value: Double
        public var gradient: [Double]
        public var iterations: Int
        /// Calls of the function.
        public var evaluations: Int
        public var ending: Ending
    }

    /// Minimizes a function from a point.
    ///
    /// - Parameter objective: called with points of the start's length; its gradient must have that length too.
    /// - Returns: the lowest point found; the start itself where the function is not finite there.
    /// - Complexity: O(memory · variables) for each iteration besides the function.
    public func minimize(from start: [Double], _ objective: Objective) -> Result {
        let first = objective(start)
        precondition(first.gradient.count == start.count, "a gradient of another length")
        var current = Place(point: start, value: first.value, gradient: first.gradient)
        var history = History(limit: memory)
        var (iterations, evaluations, ending) = (0, 1, Ending.iterations)
        if !first.value.isFinite { ending = .lineSearch }
        while ending == .iterations, iterations < maximumIterations {
            if current.gradient.allSatisfy({ abs($0) <= gradientTolerance }) {
                ending = .gradient
                break
            }
            var direction = history.direction(current.gradient)
            if Self.dot(direction, current.gradient) >= 0 {
                history.removeAll()
                direction = current.gradient.map { -$0 }
            }
            let norm = Self.dot(current.gradient, current.gradient).squareRoot()
            let step = history.isEmpty ? min(1, 1 / norm) : 1
            let found = search(from: current, along: direction, first: step, &evaluations, objective)
            guard let found else {
                // Old curvature may have misled: once more along the gradient, then no further.
                if history.isEmpty { ending = .lineSearch } else { history.removeAll() }
                continue
            }
            iterations += 1
            history.append(from: current, to: found)
            let fall = current.value - found.value
            current = found
            if fall <= valueTolerance * max(1, abs(found.value)), valueTolerance > 0 { ending = .value }
        }
        return Result(
            point: current.point, value: current.value, gradient: current.gradient, iterations: iterations,
            evaluations: evaluations, ending: ending)
    }

    static func dot(_ a: [Double], _ b: [Double]) -> Double {
        var sum = 0.0
        for index in a.indices { sum += a[index] * b[index] }
        return sum
    }
}

// MARK: - Curvature

extension LBFGS {
    fileprivate struct Place {
        var point: [Double]
        var value: Double
        var gradient: [Double]
    }

    /// The last steps and changes of the gradient, which stand for the inverse Hessian matrix.
    fileprivate struct History {
        private struct Pair {
            var step: [Double]
            var change: [Double]
            /// 1 / stepᵀ change.
            var scale: Double
        }

        let limit: Int
        private var pairs: [Pair] = []

        init(limit: Int) { self.limit = max(1, limit) }

        var isEmpty: Bool { pairs.isEmpty }

        mutating func removeAll() { pairs.removeAll() }

        /// Takes in a step, unless the curvature along it is not positive.
        mutating func append(from old: Place, to new: Place) {
            let step = zip(new.point, old.point).map { $0 - $1 }
            let change = zip(new.gradient, old.gradient).map { $0 - $1 }
            let product = LBFGS.dot(step, change)
            guard product > 1e-16 * LBFGS.dot(change, change).squareRoot() * LBFGS.dot(step, step).squareRoot() else {
                return
            }
            if pairs.count == limit { pairs.removeFirst() }
            pairs.append(Pair(step: step, change: change, scale: 1 / product))
        }

        /// −H g by the two-loop recursion (Nocedal and Wright, algorithm 7.4).
        func direction(_ gradient: [Double]) -> [Double] {
            var result = gradient.map { -$0 }
            guard let last = pairs.last else { return result }
            var weights: [Double] = []
            for pair in pairs.reversed() {
                let weight = pair.scale * LBFGS.dot(pair.step, result)
                weights.append(weight)
                for index in result.indices { result[index] -= weight * pair.change[index] }
            }
            let initial = 1 / (last.scale * LBFGS.dot(last.change, last.change))
            for index in result.indices { result[index] *= initial }
            for (pair, weight) in zip(pairs, weights.reversed()) {
                let correction = weight - pair.scale * LBFGS.dot(pair.change, result)
                for index in result.indices { result[index] += correction * pair.step[index] }
            }
            return result
        }
    }
}

// MARK: - Line search

extension LBFGS {
    /// A step along the direction.
    private struct Trial {
        var step: Double
        var place: Place
        var slope: Double
        var value: Double { place.value }
    }

    /// A step that satisfies the strong Wolfe conditions (Nocedal and Wright, algorithms 3.5 and 3.6), or the lowest one
    /// with sufficient decrease that was tried; nil where there is none.
    private func search(
        from start: Place, along direction: [Double], first: Double, _ evaluations: inout Int, _ objective: Objective
    ) -> Place? {
        let slope = Self.dot(direction, start.gradient)
        let origin = Trial(step: 0, place: start, slope: slope)
        var best: Trial?
        func evaluate(_ step: Double) -> Trial {
            evaluations += 1
            let point = zip(start.point, direction).map { $0 + step * $1 }
            let (value, gradient) = objective(point)
            let trial = Trial(
                step: step, place: Place(point: point, value: value, gradient: gradient),
                slope: Self.dot(direction, gradient))
            if isLow(trial), value < (best?.value ?? start.value) { best = trial }
            return trial
        }
        func isLow(_ trial: Trial) -> Bool {
            trial.value.isFinite && trial.slope.isFinite
                && trial.value <= start.value + sufficientDecrease * trial.step * slope
        }
        func isFlat(_ trial: Trial) -> Bool { abs(trial.slope) <= -curvature * slope }

        var previous = origin
        var step = first
        for attempt in 0..<30 {
            let trial = evaluate(step)
            if !isLow(trial) || (attempt > 0 && trial.value >= previous.value) {
                return zoom(low: previous, high: trial, evaluate, isLow, isFlat) ?? best?.place
            }
            if isFlat(trial) { return trial.place }
            if trial.slope >= 0 { return zoom(low: trial, high: previous, evaluate, isLow, isFlat) ?? best?.place }
            previous = trial
            step *= 2
        }
        return best?.place
    }

    /// Narrows a bracket until a step satisfies both conditions.
    private func zoom(
        low: Trial, high: Trial, _ evaluate: (Double) -> Trial, _ isLow: (Trial) -> Bool,
        _ isFlat: (Trial) -> Bool
    ) -> Place? {
        var (low, high) = (low, high)
        for _ in 0..<40 {
            let trial = evaluate(Self.interpolated(low, high))
            if !isLow(trial) || trial.value >= low.value {
                high = trial
            } else {
                if isFlat(trial) { return trial.place }
                if trial.slope * (high.step - low.step) >= 0 { high = low }
                low = trial
            }
            if abs(high.step - low.step) <= 1e-16 * max(1, abs(low.step)) { break }
        }
        return nil
    }

    /// The minimum of the cubic through both values and slopes (Nocedal and Wright, equation 3.59), kept away from the
    /// ends; the middle where the cubic has none.
    private static func interpolated(_ a: Trial, _ b: Trial) -> Double {
        let middle = (a.step + b.step) / 2
        guard b.value.isFinite, b.slope.isFinite else { return middle }
        let width = b.step - a.step
        let d1 = a.slope + b.slope - 3 * (a.value - b.value) / (a.step - b.step)
        let radicand = d1 * d1 - a.slope * b.slope
        guard radicand >= 0 else { return middle }
        let d2 = width < 0 ? -radicand.squareRoot() : radicand.squareRoot()
        let step = b.step - width * (b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2)
        let margin = 0.1 * abs(width)
        let range = (min(a.step, b.step) + margin)...(max(a.step, b.step) - margin)
        return step.isFinite && range.contains(step) ? step : middle
    }
}
