import CoppiceTensors

/// Removing weights by a quadratic model of the loss at its minimum: what each removal costs, and how the others make
/// up for it.
///
/// Hassibi and Stork, "Second order derivatives for network pruning: Optimal brain surgeon" (1993); M-FAC (2021),
/// section 3.2, for many weights at once.
public enum OptimalBrainSurgeon {
    /// ρₖ = wₖ² / (2 [F⁻¹]ₖₖ): by how much the loss grows when weight k alone goes and all others make up for it.
    ///
    /// - Parameters:
    ///   - weights: `[d]`.
    ///   - diagonal: that of F⁻¹, `[d]`.
    /// - Returns: f64 `[d]`.
    /// - Precondition: equal lengths.
    public static func saliencies(of weights: Tensor, inverseDiagonal diagonal: Tensor) -> Tensor {
        precondition(weights.shape == diagonal.shape, "\(weights.shape) weights, a diagonal of \(diagonal.shape)")
        return weights.detached().converted(to: .f64).square() / (diagonal.converted(to: .f64) * 2)
    }

    /// The weights after some are removed: w − F⁻¹t with tₖ = wₖ/[F⁻¹]ₖₖ for removed weights, which then are zero.
    ///
    /// All removals are taken as independent of each other, as published: exact for one weight, and for several that F
    /// does not couple. One product with the inverse.
    ///
    /// - Parameters:
    ///   - weights: `[d]`.
    ///   - removed: which go, one flag a weight.
    /// - Returns: `[d]`, in the precision of the curvature.
    /// - Throws: `.badData` for another number of weights or flags and for weights that are not finite.
    public static func compensated(
        _ weights: Tensor, removing removed: [Bool], inverse: any InverseCurvature
    ) throws -> Tensor {
        guard removed.count == inverse.count, weights.shape == [inverse.count] else {
            throw CoppiceError(
                .badData, field: "weights",
                "\(weights.shape) weights and \(removed.count) flags, expected \(inverse.count) of each")
        }
        let own = weights.detached()
        let flags = Tensor(removed.map { $0 ? 1.0 : 0 })
        let forces = own.converted(to: .f64) / inverse.diagonal() * flags
        let moved = own.converted(to: .f64) - (try inverse.product(forces)).converted(to: .f64)
        return (moved * (1 - flags)).converted(to: own.dataType)
    }
}
