import CoppiceCompression
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Testing

@Suite struct PrunableNetworkTests {
    private let source: TensorBatches = {
        let (inputs, targets) = clusters()
        return TensorBatches(inputs: inputs, targets: targets, batchSize: 32, seed: 3)
    }()

    private struct Ramp: Schedule {
        func sparsity(at step: Int) -> Double? { step % 5 == 0 && step <= 40 ? Double(step) / 50 : nil }
    }

    @Test func prunesExactlyAndZeroesWhatIsRemoved() throws {
        let network = SmallMLP()
        let prunable = try PrunableNetwork(network)
        #expect(prunable.weights.map(\.name) == ["first.weight", "second.weight"])
        let before = network.first.weight.floats() + network.second.weight.floats()
        try prunable.prune(by: .magnitude, to: 0.75)
        #expect(prunable.removedCount == (16 * 8 + 3 * 16) * 3 / 4)
        let after = network.first.weight.floats() + network.second.weight.floats()
        let kept = zip(before, after).filter { $1 != 0 }
        #expect(kept.allSatisfy { $0 == $1 })
        let smallest = kept.map { abs($0.0) }.min() ?? 0
        #expect(zip(before, after).filter { $1 == 0 }.allSatisfy { abs($0.0) <= smallest })
        #expect(throws: CoppiceError.self) { try prunable.prune(by: .magnitude, to: 0.5) }
        #expect(throws: CoppiceError.self) { try prunable.prune(by: .magnitude, to: 1) }
        #expect(throws: CoppiceError.self) { try prunable.prune(by: .magnitude, to: .nan) }
    }

    @Test func convolutionsAreMatricesOfTheirKernels() throws {
        let prunable = try PrunableNetwork(SmallConvolutionNetwork())
        #expect(prunable.weights.map { [$0.rows, $0.columns, $0.kernelElements] } == [[6, 18, 9], [3, 6, 1]])
    }

    /// What moves weights.
    enum Rule: CaseIterable {
        case nesterov, adamW, mfac

        var optimizer: any Optimizer {
            switch self {
            case .nesterov: SGD(momentum: 0.9, weightDecay: 1e-4, looksAhead: true)
            case .adamW: AdamW(weightDecay: 0.1)
            case .mfac: MFAC(window: 8, dampening: 1e-2, momentum: 0.5, weightDecay: 1e-2)
            }
        }

        var rate: Double { self == .nesterov ? 0.1 : 0.02 }
    }

    /// What moves masks.
    enum Holding: CaseIterable {
        case masked, gradual, set, rigl

        func hook(_ network: PrunableNetwork) -> any MaskHolding {
            switch self {
            case .masked: MaskedTraining(network)
            case .gradual: GradualPruning(network, schedule: Ramp())
            case .set: DynamicSparseTraining(network, growth: .random(seed: 4), interval: 10, lastStep: 45)
            case .rigl: DynamicSparseTraining(network, growth: .gradient, interval: 10, lastStep: 45)
            }
        }
    }

