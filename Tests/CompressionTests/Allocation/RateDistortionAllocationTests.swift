import CoppiceCompression
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Testing

/// Two linear layers without anything between them.
private final class LinearPair: Module, SupervisedNetwork {
    @Submodule var first: Linear
    @Submodule var second: Linear

    init(_ size: Int, seed: UInt64) {
        var generator = RandomGenerator(seed: seed)
        let scale = (1 / Double(size)).squareRoot()
        _first = Submodule("first", Linear(weight: .normal([size, size], using: &generator) * scale, bias: nil))
        _second = Submodule("second", Linear(weight: .normal([size, size], using: &generator) * scale, bias: nil))
    }

    func outputs(_ inputs: Tensor) -> Tensor { second(first(inputs)) }
}

private func trained() throws -> (SmallMLP, TensorBatches) {
    let (inputs, targets) = clusters()
    let source = TensorBatches(inputs: inputs, targets: targets, batchSize: 32, seed: 3)
    let network = SmallMLP(hidden: 32)
    try shortTraining(steps: 80).run(network, on: source)
    return (network, source)
}

@Suite struct RateGridTests {
    @Test func ratesAreEvenAndSmallLayersHaveEachCountOnce() {
        #expect(RateGrid(steps: 4).keptCounts(of: 100) == [100, 75, 50, 25])
        #expect(RateGrid(steps: 4, refinements: 2).keptCounts(of: 100) == [100, 75, 50, 25, 12, 6])
        #expect(RateGrid(steps: 10).keptCounts(of: 3) == [3, 2, 1])
        #expect(RateGrid(steps: 2, allowsRemoval: true).keptCounts(of: 10) == [10, 5, 0])
        #expect(RateGrid(steps: 2, refinements: 9).keptCounts(of: 10) == [10, 5, 2, 1])
        #expect(RateGrid(steps: 4).keptCounts(of: 0) == [0])
    }
}

@Suite struct OutputDistortionTests {
    @Test func meansAndWorstByHand() {
        let (a, b) = (
            Tensor([1, 2, 3, 4].map(Float.init), shape: [2, 2]), Tensor([1, 0, 3, 8].map(Float.init), shape: [2, 2])
        )
        let errors = OutputDistortion.squaredErrors(a, to: b)
        #expect(errors == [2, 8])
        #expect(OutputDistortion.mean.value(of: errors) == 5 && OutputDistortion.worst.value(of: errors) == 8)
        #expect(OutputDistortion.worst.value(of: [1, .nan, 3]).isNaN)
    }
}

@Suite struct RateDistortionAllocationTests {
    @Test func curvesAreThoseOfPruningALayerAlone() throws {
        let (network, source) = try trained()
        let prunable = try PrunableNetwork(network)
        let before = numbers(of: network)
        let inputs = [source.batch(at: 0).inputs, source.batch(at: 1).inputs]
        let grid = RateGrid(steps: 8)
        for measure in OutputDistortion.allCases {
            let curves = try prunable.distortionCurves(on: inputs, grid: grid, distortion: measure)
            #expect(numbers(of: network) == before && prunable.removedCount == 0)
            #expect(curves.map(\.name) == ["first.weight", "second.weight"])
            #expect(curves.allSatisfy { $0.points.count == 8 && $0.points[0].distortion == 0 })
            let references = inputs.map { network.outputs($0).detached() }
            let alone = ExplicitAllocation([.init("second", kept: curves[1].points[4].kept)])
            let copy = try PrunableNetwork(network)
            let snapshot = Snapshot(of: network)
            try copy.prune(by: .magnitude, allocation: alone, to: 0)
            let expected = copy.distortion(on: inputs, from: references, measure)
            #expect(abs(curves[1].points[4].distortion - expected) <= 1e-6 * expected)
            snapshot.restore(network)
        }
    }

