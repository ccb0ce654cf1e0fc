import CoppiceTensors
import Foundation

/// A scaling law fitted to runs.
///
/// ```swift
/// let fit = try ScalingLawFit(ScalingRun.load("runs.csv"))
/// fit.law.loss(parameters: 1e9, tokens: 2e10)
/// ```
///
/// L-BFGS minimizes Huber's loss of ln L from the best of a grid of 4,500 starts, with exponents of at most
/// ``largestExponent``; the lowest minimum is taken. Intervals are those of fits to runs drawn with replacement.
///
/// Source: Hoffmann et al., "Training compute-optimal large language models" (2022), section 3.3 and D.2.
public struct ScalingLawFit: Sendable, Hashable {
    /// How a fit is made.
    public struct Options: Sendable, Hashable {
        /// δ of Huber's loss, in ln L.
        public var threshold = 1e-3
        /// Starts that L-BFGS is run from: the best of the grid.
        public var startCount = 100
        /// Draws of runs that intervals come from; 0 for no intervals.
        public var bootstrapCount = 200
        public var seed: UInt64 = 42

        public init() {}
    }

    /// Intervals that hold 95 % of the fits to runs drawn with replacement.
    public struct Intervals: Sendable, Hashable, Codable {
        public var irreducibleLoss: ClosedRange<Double>
        public var parameterScale: ClosedRange<Double>
        public var tokenScale: ClosedRange<Double>
        public var parameterExponent: ClosedRange<Double>
        public var tokenExponent: ClosedRange<Double>
    }

    /// An exponent of the law.
    public enum Exponent: String, Sendable, Hashable, CaseIterable {
        /// α, of the size.
        case alpha
        /// β, of the tokens.
        case beta
    }

    /// The largest exponent that a fit has.
    public static let largestExponent = ScalingLawObjective.largestExponent

    public let law: ScalingLaw
    /// The mean of Huber's losses at the law, in units of δ².
    public let objective: Double
    /// nil where none were asked for.
    public let intervals: Intervals?
    public let runs: [ScalingRun]

    /// Fits a law.
    ///
    /// - Throws: `.badData` for fewer than six runs, or runs of fewer than two sizes or token counts: five numbers
    ///   cannot be told from them.
    /// - Complexity: O(runs) for each of some thousand evaluations a start.
    public init(_ runs: [ScalingRun], options: Options = Options(), source: String? = nil) throws {
        guard runs.count >= 6 else {
            throw CoppiceError(.badData, source: source, "has \(runs.count) runs, expected at least 6 to fit a law")
        }
        for (name, values) in [("size", runs.map(\.averageParameters)), ("token count", runs.map(\.tokens))]
        where Set(values).count < 2 {
            throw CoppiceError(
                .badData, source: source, "has runs of a single \(name), expected at least two to fit a law")
        }
        if let wrong = runs.first(where: { !($0.averageParameters > 0 && $0.tokens > 0 && $0.loss > 0) }) {
            throw CoppiceError(.badData, source: source, "has a run with numbers that are not above 0: \(wrong)")
        }
        self.runs = runs
        let objective = ScalingLawObjective(runs, threshold: options.threshold)
        let starts = Self.starts(objective, count: options.startCount)
        let best = Self.minimum(objective, from: starts)
        let law = objective.law(at: best.point)
        self.law = law
        self.objective = best.value / Double(runs.count)
        intervals = Self.intervals(runs, law, options)
    }

    /// Exponents at ``largestExponent``: the runs do not determine them, since they have too few sizes or token counts, or
    /// such that lie too close.
    public var undetermined: [Exponent] {
        Exponent.allCases.filter { exponent in
            let value =
                switch exponent {
                case .alpha: law.parameterExponent
                case .beta: law.tokenExponent
                }
            return abs(value) > 0.999 * Self.largestExponent
        }
    }

    /// The mean of |L̂ − L| / L over some runs.
    public static func meanRelativeError(
        of law: ScalingLaw, on runs: [ScalingRun], parameters: (ScalingRun) -> Double = \.averageParameters
    ) -> Double {
        let errors = runs.map { abs(law.loss(parameters: parameters($0), tokens: $0.tokens) - $0.loss) / $0.loss }
        return errors.reduce(0, +) / Double(max(1, errors.count))
    }

    // MARK: - Minimization

    /// The grid of Hoffmann et al., the best first.
    private static func starts(_ objective: ScalingLawObjective, count: Int) -> [ScalingLawObjective.Point] {
        let scales = stride(from: 0.0, through: 25, by: 5)
        let floors = stride(from: -1.0, through: 1, by: 0.5)
        let exponents = stride(from: 0.0, through: 2, by: 0.5)
        var points: [(value: Double, point: ScalingLawObjective.Point)] = []
        for a in scales {
            for b in scales {
                for e in floors {
                    for alpha in exponents {
                        for beta in exponents {
                            let point = objective.point(a: a, b: b, e: e, alpha: alpha, beta: beta)
                            points.append((objective(point).value, point))
                        }
                    }
                }
            }
        }
        let order = points.indices.sorted { (points[$0].value, $0) < (points[$1].value, $1) }
        return order.prefix(max(1, count)).map { points[$0].point }
    }

    private static func minimum(
        _ objective: ScalingLawObjective, from starts: [ScalingLawObjective.Point]
    ) -> LBFGS.Result {
        var method = LBFGS()
        method.maximumIterations = 2_000
        var best: LBFGS.Result?
        for start in starts {
            let found = method.minimize(from: start) { objective($0) }
            if found.value < (best?.value ?? .infinity) { best = found }
        }
        return best ?? method.minimize(from: starts[0]) { objective($0) }
    }

    // MARK: - Intervals

    private static func intervals(_ runs: [ScalingRun], _ law: ScalingLaw, _ options: Options) -> Intervals? {
        guard options.bootstrapCount > 0 else { return nil }
        var generator = RandomGenerator(seed: options.seed)
        var laws: [ScalingLaw] = []
        while laws.count < options.bootstrapCount {
            let drawn = runs.indices.map { _ in runs[Int.random(in: 0..<runs.count, using: &generator)] }
            // Draws of one size or token count say nothing about the law.
            guard Set(drawn.map(\.averageParameters)).count > 1, Set(drawn.map(\.tokens)).count > 1 else { continue }
            let objective = ScalingLawObjective(drawn, threshold: options.threshold)
            let starts = [objective.point(of: law)] + starts(objective, count: 4)
            laws.append(objective.law(at: minimum(objective, from: starts).point))
        }
        func interval(_ value: (ScalingLaw) -> Double) -> ClosedRange<Double> {
            let sorted = laws.map(value).sorted()
            func quantile(_ part: Double) -> Double { sorted[Int((part * Double(sorted.count - 1)).rounded())] }
            return quantile(0.025)...quantile(0.975)
        }
        return Intervals(
            irreducibleLoss: interval(\.irreducibleLoss), parameterScale: interval(\.parameterScale),
            tokenScale: interval(\.tokenScale), parameterExponent: interval(\.parameterExponent),
            tokenExponent: interval(\.tokenExponent))
    }
}
