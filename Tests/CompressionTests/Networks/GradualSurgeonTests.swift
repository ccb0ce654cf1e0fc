import CoppiceCompression
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Testing

/// One output by all inputs, with half the mean squared error: a quadratic of the weights, whose Hessian the empirical
/// Fisher matrix is where errors are of variance one.
private final class LinearRegression: Module, SupervisedNetwork {
    @Submodule var layer: Linear

    init(weights: Tensor) { _layer = Submodule("layer", Linear(weight: weights)) }

    func outputs(_ inputs: Tensor) -> Tensor { layer(inputs) }

    func loss(_ batch: LabeledBatch) -> Tensor {
        (outputs(batch.inputs) - batch.targets).square().sum() / (2 * Double(batch.count))
    }
}

/// Pruning on a ramp whose kept weights make up for removed ones each time.
@Suite struct GradualSurgeonTests {
    private let batches: [LabeledBatch] = {
        let (inputs, targets) = clusters()
        return TensorBatches.covering(inputs: inputs, targets: targets, size: 48)
    }()
    private let surgeon = SurgeonPruning(
        MFACCriterion(sampling: GradientSampling(count: 40, batchSize: 4), dampening: 1e-4), recomputations: 1)

    private func trained() throws -> SmallMLP {
        let (inputs, targets) = clusters()
        let network = SmallMLP()
        try shortTraining(steps: 120).run(
            network, on: TensorBatches(inputs: inputs, targets: targets, batchSize: 32, seed: 3))
        return network
    }

    /// On quadratics of coupled weights, from their minima on, one weight after the other, as the update is exact for: what
    /// removals cost when the others make up, beside what they cost when these do not.
    @Test func makingUpEachTimeEndsLowerThanTheSaliencyAlone() throws {
        let (count, d) = (300, 24)
        var (with, without) = (0.0, 0.0)
        for seed in 1...4 as ClosedRange<UInt64> {
            var generator = RandomGenerator(seed: seed)
            let mixing = Tensor.normal([d, d], using: &generator) / Double(d).squareRoot()
            let inputs = Tensor.normal([count, d], using: &generator).matmul(mixing)
            let weights = Tensor.normal([1, d], using: &generator)
            let targets = inputs.matmul(weights.transposed()) + Tensor.normal([count, 1], using: &generator)
            let all = LabeledBatch(inputs: inputs, targets: targets)
            func loss(updating: Bool) throws -> Double {
                let network = LinearRegression(weights: weights.copied())
                let prunable = try PrunableNetwork(network)
                let criterion = MFACCriterion(
                    sampling: GradientSampling(count: count, batchSize: 1), dampening: 1e-6)
                let hook = GradualPruning(
                    prunable, schedule: try RampSchedule(.linear, to: 0.75, begin: 0, end: 18, interval: 1),
                    surgeon: SurgeonPruning(criterion, recomputations: 1, updatesWeights: updating)
                ) { _ in [all] }
                let training = SupervisedTraining(
                    optimizer: SGD(momentum: 0.9),
                    rates: LearningRateSchedule(
                        kind: .cosine, peak: 1e-3, warmupSteps: 0, minimumRatio: 0, totalSteps: 20))
                try training.run(
                    network, on: TensorBatches(inputs: inputs, targets: targets, batchSize: 100, seed: 3),
                    hooks: [hook])
                #expect(prunable.removedCount == 18)
                return Double(network.loss(all).scalar)
            }
            let least = Double(LinearRegression(weights: weights).loss(all).scalar)
            with += try loss(updating: true) - least
            without += try loss(updating: false) - least
        }
        #expect(with < 0.85 * without, "\(with) and \(without)")
    }

