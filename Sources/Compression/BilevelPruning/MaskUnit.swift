import CoppiceTensors

/// What bi-level pruning removes at once.
public enum MaskUnit: String, Sendable, Hashable, CaseIterable {
    /// Single weights, all layers compared with each other.
    case weight
    /// Filters: a convolution's outputs. Each convolution keeps the same part; linear layers stay whole.
    case filter
    /// Input channels of convolutions, each of which keeps the same part; linear layers stay whole.
    case channel

    /// A convolution's weight `[outputs, inputs · kernel]` as `[before, units, after]`, one unit along the middle axis.
    package func layout(rows: Int, columns: Int, kernelElements: Int) -> [Int] {
        switch self {
        case .weight: [1, rows * columns, 1]
        case .filter: [1, rows, columns]
        case .channel: [rows, columns / kernelElements, kernelElements]
        }
    }

    /// ‖s_u‖₂ of each unit u: `[units]`.
    ///
    /// - Parameter scores: `[before, units, after]`.
    package static func norms(_ scores: Tensor) -> Tensor { scores.square().sum(axes: [0, 2]).squareRoot() }

    /// The gradient of scores where that of a unit's mask is applied to its norm ‖s_u‖₂, straight through:
    /// (Σ_{i ∈ u} ∂ℓ/∂mᵢ) s / ‖s_u‖. For single weights that is ∂ℓ/∂m · sign(s).
    ///
    /// - Parameters:
    ///   - maskGradient: ∂ℓ/∂m of each weight, `[before, units, after]`.
    ///   - scores: of the same shape. A unit whose scores are all zero gets a gradient of zero.
    package static func scoreGradient(maskGradient: Tensor, scores: Tensor) -> Tensor {
        let sums = maskGradient.sum(axes: [0, 2], keepingDimensions: true)
        let norms = scores.square().sum(axes: [0, 2], keepingDimensions: true).squareRoot()
        // The least positive normal number keeps 0 / 0 from becoming NaN.
        return sums * scores / norms.clamped(Double(Float.leastNormalMagnitude), .infinity)
    }
}
