import CKernels
import CoppiceTensors
import Foundation

/// How compressible a vector is: I = 1 − d^(1/q − 1/p) ‖w‖ₚ / ‖w‖_q with 0 < p < q, between 0 (all magnitudes equal)
/// and 1 − d^(1/q − 1/p) (one number that is not zero).
///
/// Diao et al., "Pruning deep neural networks from a sparsity perspective" (2023), definition 1: a ratio of norms that
/// does not depend on the scale of w nor on copies of it, grows when zeros are added and falls when the large gives to
/// the small. d counts the weights that are there, not those that were removed. The index is 0 for an empty vector and
/// for zeros.
///
/// ```swift
/// let index = try PQIndex(p: 0.5, q: 1).value(of: weights)
/// ```
public struct PQIndex: Sendable, Hashable {
    public let p: Double
    public let q: Double

    /// - Throws: `.usage` unless 0 < p < q ≤ 64.
    public init(p: Double, q: Double) throws {
        guard p > 0, p < q, q <= 64 else {
            throw CoppiceError(.usage, field: "p, q", "\(p) and \(q), expected 0 < p < q ≤ 64")
        }
        (self.p, self.q) = (p, q)
    }

    /// p = 1/2, q = 1: the gentler of the paper's two settings.
    public static let gentle = PQIndex(half: ())
    /// p = 1, q = 2: the more aggressive of the paper's two settings.
    public static let aggressive = PQIndex(unit: ())

    private init(half: Void) { (p, q) = (0.5, 1) }
    private init(unit: Void) { (p, q) = (1, 2) }

    /// The index of a tensor's elements, of those that a mask keeps where there is one.
    ///
    /// Powers of 1/2, 1 and 2 are taken in f64, others in f32; sums are in f64.
    ///
    /// - Parameters:
    ///   - values: f32 (others are converted), any shape.
    ///   - mask: over as many elements; what it removes does not count, whatever its value.
    /// - Throws: `.badData` for a number that is not finite.
    /// - Complexity: O(d), one pass, threaded.
    public func value(of values: Tensor, mask: WeightMask? = nil) throws -> Double {
        value(try sums(of: values, mask: mask))
    }

    /// The index of each row of a matrix, of what a mask keeps of it.
    ///
    /// - Parameter values: f32 `[rows, columns]`.
    /// - Throws: `.badData` for a number that is not finite.
    public func values(ofRows values: Tensor, mask: WeightMask? = nil) throws -> [Double] {
        precondition(values.rank == 2, "rows of a tensor of shape \(values.shape)")
        return try rowSums(values, mask: mask).map(value)
    }

    /// The index that sums of powers say: exp(ln(Σ|w|ᵖ)/p − ln(Σ|w|^q)/q + (1/q − 1/p) ln d) from 1.
    func value(_ sums: PowerSums) -> Double {
        guard sums.count > 0, sums.first > 0, sums.second > 0 else { return 0 }
        let ratio = log(sums.first) / p - log(sums.second) / q + (1 / q - 1 / p) * log(Double(sums.count))
        return max(0, -expm1(ratio))
    }

    /// The least number of weights r for which all others can hold no more than the part η of their Σ|w|ᵖ:
    /// r ≥ d (1 + η)^(−q/(q − p)) (1 − I)^(pq/(q − p)), theorem 1 of the paper.
    ///
    /// - Parameters:
    ///   - index: I of the d weights.
    ///   - tail: η ≥ 0.
    /// - Returns: a number between 0 and d, not rounded.
    public func leastRetained(of count: Int, index: Double, tail: Double = 0) -> Double {
        precondition((0...1).contains(index) && tail >= 0, "an index of \(index), a tail of \(tail)")
        return Double(count) * pow(1 + tail, -q / (q - p)) * pow(1 - index, p * q / (q - p))
    }

    // MARK: Sums

    /// Sums of powers that make an index, of one vector or of several together.
    struct PowerSums {
        /// d.
        var count = 0
        /// How many of them are not zero.
        var nonZeroCount = 0
        /// The sums are of numbers divided by 2^exponent.
        var exponent = 0.0
        var first = 0.0
        var second = 0.0
    }

    /// The sums of both vectors together.
    func joined(_ a: PowerSums, _ b: PowerSums) -> PowerSums {
        // Zeros have exponent 0 and nothing to say about the scale.
        let count = a.count + b.count
        guard a.first > 0 else { return PowerSums(b, count: count) }
        guard b.first > 0 else { return PowerSums(a, count: count) }
        let exponent = max(a.exponent, b.exponent)
        func scaled(_ sum: Double, _ own: PowerSums, _ power: Double) -> Double {
            sum * exp2(power * (own.exponent - exponent))
        }
        return PowerSums(
            count: count, nonZeroCount: a.nonZeroCount + b.nonZeroCount, exponent: exponent,
            first: scaled(a.first, a, p) + scaled(b.first, b, p),
            second: scaled(a.second, a, q) + scaled(b.second, b, q))
    }

    func sums(of values: Tensor, mask: WeightMask?) throws -> PowerSums {
        try sums(of: values.reshaped([1, values.count]), counts: [mask?.keptCount ?? values.count], mask: mask)[0]
    }

    func rowSums(_ values: Tensor, mask: WeightMask?) throws -> [PowerSums] {
        let counts = mask?.keptCountsOfRows ?? Array(repeating: values.shape[1], count: values.shape[0])
        return try sums(of: values, counts: counts, mask: mask)
    }

    private func sums(of values: Tensor, counts: [Int], mask: WeightMask?) throws -> [PowerSums] {
        var own = values.detached().converted(to: .f32).contiguous()
        let (rows, columns) = (own.shape[0], own.shape[1])
        if let mask, mask.removedCount > 0 {
            precondition(mask.count == own.count, "a mask of \(mask.count) for \(own.count) weights")
            own = own.copied()
            own.withMutableElements(Float.self) { mask.apply(to: $0) }  // 0ᵖ adds nothing
        }
        var sums = [coppice_power_sum](repeating: coppice_power_sum(), count: rows)
        own.withElements(Float.self) { elements in
            guard let base = elements.baseAddress else { return }
            coppice_power_sums(base, rows, columns, p, q, &sums)
        }
        if sums.contains(where: { $0.is_finite == 0 }) {
            try ExactSelection.checkFinite(own, name: "weights")
        }
        return zip(sums, counts).map {
            PowerSums(
                count: $1, nonZeroCount: $0.nonzero, exponent: $0.exponent, first: $0.first, second: $0.second)
        }
    }
}

extension PQIndex.PowerSums {
    init(_ other: PQIndex.PowerSums, count: Int) {
        self = other
        self.count = count
    }
}
