import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Testing

private final class Regressor: Module, SupervisedNetwork {
    @Submodule var layer: Linear
    init(seed: UInt64 = 3) {
        var generator = RandomGenerator(seed: seed)
        _layer = Submodule("layer", Linear(weight: .normal([4, 6], using: &generator) * 0.1, bias: .zeros([4])))
    }
    func outputs(_ inputs: Tensor) -> Tensor { layer(inputs) }
}

private func data(_ count: Int = 64) -> (inputs: Tensor, targets: Tensor) {
    var generator = RandomGenerator(seed: 5)
    let targets = Tensor((0..<count).map { $0 % 4 })
    let centres = Tensor.normal([4, 6], using: &generator) * 2
    return (centres.take(targets) + Tensor.normal([count, 6], using: &generator) * 0.5, targets)
}

@Suite struct SupervisedTrainingTests {
    private func training(_ optimizer: any Optimizer, steps: Int = 40) -> SupervisedTraining {
        SupervisedTraining(
            optimizer: optimizer,
            rates: LearningRateSchedule(
                kind: .cosine, peak: 0.05, warmupSteps: 2, minimumRatio: 0, totalSteps: steps))
    }

    @Test(arguments: [0, 1])
    func learns(kind: Int) throws {
        let network = Regressor()
        let (inputs, targets) = data()
        let batches = TensorBatches.covering(inputs: inputs, targets: targets, size: 50)
        let before = Classification(of: network, on: batches)
        try training(kind == 0 ? SGD(momentum: 0.9) : AdamW()).run(
            network, on: TensorBatches(inputs: inputs, targets: targets, batchSize: 16))
        let after = Classification(of: network, on: batches)
        #expect(after.count == 64)
        #expect(after.loss < before.loss / 2)
        #expect(after.accuracy > 0.9)
    }

    /// Training is a function of the step: stopped and continued equals uninterrupted, bit for bit.
    @Test func goesOnBitForBit() throws {
        let (inputs, targets) = data()
        let source = TensorBatches(inputs: inputs, targets: targets, batchSize: 16, seed: 9)
        let (whole, parts) = (Regressor(), Regressor())
        let training = training(AdamW())
        try training.run(whole, on: source)
        var state = OptimizerState(training.optimizer, for: parts)
        try training.run(parts, on: source, steps: 0..<13, state: &state)
        let kept = Snapshot(of: parts)
        try training.run(parts, on: source, steps: 13..<20, state: &state)
        kept.restore(parts)
        var again = OptimizerState(training.optimizer, for: parts)
        let fresh = Regressor()
        try training.run(fresh, on: source, steps: 0..<13, state: &again)
        try training.run(parts, on: source, steps: 13..<40, state: &again)
        for (a, b) in zip(whole.parameters, parts.parameters) {
            #expect(a.parameter.wrappedValue.floats() == b.parameter.wrappedValue.floats())
        }
    }

    @Test func smoothedLossIsTheMixtureOfHardAndUniformTargets() {
        var generator = RandomGenerator(seed: 2)
        let scores = Tensor.normal([5, 4], using: &generator)
        let targets = Tensor([0, 3, -1, 1, 2])
        let logProbabilities = scores - scores.logSumExp(axis: -1, keepingDimensions: true)
        let rows = logProbabilities.doubles()
        var expected = 0.0
        for (row, target) in [0, 3, -1, 1, 2].enumerated() where target >= 0 {
            for column in 0..<4 {
                let weight = (column == target ? 0.9 : 0) + 0.1 / 4
                expected -= weight * rows[row * 4 + column] / 4
            }
        }
        #expect(abs(scores.meanCrossEntropy(targets: targets, smoothing: 0.1).doubles()[0] - expected) < 1e-5)
        #expect(scores.meanCrossEntropy(targets: Tensor([-1, -1, -1, -1, -1])).scalar == 0)
    }