    @Test func curvesOfAPrunedNetworkBeginWhereItIsAndRatesAreNested() throws {
        let (network, source) = try trained()
        let prunable = try PrunableNetwork(network)
        let inputs = [source.batch(at: 0).inputs]
        var earlier = prunable.masks
        for sparsity in [0.3, 0.5, 0.75] {
            let curves = try prunable.distortionCurves(on: inputs, grid: RateGrid(steps: 20))
            // As fine a choice of what is left as of a dense layer.
            for (curve, mask) in zip(curves, earlier) {
                #expect(curve.points.map(\.kept) == RateGrid(steps: 20).keptCounts(of: mask.keptCount))
                #expect(curve.points[1].kept > mask.keptCount * 9 / 10)
            }
            #expect(curves.map { $0.points[0].kept } == prunable.masks.map(\.keptCount))
            try prunable.prune(by: .magnitude, allocation: RateDistortionAllocation(curves), to: sparsity)
            #expect(prunable.removedCount == ExactSelection.removedCount(prunable.count, sparsity: sparsity))
            #expect(zip(prunable.masks, earlier).allSatisfy { $0.isSubset(of: $1) })
            earlier = prunable.masks
        }
    }

    /// On the network that the curves are of, no split of a coarse grid is much better than the one chosen.
    @Test func theSplitIsAsGoodAsAnyOnTheNetworkItself() throws {
        let (network, source) = try trained()
        let snapshot = Snapshot(of: network)
        let inputs = [source.batch(at: 0).inputs]
        let references = [network.outputs(inputs[0]).detached()]
        func distortion(_ allocation: any Allocation) throws -> Double {
            snapshot.restore(network)
            let prunable = try PrunableNetwork(network)
            try prunable.prune(by: .magnitude, allocation: allocation, to: 0.5)
            return prunable.distortion(on: inputs, from: references, .mean)
        }
        let curves = try PrunableNetwork(network).distortionCurves(
            on: inputs, grid: RateGrid(steps: 32), distortion: .mean)
        let chosen = try distortion(RateDistortionAllocation(curves, solver: .exact))
        let total = 32 * 8 + 3 * 32
        var best = Double.infinity
        for kept in stride(from: 16, through: 96, by: 16) {
            let split = ExplicitAllocation([.init("second", kept: kept), .init("first", kept: total / 2 - kept)])
            best = min(best, try distortion(split))
        }
        #expect(chosen <= best * 1.25)
        #expect(chosen <= (try distortion(UniformAllocation())) * 1.05)
    }

    /// With one step layers stay or go as a whole: a knapsack.
    @Test func oneStepKeepsOrRemovesWholeLayers() throws {
        #expect(RateGrid(steps: 1).keptCounts(of: 10) == [10])
        #expect(RateGrid(steps: 1, allowsRemoval: true).keptCounts(of: 7) == [7, 0])
        let (network, source) = try trained()
        let prunable = try PrunableNetwork(network)
        let curves = try prunable.distortionCurves(
            on: [source.batch(at: 0).inputs], grid: RateGrid(steps: 1, allowsRemoval: true))
        #expect(curves.allSatisfy { $0.points.map(\.kept) == [$0.count, 0] && $0.points[0].distortion == 0 })
        let counts = curves.map(\.count), total = counts.reduce(0, +)
        for kept in Set(counts + [0, total, total - 1]) {
            let sparsity = 1 - Double(kept) / Double(total)
            let budget = total - ExactSelection.removedCount(total, sparsity: sparsity)
            var least = Double.infinity
            for subset in 0..<(1 << counts.count) {
                let gone = counts.indices.filter { subset >> $0 & 1 == 1 }
                guard total - gone.reduce(0, { $0 + counts[$1] }) <= budget else { continue }
                least = min(least, gone.reduce(0) { $0 + curves[$1].points[1].distortion })
            }
            for solver in [RateDistortionProblem.Solver.exact, .buckets(65_536)] {
                let allocation = RateDistortionAllocation(curves, solver: solver)
                let solution = try allocation.solution(prunable.weights, sparsity: sparsity)
                #expect(abs(solution.distortion - least) <= 1e-12 * least && solution.choices.allSatisfy { $0 < 2 })
                // Where whole layers fill the budget, nothing else goes.
                guard solution.cost == budget else { continue }
                let removed = try allocation.removedCounts(prunable.weights, sparsity: sparsity) { _ in .zeros([1]) }
                #expect(zip(removed, counts).allSatisfy { $0 == 0 || $0 == $1 })
            }
        }
    }

