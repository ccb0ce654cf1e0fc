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
        var generator = RandomGenerator(seed: seed, stream: Self.stream(name))
        return Tensor.uniform(weight.shape, using: &generator)
    }

    /// FNV-1a of the name: gives each matrix its own sequence, the same on every machine.
    private static func stream(_ name: String) -> UInt32 {
        name.utf8.reduce(0x811C_9DC5) { ($0 ^ UInt32($1)) &* 0x0100_0193 }
    }
}