    /// Removed weights and what the optimizer remembers of them are zero after every step, and as many as there should
    /// be, in both precisions of products.
    @Test(arguments: Rule.allCases, Holding.allCases)
    func masksHoldThroughTrainingAndReachMomentum(rule: Rule, holding: Holding) throws {
        var trained: [[[Double]]] = []
        for precision in OperandPrecision.allCases {
            let prunable = try PrunableNetwork(SmallMLP())
            if holding != .gradual { try prunable.prune(by: .magnitude, to: 0.6) }
            let start = prunable.masks
            var training = shortTraining(rate: rule.rate)
            (training.optimizer, training.precision) = (rule.optimizer, precision)
            let hook = holding.hook(prunable)
            let probe = Probe(prunable)
            var state = OptimizerState(training.optimizer, for: prunable.network)
            try training.run(prunable.network, on: source, state: &state, hooks: [hook, probe]) { step, _ in
                if holding == .gradual {
                    let asked = Double(min(step / 5 * 5, 40)) / 50
                    #expect(
                        prunable.removedCount == ExactSelection.removedCount(prunable.count, sparsity: asked))
                } else {
                    #expect(prunable.masks.map(\.removedCount) == start.map(\.removedCount))
                }
            }
            #expect(probe.removedCounts.count == 60 && probe.largest == 0)
            #expect((prunable.masks == start) == (holding == .masked))
            if rule == .nesterov, holding == .masked {
                #expect(Classification(of: prunable.network, on: [source.batch(at: 0)]).accuracy > 0.9)
            }
            trained.append(numbers(of: prunable.network))
        }
        // The precisions are two.
        #expect(trained[0] != trained[1])
    }

    /// Sees removed weights after each update: before masks are applied where it comes before what applies them.
    private final class Probe: TrainingHook {
        let network: PrunableNetwork
        var largest: Float = 0
        var removedCounts: [Int] = []

        init(_ network: PrunableNetwork) { self.network = network }

        func didStep(_ step: Int, state: inout OptimizerState) {
            removedCounts.append(network.removedCount)
            for (index, mask) in network.masks.enumerated() {
                let slots = state.slots[network.places[index]]
                for values in [network.values(index)] + slots {
                    for (value, kept) in zip(values.floats(), mask.indicator.floats()) where kept == 0 {
                        largest = max(largest, abs(value))
                    }
                }
            }
        }
    }

    /// M-FAC moves removed weights by exactly nothing, from the step on at which they go, and its window forgets them.
    @Test(arguments: [false, true], [false, true])
    func secondOrderStepsKeepToMasksThatChange(isSparse: Bool, isDynamic: Bool) throws {
        let prunable = try PrunableNetwork(SmallMLP())
        if isSparse { try prunable.prune(by: .magnitude, to: 0.3) }
        if isDynamic { try prunable.prune(by: .magnitude, to: 0.5) }
        let start = prunable.removedCount
        let before = prunable.weights.indices.flatMap { prunable.values($0).floats() }
        var training = shortTraining(rate: 0.02)
        training.optimizer = MFAC(window: 8, dampening: 1e-2, weightDecay: 1e-2, isSparse: isSparse)
        var state = OptimizerState(training.optimizer, for: prunable.network)
        let hook: any MaskHolding =
            isDynamic
            ? DynamicSparseTraining(prunable, growth: .gradient, interval: 10, lastStep: 45)
            : GradualPruning(prunable, schedule: Ramp())
        let probe = Probe(prunable)
        try training.run(prunable.network, on: source, state: &state, hooks: [probe, hook])
        #expect(probe.largest == 0)
        #expect(isDynamic ? probe.removedCounts.last == start : Set(probe.removedCounts).count > 3)
        let window = try #require(state.window)
        let masks = prunable.network.parameters.indices.map { place in
            prunable.places.firstIndex(of: place).map { prunable.masks[$0].indicator.reshaped([-1]) }
                ?? Tensor.ones([prunable.network.parameters[place].parameter.wrappedValue.count])
        }
        let kept = window.layout.row(masks).floats()
        #expect(kept.contains(0))
        for (index, value) in window.inverse.gradients.floats().enumerated() where kept[index % kept.count] == 0 {
            #expect(value == 0)
        }
        let after = prunable.weights.indices.flatMap { prunable.values($0).floats() }
        #expect(zip(before, after).contains { $1 != 0 && $0 != $1 })
    }

    @Test func gradualPruningFollowsItsScheduleAndMasksAreNested() throws {
        let prunable = try PrunableNetwork(SmallMLP())
        var seen: [[WeightMask]] = []
        try shortTraining().run(prunable.network, on: source, hooks: [GradualPruning(prunable, schedule: Ramp())]) {
            step, _ in
            #expect(
                prunable.removedCount
                    == ExactSelection.removedCount(prunable.count, sparsity: Double(min(step / 5 * 5, 40)) / 50))
            seen.append(prunable.masks)
        }
        for (earlier, later) in zip(seen, seen.dropFirst()) {
            #expect(zip(later, earlier).allSatisfy { $0.isSubset(of: $1) })
        }
    }

    @Test(arguments: [DynamicSparseTraining.Growth.gradient, .random(seed: 4)])
    func dynamicSparseTrainingMovesConnectionsAndKeepsTheirNumber(growth: DynamicSparseTraining.Growth) throws {
        let prunable = try PrunableNetwork(SmallMLP(hidden: 32))
        try prunable.prune(by: .random(seed: 1), allocation: ErdosRenyiAllocation(), to: 0.7)
        let counts = prunable.masks.map(\.keptCount)
        let start = prunable.masks
        let dynamic = DynamicSparseTraining(prunable, growth: growth, interval: 10, lastStep: 45)
        var last = start
        try shortTraining().run(prunable.network, on: source, hooks: [dynamic]) { step, _ in
            #expect(prunable.masks.map(\.keptCount) == counts)
            if step == 0 || step >= 45 || step % 10 != 0 { #expect(prunable.masks == last) }
            last = prunable.masks
        }
        #expect(prunable.masks != start && dynamic.movedCount > 0)
    }

    /// Growth by gradient takes the absent places with the largest gradients, and drops the smallest weights.
    @Test func growthFollowsTheGradient() throws {
        let network = SmallMLP(inputs: 4, hidden: 2, classes: 2)
        let prunable = try PrunableNetwork(network, targets: [WeightPattern("first")])
        network.first.weight = Tensor([5, 4, 3, 0.1, 0.2, 6, 7, 8].map(Float.init), shape: [2, 4])
        prunable.setMasks([WeightMask(rows: 2, columns: 4, kept: [true, true, false, false, true, true, false, false])])
        let dynamic = DynamicSparseTraining(prunable, growth: .gradient, dropFraction: 1, interval: 1, lastStep: 4)
        var slopes = network.parameters.map { Tensor.zeros($0.parameter.wrappedValue.shape) }
        slopes[0] = Tensor([9, 9, 1, -3, 9, 9, 2, -5].map(Float.init), shape: [2, 4])
        // At step 2 of 4 the part is 1/2 · (1 + cos(π/2)) = 1/2: two of four.
        dynamic.willUpdate(2, gradients: &slopes)
        #expect(
            prunable.masks[0].indicator.floats() == [1, 0, 0, 1, 0, 1, 0, 1],
            "4 and 0.2 go, the gradients −3 and −5 grow")
        #expect(network.first.weight.floats() == [5, 0, 0, 0, 0, 6, 0, 0])
    }

    @Test func iterativePruningRewindsBitForBit() throws {
        let network = SmallMLP()
        let prunable = try PrunableNetwork(network)
        let training = shortTraining(steps: 30)
        let search = try IterativePruning(training: training, rewindStep: 6)
        let rewound = try search.trainToRewindStep(network, on: source)
        let early = [network.first.weight.floats(), network.second.weight.floats()]
        var counts: [Int] = []
        var masks: [[WeightMask]] = []
        try search.run(prunable, levels: 3, rewound: rewound, on: source) { _ in
            counts.append(prunable.count - prunable.removedCount)
            masks.append(prunable.masks)
        }
        // ⌈p n⌉ go at each level.
        #expect(counts == [176, 140, 112, 89])
        for (earlier, later) in zip(masks, masks.dropFirst()) {
            #expect(zip(later, earlier).allSatisfy { $0.isSubset(of: $1) })
        }
        rewound.restore(network)
        prunable.applyMasks()
        for (index, values) in early.enumerated() {
            let expected = zip(values, prunable.masks[index].indicator.floats()).map { $1 == 0 ? 0 : $0 }
            #expect(prunable.values(index).floats() == expected)
        }
    }

    /// The level that removes nothing is dense training itself, from where it rewinds to.
    @Test func theDenseLevelIsDenseTraining() throws {
        let (searched, plain) = (SmallMLP(), SmallMLP())
        let training = shortTraining(steps: 20)
        let search = try IterativePruning(training: training, rewindStep: 5)
        let rewound = try search.trainToRewindStep(searched, on: source)
        try search.run(PrunableNetwork(searched), levels: 0, rewound: rewound, on: source) { _ in }
        var state = OptimizerState(training.optimizer, for: plain)
        try training.run(plain, on: source, steps: 0..<5, state: &state)
        state = OptimizerState(training.optimizer, for: plain)
        try training.run(plain, on: source, steps: 5..<20, state: &state)
        #expect(numbers(of: searched) == numbers(of: plain))
        #expect(throws: CoppiceError.self) { try IterativePruning(training: training, rewindStep: 20) }
        #expect(throws: CoppiceError.self) {
            try IterativePruning(training: training, rewindStep: 0, pruneFraction: 1)
        }
    }
}
