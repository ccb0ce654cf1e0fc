import CoppiceCompression
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Testing

@Suite struct MovementPruningTests {
    /// Prunes at one step.
    struct Once: Schedule {
        var step: Int
        var sparsity: Double
        func sparsity(at step: Int) -> Double? { step == self.step ? sparsity : nil }
    }

    static func source() -> TensorBatches {
        var generator = RandomGenerator(seed: 5)
        let inputs = Tensor.normal([32, 8], using: &generator)
        return TensorBatches(inputs: inputs, targets: Tensor((0..<32).map { $0 % 3 }), batchSize: 32)
    }

    static func training(steps: Int) -> SupervisedTraining {
        SupervisedTraining(
            optimizer: SGD(momentum: 0),
            rates: LearningRateSchedule(
                kind: .constant, peak: 0.1, warmupSteps: 0, minimumRatio: 1, totalSteps: steps))
    }

    @Test func scoresFallWhereWeightsMoveTowardZero() {
        let (scores, weights) = (Tensor.ones([4]), Tensor([2, -2, 2, -2] as [Float]))
        // A descent step is against the slope: the first two move toward zero.
        let slope = Tensor([1, -1, -1, 1] as [Float])
        let moved = MovementPruning.moved(scores, weights: weights, slope: slope, rate: 0.25)
        #expect(moved.floats() == [0.5, 0.5, 1.5, 1.5])
    }

    @Test func scoresSumWeightsTimesSlopes() throws {
        let network = SmallMLP()
        let prunable = try PrunableNetwork(network)
        let source = Self.source()
        let hook = MovementPruning(prunable, schedule: Once(step: 99, sparsity: 0))
        var expected = prunable.weights.indices.map { Tensor.zeros(prunable.values($0).shape) }
        for step in 0..<3 {
            let slopes = try prunable.gradients(on: [source.batch(at: step)])
            for index in expected.indices { expected[index] = expected[index] - prunable.values(index) * slopes[index] }
            var state = OptimizerState(SGD(momentum: 0), for: network)
            try Self.training(steps: 3).run(network, on: source, steps: step..<(step + 1), state: &state, hooks: [hook])
        }
        for (own, other) in zip(hook.scores, expected) {
            #expect((own - other).abs().maximum().scalar <= 1e-6)
        }
    }

    @Test func removedWeightsKeepTheirValueAndMayReturn() throws {
        let network = SmallMLP()
        let prunable = try PrunableNetwork(network)
        let hook = MovementPruning(prunable, schedule: Once(step: 4, sparsity: 0.75))
        var state = OptimizerState(SGD(momentum: 0), for: network)
        let training = Self.training(steps: 12)
        try training.run(network, on: Self.source(), steps: 0..<4, state: &state, hooks: [hook])
        let before = hook.weights.map { $0.floats() }
        try training.run(network, on: Self.source(), steps: 4..<12, state: &state, hooks: [hook])
        #expect(abs(prunable.sparsity - 0.75) < 0.01)
        for index in prunable.weights.indices {
            let kept = prunable.masks[index].indicator.floats()
            let (now, dense) = (prunable.values(index).floats(), hook.weights[index].floats())
            for element in kept.indices {
                if kept[element] == 0 {
                    // Neither trained nor forgotten.
                    #expect(now[element] == 0 && dense[element] == before[index][element])
                } else {
                    #expect(now[element] == dense[element])
                }
            }
        }
        // The largest scores at the time stayed: after it, all scores went on changing.
        let removed = zip(hook.scores, prunable.masks).flatMap { score, mask in
            zip(score.floats(), mask.indicator.floats()).filter { $0.1 == 0 }.map(\.0)
        }
        #expect(removed.contains { $0 != 0 })
    }
}
