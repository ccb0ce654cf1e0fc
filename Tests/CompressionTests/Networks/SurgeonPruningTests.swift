import CoppiceCompression
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Testing

@Suite struct SurgeonPruningTests {
    private let batches: [LabeledBatch] = {
        let (inputs, targets) = clusters()
        return TensorBatches.covering(inputs: inputs, targets: targets, size: 48)
    }()
    private let sampling = GradientSampling(count: 40, batchSize: 4)

    private func trained(seed: UInt64 = 1) throws -> SmallMLP {
        let (inputs, targets) = clusters()
        let network = SmallMLP(seed: seed)
        try shortTraining(steps: 120).run(
            network, on: TensorBatches(inputs: inputs, targets: targets, batchSize: 32, seed: 3))
        return network
    }

    private var criteria: [any CurvatureCriterion] {
        [
            FisherDiagonalCriterion(sampling: sampling, dampening: 1e-4),
            WoodFisherCriterion(sampling: sampling, dampening: 1e-4, blockSize: 16),
            MFACCriterion(sampling: sampling, dampening: 1e-4),
        ]
    }

    @Test func scoresAreTheSaliencies() throws {
        let network = try PrunableNetwork(try trained())
        let rows = try network.network.gradientRows(
            on: (0..<24).map { part in
                let batch = batches[part / 12]
                let range = (part % 12 * 4)..<(part % 12 * 4 + 4)
                return LabeledBatch(
                    inputs: batch.inputs.slice(axis: 0, range), targets: batch.targets.slice(axis: 0, range))
            }, parameters: network.places)
        #expect(rows.shape == [24, network.count])
        let weights = Tensor.concatenated(network.weights.indices.map { network.values($0).reshaped([-1]) })
        for criterion in criteria {
            let expected = OptimalBrainSurgeon.saliencies(
                of: weights, inverseDiagonal: try criterion.inverse(rows).diagonal()
            ).converted(to: .f32).floats()
            let scores = try network.scores(by: criterion, batches: batches).flatMap { $0.floats() }
            #expect(zip(scores, expected).allSatisfy { abs($0 - $1) <= 1e-4 * abs($1) + 1e-12 })
        }
    }

    /// Blocks that are summed up as gradients come are those of all gradients; M-FAC in bf16 is that of rounded ones.
    @Test func gradientsOneAfterTheOtherGiveTheSameCurvature() throws {
        let network = try PrunableNetwork(try trained())
        let parts = (0..<24).map { part in
            let range = (part % 12 * 4)..<(part % 12 * 4 + 4)
            return LabeledBatch(
                inputs: batches[part / 12].inputs.slice(axis: 0, range),
                targets: batches[part / 12].targets.slice(axis: 0, range))
        }
        let rows = try network.network.withGradients(of: parts, parameters: network.places) { try $0.rows() }
        let small = WoodFisherCriterion(sampling: sampling, dampening: 1e-4, blockSize: 4)
        var narrow = MFACCriterion(sampling: sampling, dampening: 1e-4)
        narrow.sampling.storage = .bf16
        let rounded = rows.converted(to: .bf16)
        for (criterion, own) in [(small, rows), (narrow, rounded)] as [(any CurvatureCriterion, Tensor)] {
            let found = try criterion.curvature(of: network, on: batches).diagonal().doubles()
            #expect(try found == criterion.inverse(own).diagonal().doubles())
        }
        // 24 gradients: fewer numbers than all of them, and more.
        let d = network.count
        #expect(small.byteCount(gradients: 1_000, weights: d) == d * (8 * 4 + 128))
        #expect(small.byteCount(gradients: 24, weights: d) == 4 * d * (24 + 4))
        #expect(narrow.byteCount(gradients: 24, weights: d) == 2 * 24 * d)
    }

