import CoppiceTensors
import Foundation

/// How badly a scaling law fits runs: the sum of Huber's losses of ln L̂ − ln L.
///
/// With a = ln A, b = ln B and e = ln E, ln L̂ is the logarithm of a sum of exponentials, log-sum-exp of a − α ln N,
/// b − β ln D and e. Logarithms of N and D are taken about their means, since otherwise a and α, b and β could hardly
/// be told apart by an optimizer. An exponent is ``largestExponent`` times the sine of a variable without bounds, so that
/// a minimum at the bound is one that an optimizer finds (James and Roos, "Minuit", 1975).
///
/// Source: Hoffmann et al. (2022), equation 3.
struct ScalingLawObjective {
    /// a, b (about the means), e, and the angles whose sines are α and β by their bound.
    typealias Point = [Double]

    /// δ: errors of ln L beyond it count linearly.
    let threshold: Double
    private let sizes: [Double]
    private let tokens: [Double]
    private let losses: [Double]
    private let meanSize: Double
    private let meanTokens: Double

    init(_ runs: [ScalingRun], threshold: Double) {
        self.threshold = threshold
        let count = Double(max(1, runs.count))
        let logSizes = runs.map { log($0.averageParameters) }
        let logTokens = runs.map { log($0.tokens) }
        let (meanSize, meanTokens) = (logSizes.reduce(0, +) / count, logTokens.reduce(0, +) / count)
        self.meanSize = meanSize
        self.meanTokens = meanTokens
        sizes = logSizes.map { $0 - meanSize }
        tokens = logTokens.map { $0 - meanTokens }
        losses = runs.map { log($0.loss) }
    }

    /// The bound of exponents: one that comes up to it is not determined by the runs, whose sizes or token counts hardly
    /// differ; beyond it A or B would be too large for a number.
    static let largestExponent = 4.0

    /// The value in units of δ² and its gradient. O(runs).
    func callAsFunction(_ point: Point) -> (value: Double, gradient: [Double]) {
        let (a, b, e) = (point[0], point[1], point[2])
        let (alpha, beta) = (Self.largestExponent * sin(point[3]), Self.largestExponent * sin(point[4]))
        var value = 0.0
        var gradient = [Double](repeating: 0, count: 5)
        for index in losses.indices {
            let (x, y) = (sizes[index], tokens[index])
            let (first, second) = (a - alpha * x, b - beta * y)
            let largest = max(first, second, e)
            let (p, q, r) = (exp(first - largest), exp(second - largest), exp(e - largest))
            let sum = p + q + r
            let error = (largest + log(sum) - losses[index]) / threshold
            let isSmall = abs(error) <= 1
            value += isSmall ? error * error / 2 : abs(error) - 0.5
            let slope = (isSmall ? error : (error < 0 ? -1 : 1)) / (threshold * sum)
            gradient[0] += slope * p
            gradient[1] += slope * q
            gradient[2] += slope * r
            gradient[3] -= slope * p * x
            gradient[4] -= slope * q * y
        }
        for place in 3...4 { gradient[place] *= Self.largestExponent * cos(point[place]) }
        return (value, gradient)
    }

    /// The point of the logarithms a and b themselves.
    func point(a: Double, b: Double, e: Double, alpha: Double, beta: Double) -> Point {
        // A little inside the bound, where the angle still has a slope.
        func angle(_ exponent: Double) -> Double { asin(max(-0.999, min(0.999, exponent / Self.largestExponent))) }
        return [a - alpha * meanSize, b - beta * meanTokens, e, angle(alpha), angle(beta)]
    }

    func point(of law: ScalingLaw) -> Point {
        point(
            a: log(law.parameterScale), b: log(law.tokenScale), e: log(law.irreducibleLoss),
            alpha: law.parameterExponent, beta: law.tokenExponent)
    }

    func law(at point: Point) -> ScalingLaw {
        let (alpha, beta) = (Self.largestExponent * sin(point[3]), Self.largestExponent * sin(point[4]))
        return ScalingLaw(
            irreducibleLoss: exp(point[2]), parameterScale: exp(point[0] + alpha * meanSize),
            tokenScale: exp(point[1] + beta * meanTokens), parameterExponent: alpha, tokenExponent: beta)
    }
}
