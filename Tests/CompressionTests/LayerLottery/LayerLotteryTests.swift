import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Testing

@Suite struct LinearCKATests {
    @Test func rotationAndScaleDoNotMatter() throws {
        var generator = RandomGenerator(seed: 1)
        let x = Tensor.normal([40, 6], dataType: .f64, using: &generator)
        // The Cholesky factor turns any matrix into one with orthogonal columns: A L⁻ᵀ with AᵀA = L Lᵀ.
        let a = Tensor.normal([6, 6], dataType: .f64, using: &generator)
        let factor = try a.transposed().matmul(a).choleskyFactor()
        let orthogonal = try factor.solveTriangular(a.transposed().contiguous()).transposed()
        #expect(abs(LinearCKA.similarity(x, x.matmul(orthogonal) * 3 + 2) - 1) < 1e-9)
        let other = LinearCKA.similarity(x, Tensor.normal([40, 9], dataType: .f64, using: &generator))
        #expect(other > 0 && other < 0.6)
        #expect(abs(LinearCKA.similarity(x, x * -0.01) - 1) < 1e-9)
    }

    @Test func itIsWhatTheDefinitionSays() {
        let x = Tensor([1, 0, 0, 1, 2, 1, -1, 3].map(Double.init), shape: [4, 2])
        let y = Tensor([2, 1, 0, 5].map(Double.init), shape: [4, 1])
        // Centred: x₁ = (½, −½, 3/2, −3/2), x₂ = (−5/4, −¼, −¼, 7/4), y = (0, −1, −2, 3).
        let cross = (-7.0 * -7.0) + (6.0 * 6.0)
        let (xx, xy, yy) = (5.0, -3.5, 4.75)
        let self2 = xx * xx + 2 * xy * xy + yy * yy
        #expect(abs(LinearCKA.similarity(x, y) - cross / (self2.squareRoot() * 14)) < 1e-12)
    }
}

@Suite struct LayerLotteryTests {
    private func network(seed: UInt64 = 1) throws -> any VisionNetwork {
        try VisionArchitecture(named: "resnet20", inputChannels: 1, widthMultiplier: 0.25).makeNetwork(seed: seed)
    }

    private func batch(_ count: Int = 40) -> LabeledBatch {
        let images = ImageDataSet.shapes(count, size: 16, seed: 3)
        return Array(images.batches(of: count))[0]
    }

    @Test func scoresAreSumsOfTheBlocksWeights() throws {
        let network = try network()
        let prunable = try PrunableNetwork(network)
        let weights = try prunable.scores(by: GradientFlowCriterion(), batches: [batch()])
        let blocks = try BlockScores(of: network, by: .grasp, removable: .shape, batches: [batch()])
        #expect(blocks.blocks.count == 7)
        for (block, score) in zip(blocks.blocks, blocks.scores) {
            var sum = 0.0
            for (weight, own) in zip(prunable.weights, weights) where weight.name.hasPrefix(block.name + ".") {
                sum += own.doubles().reduce(0, +)
            }
            #expect(abs(sum - score) <= 1e-5 * max(abs(sum), 1e-9))
        }
        let mean = try BlockScores(of: network, by: .l1, removable: .shape, aggregate: .mean)
        let sum = try BlockScores(of: network, by: .l1, removable: .shape)
        let weight = prunable.weights.first { $0.name == "layer3.1.conv1.weight" }
        let last = sum.scores.count - 1
        #expect(abs(mean.scores[last] * Double(2 * (weight?.count ?? 0)) / sum.scores[last] - 1) < 1e-6)
    }

