/// The best continuous curve of two straight segments through some points, in least squares.
///
/// Every breakpoint is considered, between the points as well as on them (Hudson, "Fitting segmented curves whose
/// join points have to be estimated", 1966): in each gap the optimum is where the two sides' own regression lines
/// meet, if they meet inside the gap, and at one of its ends otherwise.
public struct TwoSegmentFit: Sendable, Hashable, Codable {
    /// Abscissa of the breakpoint.
    public var breakpoint: Double
    /// Ordinate of the breakpoint.
    public var value: Double
    /// Slope left of the breakpoint.
    public var slopeBefore: Double
    /// Slope right of the breakpoint.
    public var slopeAfter: Double
    /// Sum of squared residuals.
    public var squaredError: Double

    /// Fits points with strictly increasing abscissas. Nil for fewer than four points, which two segments always fit.
    ///
    /// - Complexity: O(n²).
    public init?(_ xs: [Double], _ ys: [Double]) {
        precondition(xs.count == ys.count, "one ordinate a point")
        guard xs.count >= 4 else { return nil }
        precondition(zip(xs, xs.dropFirst()).allSatisfy(<), "abscissas must increase")
        var best: TwoSegmentFit?
        func consider(_ candidate: TwoSegmentFit) {
            // Strictly better by more than rounding, so that the first of several perfect fits is taken.
            if let current = best, !(candidate.squaredError < current.squaredError * (1 - 1e-9)) { return }
            best = candidate
        }
        for index in 1..<(xs.count - 1) { consider(Self(xs, ys, breakpoint: xs[index])) }
        for last in 1..<(xs.count - 2) {
            let left = Self.line(xs[...last], ys[...last])
            let right = Self.line(xs[(last + 1)...], ys[(last + 1)...])
            guard left.slope != right.slope else { continue }
            let crossing = (right.intercept - left.intercept) / (left.slope - right.slope)
            if crossing > xs[last] && crossing < xs[last + 1] { consider(Self(xs, ys, breakpoint: crossing)) }
        }
        guard let best else { return nil }
        self = best
    }

    /// The least-squares fit with a given breakpoint: y = v + a·min(x − b, 0) + c·max(x − b, 0).
    private init(_ xs: [Double], _ ys: [Double], breakpoint: Double) {
        // Normal equations of the three unknowns (v, a, c); a and c do not meet, so the matrix is an arrow.
        var n = 0.0, leftX = 0.0, leftXX = 0.0, rightX = 0.0, rightXX = 0.0
        var sumY = 0.0, leftXY = 0.0, rightXY = 0.0
        for (x, y) in zip(xs, ys) {
            let distance = x - breakpoint
            n += 1
            sumY += y
            if distance < 0 {
                leftX += distance
                leftXX += distance * distance
                leftXY += distance * y
            } else {
                rightX += distance
                rightXX += distance * distance
                rightXY += distance * y
            }
        }
        let pivot = n - leftX * leftX / leftXX - rightX * rightX / rightXX
        let value = (sumY - leftX * leftXY / leftXX - rightX * rightXY / rightXX) / pivot
        let before = (leftXY - leftX * value) / leftXX
        let after = (rightXY - rightX * value) / rightXX
        self.breakpoint = breakpoint
        self.value = value
        slopeBefore = before
        slopeAfter = after
        squaredError = zip(xs, ys).reduce(0) { sum, point in
            let distance = point.0 - breakpoint
            let residual = point.1 - (value + (distance < 0 ? before : after) * distance)
            return sum + residual * residual
        }
    }

    private static func line(_ xs: ArraySlice<Double>, _ ys: ArraySlice<Double>) -> (slope: Double, intercept: Double) {
        let meanX = xs.reduce(0, +) / Double(xs.count)
        let meanY = ys.reduce(0, +) / Double(ys.count)
        var covariance = 0.0
        var variance = 0.0
        for (x, y) in zip(xs, ys) {
            covariance += (x - meanX) * (y - meanY)
            variance += (x - meanX) * (x - meanX)
        }
        let slope = covariance / variance
        return (slope, meanY - slope * meanX)
    }
}