    /// What would fit is said in the words of a recipe, and does.
    @Test func memoryThatIsNotThereIsRefusedWithWhatFits() throws {
        let network = try PrunableNetwork(try trained())
        let d = network.count
        func failure(_ criterion: any CurvatureCriterion) -> String {
            do {
                _ = try criterion.curvature(of: network, on: batches)
                return "nothing thrown"
            } catch { return "\(error)" }
        }
        var limited = sampling
        limited.memoryLimit = 4 * d * 24
        #expect(failure(MFACCriterion(sampling: limited)) == "nothing thrown")
        limited.memoryLimit = 4 * d * 23
        let message = failure(MFACCriterion(sampling: limited))
        #expect(message.contains("gradients: 24 gradients of \(d) weights take 0 MB with method m-fac, more than the"))
        #expect(message.contains("expected at most 23 gradients, or at most 46 with storage: bf16"))
        limited.storage = .bf16
        #expect(failure(MFACCriterion(sampling: limited)) == "nothing thrown")

        // Blocks: 8 b + 128 bytes a weight, or 8 for each gradient.
        var blocks = WoodFisherCriterion(sampling: limited, blockSize: 16)
        blocks.sampling.memoryLimit = 152 * d
        let advice = blocks.advice(gradients: 64, weights: d, limit: 152 * d)
        #expect(advice.field == "block_size" && advice.expected == "a block_size of at most 3, or at most 19 gradients")
        blocks.blockSize = 3
        #expect(blocks.byteCount(gradients: 64, weights: d) == 152 * d)
        blocks.blockSize = 4
        #expect(blocks.byteCount(gradients: 64, weights: d) > 152 * d)
        #expect(
            MFACCriterion().advice(gradients: 64, weights: d, limit: 152 * d).expected
                == "at most 38 gradients, or at most 76 with storage: bf16, or method woodfisher with a block_size of at "
                + "most 3")
        #expect(MFACCriterion().advice(gradients: 64, weights: d, limit: d).expected == "method obd")
        #expect(FisherDiagonalCriterion().byteCount(gradients: 64, weights: d) == 16 * d)
    }

    @Test func gradientsOfManyExamplesAreTheirMean() throws {
        let network = try PrunableNetwork(try trained())
        let row = try network.network.gradientRows(on: batches, parameters: network.places)
        let both = try network.gradients(on: batches).flatMap { $0.floats() }
        let mean = row.mean(axes: [0]).floats()
        #expect(zip(mean, both).allSatisfy { abs($0 - $1) < 1e-6 })
    }

    @Test func sparsityIsExactMasksAreNestedAndRemovedWeightsStayZero() throws {
        for criterion in criteria {
            let network = try PrunableNetwork(try trained())
            let surgeon = SurgeonPruning(criterion, recomputations: 3)
            var reached: [Double] = []
            try surgeon.prune(network, to: 0.5, batches: batches) { reached.append($1) }
            let first = network.masks
            #expect(reached.count == 3 && reached == reached.sorted() && reached[0] > 0.15)
            #expect(network.removedCount == network.count / 2)
            try surgeon.prune(network, to: 0.75, batches: batches)
            #expect(network.removedCount == network.count * 3 / 4)
            for (index, mask) in network.masks.enumerated() {
                #expect(mask.isSubset(of: first[index]))
                for (value, kept) in zip(network.values(index).floats(), mask.indicator.floats()) where kept == 0 {
                    #expect(value == 0)
                }
            }
            try surgeon.prune(network, to: 0.75, batches: batches)
            #expect(network.removedCount == network.count * 3 / 4)
            #expect(throws: CoppiceError.self) { try surgeon.prune(network, to: 0.5, batches: batches) }
        }
    }

    /// The histogram counts what was there before the last step, and one threshold cuts it in two.
    @Test func salienciesAreCounted() throws {
        let network = try PrunableNetwork(try trained())
        let surgeon = SurgeonPruning(MFACCriterion(sampling: sampling, dampening: 1e-4), recomputations: 2)
        var counts: [Int] = [0]
        let found = try surgeon.prune(network, to: 0.75, batches: batches) { _, _ in
            counts.append(network.removedCount)
        }
        let histogram = try #require(found)
        let (removed, kept) = histogram.decades.reduce((0, 0)) { ($0.0 + $1.removed, $0.1 + $1.kept) }
        #expect(removed + histogram.zeros == counts[2] - counts[1])
        #expect(kept == network.count - counts[2] && kept > 0 && removed > 0)
        let border = try #require(histogram.decades.firstIndex { $0.kept > 0 })
        #expect(histogram.decades[(border + 1)...].allSatisfy { $0.removed == 0 })
        let exponents = histogram.decades.map(\.exponent)
        #expect(exponents == Array(exponents[0]...(exponents.last ?? 0)))
    }

    /// Budgets are reached step by step, as the sparsity of all is.
    @Test func budgetsAreReachedInSteps() throws {
        let network = try PrunableNetwork(try trained())
        let budgets = ExplicitAllocation([.init("first", sparsity: 0.9)])
        let surgeon = SurgeonPruning(
            MFACCriterion(sampling: sampling, dampening: 1e-4), allocation: budgets, recomputations: 4)
        var counts: [[Int]] = []
        try surgeon.prune(network, to: 0.5, batches: batches) { _, _ in
            counts.append(network.masks.map(\.removedCount))
        }
        // Of 176 weights (37 / 176)^¼ stay after a quarter of the way, 120: at the place u = 0.222 of both ramps, where
        // 128 · (13 / 128)^u and 48 · 0.5^u are left. And so on to 115 and 24.
        #expect(counts == [[50, 6], [82, 13], [103, 18], [115, 24]])
        #expect(throws: CoppiceError.self) {
            let less = ExplicitAllocation([.init("first", sparsity: 0.8)])
            try SurgeonPruning(MFACCriterion(sampling: sampling), allocation: less).prune(
                network, to: 0.9, batches: batches)
        }
    }

    @Test func oneStepIsTheFormula() throws {
        let network = try PrunableNetwork(try trained())
        let weights = Tensor.concatenated(network.weights.indices.map { network.values($0).reshaped([-1]) })
        let criterion = MFACCriterion(sampling: sampling, dampening: 1e-4)
        let inverse = try criterion.curvature(of: network, on: batches)
        let scores = OptimalBrainSurgeon.saliencies(of: weights, inverseDiagonal: inverse.diagonal()).floats()
        try SurgeonPruning(criterion, recomputations: 1).prune(network, to: 0.25, batches: batches)
        let order = scores.indices.sorted { (scores[$0], $0) < (scores[$1], $1) }
        let removed = Set(order.prefix(network.count / 4))
        let expected = try OptimalBrainSurgeon.compensated(
            weights, removing: scores.indices.map(removed.contains), inverse: inverse
        ).floats()
        let after = network.weights.indices.flatMap { network.values($0).floats() }
        #expect(zip(after, expected).allSatisfy { abs($0 - $1) < 1e-5 })
    }

    @Test func makingUpForRemovedWeightsLowersTheLoss() throws {
        func loss(_ surgeon: SurgeonPruning?, seed: UInt64) throws -> Double {
            let network = try PrunableNetwork(try trained(seed: seed))
            if let surgeon {
                try surgeon.prune(network, to: 0.8, batches: batches)
            } else {
                try network.prune(by: .magnitude, to: 0.8)
            }
            return Classification(of: network.network, on: batches).loss
        }
        let fine = MFACCriterion(sampling: GradientSampling(count: 96, batchSize: 1), dampening: 1e-4)
        var (with, without, magnitude) = (0.0, 0.0, 0.0)
        for seed in 1...4 as ClosedRange<UInt64> {
            with += try loss(SurgeonPruning(fine, recomputations: 8), seed: seed)
            without += try loss(SurgeonPruning(fine, recomputations: 8, updatesWeights: false), seed: seed)
            magnitude += try loss(nil, seed: seed)
        }
        #expect(with < without)
        #expect(with < magnitude)
    }

    @Test func batchStatisticsStayAsTheyWere() throws {
        let module = SmallConvolutionNetwork()
        let network = try PrunableNetwork(module)
        let before = numbers(of: module)
        _ = try network.scores(by: MFACCriterion(sampling: sampling), batches: [images()])
        #expect(numbers(of: module) == before)
    }

    @Test func badInputIsNamed() throws {
        let network = try PrunableNetwork(try trained())
        let surgeon = SurgeonPruning(MFACCriterion(sampling: sampling), recomputations: 2)
        for sparsity in [-0.1, 1, .nan] as [Double] {
            #expect(throws: CoppiceError.self) { try surgeon.prune(network, to: sparsity, batches: batches) }
        }
        #expect(throws: CoppiceError.self) { try surgeon.prune(network, to: 0.5, batches: []) }
        var bad = batches[0]
        bad.inputs = bad.inputs * .nan
        #expect(throws: CoppiceError.self) { try surgeon.prune(network, to: 0.5, batches: [bad]) }
        var small = sampling
        small.memoryLimit = 1_000
        #expect(throws: CoppiceError.self) {
            try SurgeonPruning(MFACCriterion(sampling: small)).prune(network, to: 0.5, batches: batches)
        }
        #expect(network.removedCount == 0)
    }

    @Test func theLoopTrainsAlongInverseFisherDirections() throws {
        let (inputs, targets) = clusters()
        let source = TensorBatches(inputs: inputs, targets: targets, batchSize: 32, seed: 3)
        let network = SmallMLP()
        let start = Classification(of: network, on: batches).loss
        let rates = LearningRateSchedule(kind: .cosine, peak: 0.02, warmupSteps: 0, minimumRatio: 0, totalSteps: 60)
        let training = SupervisedTraining(optimizer: MFAC(window: 16, dampening: 1e-2, momentum: 0.9), rates: rates)
        var state = OptimizerState(training.optimizer, for: network)
        try training.run(network, on: source, state: &state)
        #expect(Classification(of: network, on: batches).loss < start / 2)
        #expect(state.window?.inverse.nextRow == 60 % 16)
    }
}
