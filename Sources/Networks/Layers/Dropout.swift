import CoppiceTensors

/// Zeroes elements with a probability and scales the others to the same mean (Srivastava et al. 2014).
///
/// One source serves a whole forward pass; its draws are a function of the seed and their order alone.
public final class Dropout {
    /// Probability that an element is zeroed, in 0 ..< 1.
    public let rate: Double
    private var generator: RandomGenerator

    public init(rate: Double, seed: UInt64) {
        precondition((0..<1).contains(rate), "dropout with probability \(rate)")
        self.rate = rate
        generator = RandomGenerator(seed: seed)
    }

    public func callAsFunction(_ x: Tensor) -> Tensor {
        if rate == 0 { return x }
        let mask = Tensor.bernoulliMask(
            x.shape, probability: 1 - rate, value: 1 / (1 - rate), dataType: x.dataType, using: &generator)
        return x * mask
    }
}
