import CKernels
import CoppiceTensors

/// Independent uniform scores: the control that every criterion must beat.
///
/// A score is a function of the seed, the matrix's name and the entry's index alone, so masks are nested in the
/// sparsity and equal for any number of threads.
public struct RandomCriterion: Criterion {
    public static let name = "random"

    /// Chooses the scores.
    public var seed: UInt64

    public init(seed: UInt64) { self.seed = seed }

    public func scores(of weight: Tensor, name: String, inputNorms: [Float]?) -> Tensor {
        var scores = Tensor(uninitialized: weight.shape)
        let stream = Self.stream(name)
        scores.withMutableElements(Float.self) { out in
            guard let to = out.baseAddress else { return }
            coppice_random_scores(seed, stream, out.count, to)
        }
        return scores
    }

    /// FNV-1a of the name: gives each matrix its own sequence, the same on every machine.
    private static func stream(_ name: String) -> UInt64 {
        name.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }
}
