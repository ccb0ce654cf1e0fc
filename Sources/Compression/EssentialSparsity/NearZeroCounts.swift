import CKernels
import CoppiceTensors

/// Counts of weights that are small against their matrix's root mean square, or against another unit: how sparse a
/// dense model is already.
///
/// Jaiswal et al. (2023), section 5, follow this through pre-training to see when sparsity appears.
public struct NearZeroCounts: Sendable, Hashable, Codable {
    /// Weights in all.
    public var count: Int
    /// For each threshold the number of weights with |w| < threshold · unit.
    public var below: [Int]
    /// Root mean square of the weights.
    public var rootMeanSquare: Double

    /// Counts the weights of a matrix.
    ///
    /// - Parameters:
    ///   - weight: f32, any shape, finite.
    ///   - relativeThresholds: thresholds in units of `unit`.
    ///   - unit: the root mean square that the matrix had at some moment of its training, for thresholds that stay
    ///     where they are along it; nil: the one that it has now, so that a growth of all its weights alike is divided
    ///     out.
    /// - Complexity: O(N) for each threshold. The result does not depend on the number of threads.
    public init(_ weight: Tensor, relativeThresholds: [Double] = [1e-3, 1e-2, 1e-1], unit: Double? = nil) {
        let size = weight.count
        let (rms, below) = weight.withElements(Float.self) { elements -> (Double, [Int]) in
            guard let base = elements.baseAddress, size > 0 else {
                return (0, [Int](repeating: 0, count: relativeThresholds.count))
            }
            let chunk = Int(COPPICE_STATISTICS_CHUNK)
            var sums = [Double](repeating: 0, count: (size + chunk - 1) / chunk)
            coppice_square_sums(base, size, &sums)
            let rms = (sums.reduce(0, +) / Double(size)).squareRoot()
            return (rms, relativeThresholds.map { coppice_count_below(base, size, Float($0 * (unit ?? rms))) })
        }
        count = size
        rootMeanSquare = rms
        self.below = below
    }

    /// The fraction below each threshold.
    public var fractions: [Double] { below.map { count == 0 ? 0 : Double($0) / Double(count) } }
}