    /// Neither the unit of distortion nor the order of layers matters to the rates.
    @Test func ratesDependOnNeitherScaleNorOrder() throws {
        let curves = AllocationBenchmark(layerCount: 7, weightCount: 70_000, steps: 20).curves
        let scaled = curves.map { curve in
            DistortionCurve(
                name: curve.name, count: curve.count,
                points: curve.points.map { .init(kept: $0.kept, distortion: $0.distortion * 1024) })
        }
        for solver in [RateDistortionProblem.Solver.exact, .buckets(1000), .lagrangian] {
            let plan = try RateDistortionAllocation(curves, solver: solver).plan(sparsity: 0.8)
            #expect(Set(plan.layers.map(\.rate)).count > 3)
            let other = try RateDistortionAllocation(scaled, solver: solver).plan(sparsity: 0.8)
            #expect(other.layers.map(\.kept) == plan.layers.map(\.kept) && other.lowerBound == plan.lowerBound * 1024)
            let turned = try RateDistortionAllocation(curves.reversed(), solver: solver).plan(sparsity: 0.8)
            #expect(turned.layers.reversed().map(\.kept) == plan.layers.map(\.kept))
        }
    }

    /// Errors of layers that are pruned together add up where they are independent.
    @Test func distortionsOfIndependentErrorsAddUp() throws {
        let network = LinearPair(64, seed: 5)
        var generator = RandomGenerator(seed: 6)
        let inputs = Tensor.normal([512, 64], using: &generator)
        let reference = network.outputs(inputs).detached()
        let snapshot = Snapshot(of: network)
        func error(_ first: Double, _ second: Double, _ seed: UInt64) -> Double {
            snapshot.restore(network)
            var noise = RandomGenerator(seed: seed)
            network.first.weight = network.first.weight + Tensor.normal([64, 64], using: &noise) * first
            network.second.weight = network.second.weight + Tensor.normal([64, 64], using: &noise) * second
            return OutputDistortion.mean.value(
                of: OutputDistortion.squaredErrors(network.outputs(inputs).detached(), to: reference))
        }
        for seed in 0..<5 as Range<UInt64> {
            let sum = error(0.02, 0, seed) + error(0, 0.02, seed)
            #expect(abs(error(0.02, 0.02, seed) / sum - 1) < 0.05)
        }
    }

    @Test func whatDoesNotFitIsRefused() throws {
        let prunable = try PrunableNetwork(SmallMLP())
        let curve = DistortionCurve(
            name: "first.weight", count: 128,
            points: [.init(kept: 128, distortion: 0), .init(kept: 64, distortion: 1)])
        func refusal(_ curves: [DistortionCurve], _ sparsity: Double = 0.5) -> String {
            do {
                try prunable.prune(by: .magnitude, allocation: RateDistortionAllocation(curves), to: sparsity)
                return "no error"
            } catch { return "\(error)" }
        }
        let other = DistortionCurve(name: "secnd.weight", count: 48, points: [.init(kept: 48, distortion: 0)])
        #expect(
            refusal([curve, other])
                == "curves: there is none of second.weight; did you mean \"secnd.weight\"?")
        let small = DistortionCurve(name: "second.weight", count: 40, points: [.init(kept: 40, distortion: 0)])
        #expect(
            refusal([curve, small])
                == "curves: that of second.weight is of 40 weights, expected 48: another network's")
        let own = DistortionCurve(name: "second.weight", count: 48, points: [.init(kept: 48, distortion: 0)])
        #expect(
            refusal([curve, own], 0.9) == "budget: 18 is below the 112 that the cheapest options cost together")
        #expect(throws: CoppiceError.self) { try prunable.distortionCurves(on: []) }
    }
}