    @Test func aLossThatIsNotFiniteEndsTrainingNamingTheStep() throws {
        let network = Regressor()
        network.layer.weight = network.layer.weight * Double.infinity
        let (inputs, targets) = data()
        let error = #expect(throws: CoppiceError.self) {
            try training(SGD()).run(network, on: TensorBatches(inputs: inputs, targets: targets, batchSize: 16))
        }
        #expect(error?.kind == .badData && error?.description.contains("step 0") == true)
    }

    /// A network whose loss is finite and whose gradient is not: a root of zero.
    private final class Rooted: Module, SupervisedNetwork {
        @Submodule var layer: Linear
        override init() { _layer = Submodule("layer", Linear(weight: .ones([4, 6]), bias: .zeros([4]))) }
        func outputs(_ inputs: Tensor) -> Tensor {
            let scores = layer(inputs)
            return scores + (scores * 0).square().power(0.5)
        }
    }

    /// Counts what it is asked, and may break a weight after a step.
    private final class Spy: TrainingHook {
        var updates = 0
        var breaks: (step: Int, parameter: Parameter)?
        func willUpdate(_ step: Int, gradients: inout [Tensor]) { updates += 1 }
        func didStep(_ step: Int, state: inout OptimizerState) {
            if let breaks, breaks.step == step { breaks.parameter.update { $0[2] = .infinity } }
        }
    }

    /// No hook sees a gradient that is not finite, and no weight moves by it.
    @Test func aGradientThatIsNotFiniteEndsTrainingNamingStepAndWeight() throws {
        let network = Rooted()
        let (inputs, targets) = data()
        let source = TensorBatches(inputs: inputs, targets: targets, batchSize: 16)
        #expect(network.loss(source.batch(at: 0)).scalar.isFinite)
        let spy = Spy()
        #expect { try training(SGD()).run(network, on: source, hooks: [spy]) } throws: {
            "\($0)".hasPrefix("layer.weight: the gradient of training step 0 is not finite, expected finite numbers")
        }
        #expect(spy.updates == 0 && network.layer.weight.floats().allSatisfy { $0 == 1 })
    }

    /// Gradients whose squares leave the range of f32 are finite.
    @Test func largeGradientsAreFinite() throws {
        let network = Regressor()
        let (inputs, targets) = data()
        let spy = Spy()
        var training = training(SGD(momentum: 0), steps: 4)
        training.rates.peak = 1e-30
        try training.run(
            network, on: TensorBatches(inputs: inputs * 1e21, targets: targets, batchSize: 16), hooks: [spy])
        #expect(spy.updates == 4)
    }

    @Test func aWeightThatIsNotFiniteAfterTheLastStepIsNamed() throws {
        let (inputs, targets) = data()
        let source = TensorBatches(inputs: inputs, targets: targets, batchSize: 16)
        let network = Regressor()
        let spy = Spy()
        spy.breaks = (4, try #require(network.parameters.first { $0.name == "layer.bias" }).parameter)
        #expect { try training(SGD(), steps: 5).run(network, on: source, hooks: [spy]) } throws: {
            ($0 as? CoppiceError)?.kind == .badData
                && "\($0)".hasPrefix("layer.bias: is not finite after training step 4, expected finite numbers")
        }
    }

    @Test func everyEpochVisitsEveryMemberOnceInAnOrderOfItsOwn() {
        for count in [1, 2, 7, 64, 1000] {
            let order = EpochOrder(count: count, seed: 4)
            let first = (0..<count).map(order.index(ofSample:))
            let second = (count..<(2 * count)).map(order.index(ofSample:))
            #expect(first.sorted() == Array(0..<count) && second.sorted() == Array(0..<count))
            #expect(count < 3 || first != second)
        }
    }

    @Test func stepSchedulesDrop() {
        var rates = LearningRateSchedule(kind: .step, peak: 1, warmupSteps: 0, minimumRatio: 0, totalSteps: 100)
        #expect(
            [0, 49, 50, 74, 75, 99].map(rates.rate(at:)).map { ($0 * 1000).rounded() } == [
                1000, 1000, 100, 100, 10, 10,
            ])
        rates.drops = []
        #expect(rates.rate(at: 99) == 1)
    }
}
