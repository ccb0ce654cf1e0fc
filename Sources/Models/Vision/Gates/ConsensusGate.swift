import CoppiceNetworks
import CoppiceTensors

/// Opens and closes by what the block sees: the mean over the image, a linear layer, a rectifier, division by the length of
/// that, a linear layer, and a step. Open for every image at first.
///
/// After Zhi et al., "Learning a consensus sub-network with polarization regularization and one pass training" (2023). The second
/// layer starts from zero weights and a positive bias.
public final class ConsensusGate: Module, BlockGate, TrainingModeDependent {
    /// `fc1`: [hidden, channels].
    @Submodule public var hidden: Linear
    /// `fc2`: [count, hidden].
    @Submodule public var output: Linear
    @StateTensor public var runningMeans: Tensor
    @StateTensor public var reopenings: Tensor
    public let mode: GateMode
    public let estimator: GateEstimator
    public let isLazy: Bool
    /// What the gradients of the second layer's parameters are multiplied by: those of one gate of many are so much
    /// smaller that it would not close within a training in which gates of whole blocks do.
    public let outputRate: Double
    public var isTraining = true
    public var decisions: [Bool]?
    public private(set) var means: Tensor?
    private let seed: UInt64
    private var noise: RandomGenerator

    /// The part of the present batch in the running average.
    static let momentum = 0.1

    /// - Parameters:
    ///   - inputs: channels of the block's input.
    ///   - count: gates; 1 for a whole branch.
    ///   - hidden: the first layer's outputs.
    ///   - bias: the second layer's, at first.
    ///   - outputRate: of the second layer, for one of the first.
    public init(
        mode: GateMode, inputs: Int, count: Int, hidden: Int, estimator: GateEstimator, bias: Double = 1,
        isLazy: Bool = false, outputRate: Double = 1, seed: UInt64
    ) {
        precondition(min(inputs, count, hidden) >= 1 && bias > 0, "a gate of nothing, or one that starts closed")
        var generator = RandomGenerator(seed: seed)
        let bound = 1 / Double(inputs).squareRoot()
        _hidden = Submodule(
            "fc1",
            Linear(
                weight: .uniform([hidden, inputs], low: -bound, high: bound, using: &generator),
                bias: .zeros([hidden])))
        _output = Submodule("fc2", Linear(weight: .zeros([count, hidden]), bias: .full([count], bias)))
        _runningMeans = StateTensor("running_means", .ones([count]))
        _reopenings = StateTensor("reopenings", .zeros([count], dataType: .i64))
        self.mode = mode
        self.estimator = estimator
        self.isLazy = isLazy
        self.outputRate = outputRate
        self.seed = seed
        noise = generator
        super.init()
        // Decay of a bias would open or close the gate whatever the loss says.
        for layer in [self.hidden, output] { layer.bias?.decays = false }
    }

    public var count: Int { output.outputCount }

    public func begin(step: Int) { noise = RandomGenerator(seed: seed &+ UInt64(step) &* 0x9E37_79B9_7F4A_7C15) }

    public func forget() { means = nil }

    /// z of each gate: `[images, channels, rows, columns]` → `[images, count]`.
    public func logits(_ input: Tensor) -> Tensor {
        let own = hidden(input.imageMeans()).relu()
        // Of one length for all blocks: gates with more or larger features would move faster than others, and close first.
        let features = own / (own.square().sum(axes: [-1], keepingDimensions: true) + 1e-12).squareRoot()
        guard outputRate != 1, isTraining else { return output(features) }
        return output(features.scalingGradient(by: 1 / outputRate)).scalingGradient(by: outputRate)
    }

    public func factors(_ input: Tensor) -> GateFactors {
        if let decisions { return decided(decisions) }
        let z = logits(input)
        let isNoisy = isTraining && estimator == .gumbel
        let gates = estimator.gates(z, noise: isNoisy ? GateEstimator.noise(z.shape, using: &noise) : nil)
        let own = gates.mean(axes: [0])
        means = own
        if isTraining { keep(own.detached()) }
        return mode == .layer ? .branches(gates) : .channels(gates)
    }

    private func keep(_ means: Tensor) {
        let before = runningMeans
        runningMeans = (before * (1 - Self.momentum) + means * Self.momentum).detached()
        let returned = zip(before.floats(), runningMeans.floats()).map { $0 < 0.5 && $1 >= 0.5 ? Int64(1) : 0 }
        if returned.contains(1) { reopenings = reopenings + Tensor(returned) }
    }
}

extension Tensor {
    /// The same numbers, whose gradient is multiplied by a factor.
    fileprivate func scalingGradient(by factor: Double) -> Tensor { self + (self - detached()) * (factor - 1) }
}
