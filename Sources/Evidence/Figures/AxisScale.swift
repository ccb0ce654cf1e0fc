import Foundation

/// An axis: the range that it covers, round tick values, and where a value lies.
public struct AxisScale: Sendable, Hashable {
    /// How values are spaced.
    public enum Spacing: Sendable, Hashable {
        case linear
        /// By their logarithms; values of zero and below have no place.
        case logarithmic
    }

    public let spacing: Spacing
    /// Ends of the axis; `low < high`.
    public let low: Double
    public let high: Double
    /// Increasing values within the ends.
    public let ticks: [Double]

    /// The smallest round axis that covers the values. Values that are not finite (or not positive on a logarithmic
    /// axis) are left out; without any other value the axis runs from 0 to 1 (from 1 to 10).
    ///
    /// - Parameter includesZero: whether a linear axis starts (or ends) at zero, as bars must.
    public init(covering values: some Sequence<Double>, spacing: Spacing = .linear, includesZero: Bool = false) {
        self.spacing = spacing
        // Beyond this, differences of values overflow.
        let usable = values.filter { $0.isFinite && abs($0) <= 1e300 && (spacing == .linear || $0 >= 1e-300) }
        switch spacing {
        case .linear: (low, high, ticks) = Self.linear(usable, includesZero: includesZero)
        case .logarithmic: (low, high, ticks) = Self.logarithmic(usable)
        }
    }

    /// Where a value lies: 0 at the low end, 1 at the high end, not limited to the axis. Nil for a value without place.
    public func position(_ value: Double) -> Double? {
        guard value.isFinite else { return nil }
        switch spacing {
        case .linear: return (value - low) / (high - low)
        case .logarithmic: return value > 0 ? log(value / low) / log(high / low) : nil
        }
    }

    private static func linear(_ values: [Double], includesZero: Bool) -> (Double, Double, [Double]) {
        var low = values.min() ?? 0
        var high = values.max() ?? 1
        if includesZero { (low, high) = (min(low, 0), max(high, 0)) }
        // Steps between numbers this small would vanish.
        if max(abs(low), abs(high)) < 1e-290 { (low, high) = (0, 1) }
        if !(high - low > max(abs(low), abs(high)) * 1e-9) {
            let pad = low == 0 ? 1 : abs(low) * 0.1
            if low == 0 || includesZero { high = max(high, low + pad) } else { (low, high) = (low - pad, high + pad) }
        }
        let rough = (high - low) / 5
        let power = pow(10, floor(log10(rough)))
        let step = [1.0, 2, 2.5, 5, 10].map { $0 * power }.first { $0 >= rough * 0.999 } ?? rough
        let first = (low / step + 1e-9).rounded(.down)
        let last = max(first + 1, (high / step - 1e-9).rounded(.up))
        let count = min(20, Int(last - first))
        let ticks = (0...count).map { (first + Double($0)) * step }
        return (ticks[0], ticks[count], ticks)
    }

    private static func logarithmic(_ values: [Double]) -> (Double, Double, [Double]) {
        guard let smallest = values.min(), let largest = values.max() else { return (1, 10, [1, 2, 5, 10]) }
        // Steps of a 1-2-5 series, numbered through.
        func value(_ index: Int) -> Double {
            let decade = Int((Double(index) / 3).rounded(.down))
            return [1.0, 2, 5][index - decade * 3] * pow(10, Double(decade))
        }
        var first = Int(floor(log10(smallest))) * 3
        while value(first + 1) <= smallest * (1 + 1e-9) { first += 1 }
        var last = first + 1
        while value(last) < largest * (1 - 1e-9) { last += 1 }
        let steps = last - first
        // Past three decades only powers of ten, past eight of them not all.
        let stride = steps <= 9 ? 1 : 3 * max(1, steps / 24)
        if stride > 1 {
            first = Int((Double(first) / 3).rounded(.down)) * 3
            last = Int((Double(last) / 3).rounded(.up)) * 3
        }
        let ticks = Swift.stride(from: first, through: last, by: stride).map(value)
        return (value(first), value(last), ticks)
    }
}
