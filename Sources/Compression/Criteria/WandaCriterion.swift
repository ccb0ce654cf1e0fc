import CKernels
import CoppiceTensors

/// |W_ij| · ‖X_j‖₂: a weight matters as much as the input that it multiplies is large.
///
/// Sun et al., "A Simple and Effective Pruning Approach for Large Language Models" (2023), equation 1. The paper
/// compares within each output row; of language models and encoders norms are gathered block by block behind the pruned
/// prefix of the model. ``InputNormCriterion`` gathers those of other networks.
public struct WandaCriterion: Criterion {
    public static let name = "wanda"

    public init() {}

    public var needsInputNorms: Bool { true }

    /// - Throws: `.badData` when the norms are missing, not one per column, or not finite.
    public func scores(of weight: Tensor, name: String, inputNorms: [Float]?) throws -> Tensor {
        let rows = weight.shape[0]
        let columns = weight.shape[1]
        guard let norms = inputNorms else {
            throw CoppiceError(
                .badData, field: name,
                "wanda needs the norms of this weight's inputs, and calibration saw none: it is not a projection of a "
                    + "decoder block; exclude it")
        }
        guard norms.count == columns else {
            throw CoppiceError(.badData, field: name, "expected \(columns) input norms, found \(norms.count)")
        }
        if let bad = norms.firstIndex(where: { !$0.isFinite }) {
            throw CoppiceError(
                .badData, field: name, "input \(bad) is \(norms[bad]) on the calibration data, expected finite numbers")
        }
        var scores = Tensor(uninitialized: weight.shape)
        weight.withElements(Float.self) { values in
            scores.withMutableElements(Float.self) { out in
                guard let from = values.baseAddress, let to = out.baseAddress else { return }
                coppice_scaled_absolute(from, rows, columns, norms, to)
            }
        }
        // Finite factors may have an infinite product.
        try ExactSelection.checkFinite(scores, name: name + " (wanda scores)")
        return scores
    }
}