    @Test func scoresDoNotDependOnRepeatedBatches() throws {
        let network = try network()
        let once = try BlockScores(of: network, by: .snip, batches: [batch()])
        let twice = try BlockScores(of: network, by: .snip, batches: [batch(), batch()])
        for (a, b) in zip(once.scores, twice.scores) { #expect(abs(a / b - 1) < 1e-5) }
    }

    @Test(arguments: BlockCriterion.allCases)
    func everyCriterionScoresAndLeavesTheNetworkAsItWas(criterion: BlockCriterion) throws {
        let network = try network()
        let before = network.parameters.map { $0.parameter.wrappedValue.doubles() }
        let state = network.stateTensors.map { $0.state.wrappedValue.doubles() }
        let scores = try BlockScores(of: network, by: criterion, batches: criterion.needsData ? [batch()] : [])
        #expect(scores.scores.count == 5 && Set(scores.scores).count == 5)
        #expect(network.parameters.map { $0.parameter.wrappedValue.doubles() } == before)
        #expect(network.stateTensors.map { $0.state.wrappedValue.doubles() } == state)
        if criterion.needsData {
            #expect { try BlockScores(of: network, by: criterion) } throws: { "\($0)".contains("calibration data") }
        }
    }

    @Test func aBlockThatDoesNothingIsTheFirstToGo() throws {
        let network = try network()
        try BlockRemoval(of: ["layer2.1"], from: VisionArchitecture(network.configuration)).silence(network)
        for criterion in [BlockCriterion.cka, .kl] {
            let scores = try BlockScores(of: network, by: criterion, removable: .shape, batches: [batch()])
            #expect(try scores.lowest(1) == ["layer2.1"])
            #expect(abs(scores.scores[scores.blocks.firstIndex { $0.name == "layer2.1" }!]) < 1e-6)
        }
    }

    @Test func theLowestAreChosenInOrder() throws {
        let blocks = try BlockRemoval.blocks(of: VisionArchitecture(named: "resnet20")).filter(
            RemovableBlocks.shape.contains)
        let scores = BlockScores(blocks: blocks, scores: [3, 1, 2, 1, 5, 0, 9])
        #expect(try scores.lowest(3) == ["layer1.1", "layer2.1", "layer3.1"])
        #expect { try scores.lowest(8) } throws: { "\($0)".contains("layer1.0, layer1.1, layer1.2, layer2.1") }
        #expect(throws: CoppiceError.self) { try scores.lowest(0) }
        let plan = try BlockPlan(scores, multiplications: 30_000_000, from: VisionArchitecture(named: "resnet20"))
        #expect(plan.after.multiplyAccumulates <= 30_000_000 && plan.removal.removed.count == 3)
    }

    /// As few blocks as bring the time down, none where it is low enough.
    @Test func blocksGoUntilTheTimeFits() throws {
        let architecture = try VisionArchitecture(named: "resnet20")
        let blocks = try BlockRemoval.blocks(of: architecture).filter(RemovableBlocks.strict.contains)
        let scores = BlockScores(blocks: blocks, scores: [3, 1, 2, 5, 4])
        var asked: [Int] = []
        func plan(_ milliseconds: Double) throws -> BlockPlan {
            asked = []
            return try BlockPlan(scores, seconds: milliseconds / 1e3, from: architecture) { removal in
                asked.append(removal.removed.count)
                return 0.010 - 0.001 * Double(removal.removed.count)
            }
        }
        let chosen = try plan(8.5)
        #expect(chosen.removal.removed.map(\.name) == (try scores.lowest(2)) && asked == [0, 1, 2])
        #expect(chosen.after.multiplyAccumulates < chosen.before.multiplyAccumulates)
        let whole = try plan(10)
        #expect(whole.removal.removed.isEmpty && whole.removal.architecture == architecture)
        #expect(whole.text.contains("nothing is removed") && whole.after == whole.before)
        #expect { _ = try plan(4.9) } throws: { "\($0)".contains("latency: 4.9 ms, expected at least 5 ms") }
    }

    @Test func rewoundTicketsTrainFromEarlyWeights() throws {
        let network = try network()
        let images = ImageDataSet.shapes(80, size: 16, seed: 9)
        let rates = LearningRateSchedule(kind: .constant, peak: 0.05, warmupSteps: 0, minimumRatio: 1, totalSteps: 4)
        let training = SupervisedTraining(optimizer: SGD(momentum: 0.9), rates: rates)
        let source = ImageBatches(images, batchSize: 20, seed: 1)
        let lottery = LayerLottery(criterion: .l1, count: 2)
        let ticket = try lottery.rewoundTicket(of: network, training: training, on: source, rewindingTo: 0)
        #expect(ticket.configuration.name == (try lottery.removal(from: network).architecture.name))
        // The same by hand: a new network, cut as the trained one says, trained from the start.
        let fresh = try self.network()
        let shallow = try lottery.removal(from: network)(fresh)
        try training.run(shallow, on: source)
        for (a, b) in zip(ticket.parameters, shallow.parameters) {
            #expect(a.parameter.wrappedValue.doubles() == b.parameter.wrappedValue.doubles())
        }
        #expect(throws: CoppiceError.self) {
            try lottery.rewoundTicket(of: network, training: training, on: source, rewindingTo: 4)
        }
    }

    @Test func filtersAreScoredByTheirWeights() throws {
        let network = try network()
        let groups = try ChannelGroups(of: network, example: batch(2).inputs)
        let scores = try SummedWeights(.magnitude).scores(of: groups, in: network, on: [])
        let norms = ChannelNorm(.l1).scores(of: groups, in: network, on: [])
        #expect(scores.count == norms.count)
        for (a, b) in zip(scores.joined(), norms.joined()) { #expect(abs(a - b) < 1e-4 * max(1, b)) }
        let pruning = StructuredPruning(
            by: SummedWeights(GradientFlowCriterion()), granularity: .filters, to: .parameters(0.4), minimumShare: 0)
        let pruned = try pruning.prune(network, on: [batch()])
        let part = Double(pruned.after.parameters) / Double(pruned.before.parameters)
        #expect(part <= 0.6 && part > 0.55)
    }
}
