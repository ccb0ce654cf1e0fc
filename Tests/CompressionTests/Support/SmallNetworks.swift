import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Two layers with a rectifier between them.
final class SmallMLP: Module, SupervisedNetwork {
    @Submodule var first: Linear
    @Submodule var second: Linear

    init(inputs: Int = 8, hidden: Int = 16, classes: Int = 3, hasBias: Bool = true, seed: UInt64 = 1) {
        var generator = RandomGenerator(seed: seed)
        func layer(_ outputs: Int, _ inputs: Int) -> Linear {
            Linear(
                weight: .normal([outputs, inputs], using: &generator) * (2 / Double(inputs)).squareRoot(),
                bias: hasBias ? .zeros([outputs]) : nil)
        }
        _first = Submodule("first", layer(hidden, inputs))
        _second = Submodule("second", layer(classes, hidden))
    }

    func outputs(_ inputs: Tensor) -> Tensor { second(first(inputs).relu()) }
}

/// A convolution, a batch normalization, the mean over the image and a linear layer.
final class SmallConvolutionNetwork: Module, SupervisedNetwork {
    @Submodule var convolution: Conv2d
    @Submodule var norm: BatchNorm
    @Submodule var classifier: Linear

    init(seed: UInt64 = 1) {
        var generator = RandomGenerator(seed: seed)
        _convolution = Submodule(
            "conv",
            Conv2d(
                inChannels: 2, outChannels: 6, windows: Windows(kernel: 3, padding: 1), hasBias: false,
                using: &generator))
        _norm = Submodule("norm", BatchNorm(channels: 6))
        _classifier = Submodule("fc", Linear(weight: .normal([3, 6], using: &generator), bias: .zeros([3])))
    }

    func outputs(_ inputs: Tensor) -> Tensor { classifier(norm(convolution(inputs)).relu().mean(axes: [-2, -1])) }
}

/// Points around one centre for each class: a task that small networks learn.
func clusters(_ count: Int = 96, inputs: Int = 8, classes: Int = 3, seed: UInt64 = 7) -> (Tensor, Tensor) {
    var generator = RandomGenerator(seed: seed)
    let centres = Tensor.normal([classes, inputs], using: &generator) * 2
    let targets = Tensor((0..<count).map { $0 % classes })
    return (centres.take(targets) + Tensor.normal([count, inputs], using: &generator), targets)
}

/// Images whose channels have means that depend on the class.
func images(_ count: Int = 24, seed: UInt64 = 8) -> LabeledBatch {
    var generator = RandomGenerator(seed: seed)
    let targets = Tensor((0..<count).map { $0 % 3 })
    let shifts = Tensor([0, 1, 1, 0, -1, -1].map(Float.init), shape: [3, 2]).take(targets).reshaped([count, 2, 1, 1])
    return LabeledBatch(inputs: Tensor.normal([count, 2, 5, 5], using: &generator) + shifts, targets: targets)
}

/// A short training with momentum.
func shortTraining(steps: Int = 60, rate: Double = 0.1) -> SupervisedTraining {
    SupervisedTraining(
        optimizer: SGD(momentum: 0.9, weightDecay: 1e-4),
        rates: LearningRateSchedule(kind: .cosine, peak: rate, warmupSteps: 0, minimumRatio: 0, totalSteps: steps))
}

/// All parameters and state as numbers.
func numbers(of module: Module) -> [[Double]] {
    module.parameters.map { $0.parameter.wrappedValue.doubles() }
        + module.stateTensors.map { $0.state.wrappedValue.doubles() }
}
