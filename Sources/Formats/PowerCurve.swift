import CoppiceTensors
import Foundation

/// The levels of power quantization: v(c) = sign(c) |c / m|^(1/a) for codes c in -m ... m, m = 2^(bits-1) - 1.
///
/// Rounding |w / M|^a to multiples of 1/m and going back is uniform quantization on a bent axis; a = 1 is the straight
/// one, smaller exponents put more levels near 0 (PowerQuant, arXiv:2301.09858; NUPES, arXiv:2308.05600).
public struct PowerCurve: Sendable, Hashable {
    /// 2, 3 or 4.
    public let bits: Int
    /// a, in (0, 1].
    public let exponent: Double

    /// - Precondition: 2 to 4 bits, and an exponent in (0, 1].
    public init(bits: Int, exponent: Double) {
        precondition((2...4).contains(bits) && exponent > 0 && exponent <= 1, "\(bits) bits, exponent \(exponent)")
        self.bits = bits
        self.exponent = exponent
    }

    /// The largest code m.
    public var largestCode: Int { 1 << (bits - 1) - 1 }

    /// The levels 0, 1/m^(1/a) … 1, of codes 0 ... m.
    public var levels: [Double] {
        (0...largestCode).map { pow(Double($0) / Double(largestCode), 1 / exponent) }
    }

    /// The levels as integers of 8 bits, ascending; the last one is there twice, as there are 2^bits - 1 codes.
    ///
    /// They are multiples of 1/n for the n in 64 ... 127 that fits them best: uniform levels (a = 1) and squares
    /// (a = 1/2) are exact.
    var table: CodebookSearch.Tables {
        let levels = levels
        let error = { (n: Int) -> Double in
            levels.reduce(0) { sum, level in
                let rest = (level * Double(n)).rounded() / Double(n) - level
                return sum + rest * rest
            }
        }
        // Of equally good ones the largest.
        let best = (64...127).min { (error($0), -$0) < (error($1), -$1) } ?? 127
        let positive = levels.map { Int8(($0 * Double(best)).rounded()) }
        let all = positive.dropFirst().reversed().map { -$0 } + positive + [positive[largestCode]]
        return CodebookSearch.Tables(values: Tensor(all, shape: [1, all.count]), reach: [127 / Float(best)])
    }

    /// The squared error of magnitudes in 0 ... 1 that are rounded to the nearest level, less the sum of their squares.
    ///
    /// - Parameters:
    ///   - weights: of the magnitudes in each bin; bin i of n is around i / (n - 1).
    ///   - sums: of weight · magnitude.
    func error(weights: [Double], sums: [Double]) -> Double {
        let levels = levels
        let middles = zip(levels, levels.dropFirst()).map { ($0 + $1) / 2 * Double(weights.count - 1) }
        var level = 0
        var total = 0.0
        for bin in weights.indices where weights[bin] != 0 {
            while level < middles.count, Double(bin) > middles[level] { level += 1 }
            total += levels[level] * (levels[level] * weights[bin] - 2 * sums[bin])
        }
        return total
    }

    /// The exponent with the least error: the best of 17 from 0.2 to 1, improved by golden sections to 0.001.
    static func bestExponent(bits: Int, weights: [Double], sums: [Double]) -> Double {
        // Two bits have the levels -1, 0 and 1 whatever the exponent.
        if bits == 2 { return 1 }
        let error = { PowerCurve(bits: bits, exponent: $0).error(weights: weights, sums: sums) }
        let step = 0.05
        let grid = (0...16).map { 0.2 + Double($0) * step }
        let best = grid.min { error($0) < error($1) } ?? 1
        var low = max(0.2, best - step), high = min(1, best + step)
        let ratio = (5.0.squareRoot() - 1) / 2
        var a = high - ratio * (high - low), b = low + ratio * (high - low)
        var (errorA, errorB) = (error(a), error(b))
        while high - low > 1e-3 {
            if errorA <= errorB {
                (high, b, errorB) = (b, a, errorA)
                a = high - ratio * (high - low)
                errorA = error(a)
            } else {
                (low, a, errorA) = (a, b, errorB)
                b = low + ratio * (high - low)
                errorB = error(b)
            }
        }
        let found = (low + high) / 2
        return error(found) <= error(best) ? (found * 1000).rounded() / 1000 : best
    }
}
