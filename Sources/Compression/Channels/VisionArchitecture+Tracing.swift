import CoppiceModels
import CoppiceTensors

extension VisionArchitecture {
    /// Two inputs to trace channels with: noise, since what differs between examples is told from tables by its differing.
    public var tracingInputs: Tensor {
        var generator = RandomGenerator(seed: 0)
        return .normal([2] + inputShape, using: &generator)
    }
}
