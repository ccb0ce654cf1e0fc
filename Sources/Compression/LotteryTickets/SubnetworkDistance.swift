import CoppiceTensors
import Foundation

/// How far two trainings of a sparse network ended from each other, over the weights that it keeps: what "stable" means
/// of a ticket.
///
/// Frankle, Dziugaite, Roy and Carbin, "Stabilizing the lottery ticket hypothesis" (2019), section 3: stability to
/// pruning compares the ticket's training with the dense network's, stability to data order two trainings of the
/// ticket.
public struct SubnetworkDistance: Sendable, Hashable, Codable {
    /// ‖a − b‖₂.
    public let euclidean: Double
    /// The angle between a and b in radians, from 0 to π; 0 where one is zero.
    public let angle: Double

    /// A distance from elsewhere.
    package init(euclidean: Double, angle: Double) {
        self.euclidean = euclidean
        self.angle = angle
    }

    /// - Parameters:
    ///   - a: f32 matrices, one for each mask.
    ///   - masks: what counts.
    /// - Precondition: shapes are those of the masks.
    /// - Complexity: O(N), sums in f64.
    public init(_ a: [Tensor], _ b: [Tensor], masks: [WeightMask]) {
        let sums = Self.sums(a, b, masks) { first, second in
            let difference = first - second
            return (difference * difference, first * first, second * second)
        }
        euclidean = sums.0.squareRoot()
        let (length, other) = (sums.1.squareRoot(), sums.2.squareRoot())
        guard length > 0, other > 0 else {
            angle = 0
            return
        }
        // By the half-angle: exact where the arc cosine of a number near one is not (Kahan).
        let halves = Self.sums(a, b, masks) { first, second in
            let (difference, sum) = (first / length - second / other, first / length + second / other)
            return (difference * difference, sum * sum, 0)
        }
        angle = 2 * atan2(halves.0.squareRoot(), halves.1.squareRoot())
    }

    private static func sums(
        _ a: [Tensor], _ b: [Tensor], _ masks: [WeightMask],
        _ terms: (Double, Double) -> (Double, Double, Double)
    ) -> (Double, Double, Double) {
        precondition(a.count == masks.count && b.count == masks.count, "weights of other masks")
        var total = (0.0, 0.0, 0.0)
        for ((first, second), mask) in zip(zip(a, b), masks) {
            precondition(first.count == mask.count && second.count == mask.count, "a weight of another mask")
            first.contiguous().withElements(Float.self) { x in
                second.contiguous().withElements(Float.self) { y in
                    for (place, word) in mask.words.enumerated() where word != 0 {
                        var rest = word
                        while rest != 0 {
                            let k = place * 64 + rest.trailingZeroBitCount
                            let (p, q, r) = terms(Double(x[k]), Double(y[k]))
                            total = (total.0 + p, total.1 + q, total.2 + r)
                            rest &= rest - 1
                        }
                    }
                }
            }
        }
        return total
    }
}