    /// Earlier masks hold, each event removes exactly what the ramp says, and neither weights nor momentum of what is gone
    /// come back.
    @Test func eventsKeepTheirCountsAndWhatIsGoneStaysGone() throws {
        let (inputs, targets) = clusters()
        let prunable = try PrunableNetwork(try trained())
        try prunable.prune(by: .magnitude, to: 0.2)
        let early = prunable.masks
        let schedule = try RampSchedule(from: 0.2, to: 0.8, begin: 2, end: 12, interval: 5)
        let hook = GradualPruning(prunable, schedule: schedule, surgeon: surgeon) { [batches] _ in batches }
        let training = shortTraining(steps: 16)
        var state = OptimizerState(training.optimizer, for: prunable.network)
        var masks: [[WeightMask]] = [early]
        try training.run(
            prunable.network, on: TensorBatches(inputs: inputs, targets: targets, batchSize: 32, seed: 3),
            state: &state, hooks: [hook]
        ) { step, _ in
            let goal = [0.2] + [2, 7, 12].filter { $0 <= step }.compactMap { schedule.sparsity(at: $0) }
            let removed = ExactSelection.removedCount(prunable.count, sparsity: goal.last ?? 0)
            #expect(prunable.removedCount == max(removed, masks[0].reduce(0) { $0 + $1.removedCount }), "step \(step)")
            masks.append(prunable.masks)
        }
        for (before, after) in zip(masks, masks.dropFirst()) {
            for (a, b) in zip(before, after) { #expect(b.isSubset(of: a)) }
        }
        #expect(prunable.removedCount == ExactSelection.removedCount(prunable.count, sparsity: 0.8))
        for (index, mask) in prunable.masks.enumerated() {
            let kept = mask.indicator.floats()
            let momentum = state.slots[prunable.places[index]][0].floats()
            for (place, value) in prunable.values(index).floats().enumerated() where kept[place] == 0 {
                #expect(value == 0 && momentum[place] == 0)
            }
            #expect(zip(momentum, kept).contains { $0 != 0 && $1 != 0 })
        }
    }

    /// Between removals and at one: masks, weights and momentum are all that there is to go on from.
    @Test(arguments: [4, 7, 13]) func trainingGoesOnExactlyFromMasksAndWeights(split: Int) throws {
        let (inputs, targets) = clusters()
        let source = TensorBatches(inputs: inputs, targets: targets, batchSize: 32, seed: 3)
        let schedule = try RampSchedule(to: 0.8, begin: 2, end: 12, interval: 5)
        let training = shortTraining(steps: 16)
        func run(_ parts: [Range<Int>]) throws -> [[Double]] {
            let network = try trained()
            var state = OptimizerState(training.optimizer, for: network)
            var masks: [WeightMask]?
            for steps in parts {
                let prunable = try PrunableNetwork(network)
                if let masks { prunable.setMasks(masks) }
                let hook = GradualPruning(prunable, schedule: schedule, surgeon: surgeon) { [batches] _ in batches }
                try training.run(network, on: source, steps: steps, state: &state, hooks: [hook])
                masks = prunable.masks
            }
            return numbers(of: network) + state.slots.flatMap { $0.map { $0.doubles() } }
        }
        #expect(try run([0..<16]) == run([0..<split, split..<16]))
    }

    @Test func whatDoesNotFitIsRefusedBeforeTraining() throws {
        let prunable = try PrunableNetwork(try trained())
        func surgeon(gradients: Int) -> SurgeonPruning {
            var sampling = GradientSampling(count: gradients, batchSize: 4)
            sampling.memoryLimit = 4 * prunable.count * 20
            return SurgeonPruning(MFACCriterion(sampling: sampling))
        }
        try surgeon(gradients: 20).checkMemory(of: prunable, batches: batches)
        let more = surgeon(gradients: 21)
        #expect {
            try more.checkMemory(of: prunable, batches: batches)
        } throws: { "\($0)".contains("gradients: 21 gradients of \(prunable.count) weights take") }
        // Of fewer weights they fit.
        try prunable.prune(by: .magnitude, to: 0.1)
        try more.checkMemory(of: prunable, batches: batches)
    }
}
