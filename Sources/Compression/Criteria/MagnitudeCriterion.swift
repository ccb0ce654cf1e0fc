import CKernels
import CoppiceTensors

/// |W_ij|: small weights matter least.
///
/// Han et al., "Learning both Weights and Connections for Efficient Neural Networks" (2015); the one-shot form is
/// the subject of Jaiswal et al., "The Emergence of Essential Sparsity in Large Pre-trained Models" (2023).
public struct MagnitudeCriterion: Criterion {
    public static let name = "magnitude"

    public init() {}

    public func scores(of weight: Tensor, name: String, inputNorms: [Float]?) -> Tensor {
        var scores = Tensor(uninitialized: weight.shape)
        weight.withElements(Float.self) { values in
            scores.withMutableElements(Float.self) { out in
                guard let from = values.baseAddress, let to = out.baseAddress else { return }
                coppice_absolute(from, values.count, to)
            }
        }
        return scores
    }
}
