import CoppiceTensors

/// The Gini coefficient of magnitudes, the measure of sparsity that ``PQIndex`` is compared with.
///
/// Hurley and Rickard, "Comparing measures of sparsity" (2009): Σᵢ (2i − N − 1) |w|₍ᵢ₎ / (N Σ|w|) over magnitudes in
/// rising order, i from 1; 0 where all are equal, 1 − 1/N where one is not zero.
public enum GiniIndex {
    /// The coefficient of a tensor's elements, of those that a mask keeps where there is one; 0 for none and for zeros.
    ///
    /// - Parameter values: f32 (others are converted), any shape; sums are in f64.
    /// - Throws: `.badData` for a number that is not finite.
    /// - Complexity: O(N), a sort by digits.
    public static func value(of values: Tensor, mask: WeightMask? = nil) throws -> Double {
        let own = values.detached().converted(to: .f32).contiguous()
        try ExactSelection.checkFinite(own, name: "weights")
        var magnitudes = Magnitudes()
        magnitudes.add(own, mask: mask, countsZeros: true)
        return magnitudes.giniIndex()
    }

    /// Magnitudes of several tensors together, as the bits that sort as they do.
    struct Magnitudes {
        private var bits: [UInt32] = []

        /// Takes in f32 elements, finite ones.
        mutating func add(_ values: Tensor, mask: WeightMask? = nil, countsZeros: Bool) {
            precondition(
                (mask?.count ?? values.count) == values.count,
                "a mask of \(mask?.count ?? 0) for \(values.count) weights")
            bits.reserveCapacity(bits.count + (mask?.keptCount ?? values.count))
            values.contiguous().withElements(Float.self) { elements in
                for (index, element) in elements.enumerated() {
                    if let mask, mask.words[index / 64] >> UInt64(index % 64) & 1 == 0 { continue }
                    let magnitude = element.bitPattern & 0x7fff_ffff
                    if countsZeros || magnitude != 0 { bits.append(magnitude) }
                }
            }
        }

        /// The coefficient; what was taken in is sorted by it.
        mutating func giniIndex() -> Double {
            sort()
            let count = Double(bits.count)
            var (weighted, total) = (0.0, 0.0)
            for (index, own) in bits.enumerated() {
                let magnitude = Double(Float(bitPattern: own))
                weighted += (2 * Double(index + 1) - count - 1) * magnitude
                total += magnitude
            }
            return total > 0 ? weighted / (count * total) : 0
        }

        /// By three digits of 11 bits, the lowest first.
        private mutating func sort() {
            guard bits.count > 1 << 12 else { return bits.sort() }
            var other = [UInt32](repeating: 0, count: bits.count)
            for shift: UInt32 in [0, 11, 22] {
                var places = [Int](repeating: 0, count: 1 << 11)
                places.withUnsafeMutableBufferPointer { places in
                    for own in bits { places[Int(own >> shift & 2047)] += 1 }
                    var start = 0
                    for digit in places.indices { (places[digit], start) = (start, start + places[digit]) }
                    other.withUnsafeMutableBufferPointer { other in
                        for own in bits {
                            let digit = Int(own >> shift & 2047)
                            other[places[digit]] = own
                            places[digit] += 1
                        }
                    }
                }
                swap(&bits, &other)
            }
        }
    }
}
