import CoppiceNetworks
import CoppiceTensors

/// Dropout in training, nothing in use.
public final class DropoutLayer: Module, TrainingModeDependent {
    private var dropout: Dropout
    private let seed: UInt64
    public var isTraining = true

    init(rate: Double, seed: UInt64) {
        dropout = Dropout(rate: rate, seed: seed)
        self.seed = seed
    }

    /// Makes what is drawn next a function of the layer and the step, so that training that is resumed at a step goes
    /// on as if it had not been stopped.
    public func begin(step: Int) {
        dropout = Dropout(rate: dropout.rate, seed: seed &+ UInt64(step) &* 0x9E37_79B9_7F4A_7C15)
    }

    public func callAsFunction(_ x: Tensor) -> Tensor { isTraining ? dropout(x) : x }
}
