import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

/// Weights near zero at one moment of a training, as shares of all that are counted.
package struct NearZeroShares: Sendable, Hashable {
    /// Below ``thresholds`` times RMS₀, the root mean square that each matrix began with: they stay where they are
    /// along the training, so that weights which grow leave them behind.
    package var fixed: [Double]
    /// Below ``thresholds`` times RMS, the root mean square that each matrix has at the moment: what grows or shrinks
    /// alike is divided out, and the shape of the distribution is left.
    package var relative: [Double]

    static let thresholds = [1e-3, 1e-2, 1e-1]
    /// Places of those that claims are judged by; below the smallest there are too few weights to tell.
    static let judged = [1, 2]
    /// The place of a tenth.
    static let tenth = 2

    package init(fixed: [Double], relative: [Double]) {
        (self.fixed, self.relative) = (fixed, relative)
    }

    var json: JSON {
        .object([
            "fixed": .array(fixed.map { .number($0) }), "relative": .array(relative.map { .number($0) }),
        ])
    }
}

/// Counts weights near zero along a training.
package struct NearZeroCounter {
    /// The root mean square that each matrix began with.
    private let initial: [Double]

    /// - Parameter matrices: as they are at the start, f32.
    package init(_ matrices: [Tensor]) {
        initial = matrices.map { NearZeroCounts($0, relativeThresholds: []).rootMeanSquare }
    }

    /// - Parameter matrices: the same ones at some moment.
    package func shares(of matrices: [Tensor]) -> NearZeroShares {
        let thresholds = NearZeroShares.thresholds
        func shares(_ counts: [NearZeroCounts]) -> [Double] {
            let total = counts.reduce(0) { $0 + $1.count }
            return thresholds.indices.map { place in
                Double(counts.reduce(0) { $0 + $1.below[place] }) / Double(total)
            }
        }
        return NearZeroShares(
            fixed: shares(zip(matrices, initial).map { NearZeroCounts($0, relativeThresholds: thresholds, unit: $1) }),
            relative: shares(matrices.map { NearZeroCounts($0, relativeThresholds: thresholds) }))
    }
}

extension PrunableNetwork {
    /// The prunable weights as they are, f32.
    var matrices: [Tensor] { weights.indices.map(values) }
}
