import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Testing

@Suite struct GrokkingTests {
    private func task(
        _ model: GrokkingTask.ArithmeticModel = .perceptron(embeddingSize: 16, hiddenSize: 16), modulus: Int = 11
    ) throws -> GrokkingTask {
        try .arithmetic(ModularArithmetic(.add, modulus: modulus), model: model, trainFraction: 0.5, splitSeed: 1)
    }

    private func values(_ network: any SupervisedNetwork) -> [[Float]] {
        network.parameters.map { $0.parameter.wrappedValue.floats() }
    }

    @Test func keepingAllReproducesTheDenseRunBitForBit() throws {
        let task = try task()
        var training = GrokkingTraining(steps: 60)
        training.interval = 7
        let study = GrokkingStudy(task: task, training: training, seed: 3)
        let dense = try study.dense()
        let whole = try study.run(GrokkingArm(.ticket(step: nil), kept: 1, steps: 60), after: dense)
        #expect(whole.curve == dense.outcome.curve)
        #expect(whole.overlap == 1)
        #expect(dense.outcome.curve.points.map(\.step) == [0, 7, 14, 21, 28, 35, 42, 49, 56, 60])
    }

    @Test func keptStepsChangeNothing() throws {
        let task = try task()
        let training = GrokkingTraining(steps: 40)
        let (a, b) = (task.makeNetwork(2), task.makeNetwork(2))
        let one = try training.run(a, on: task)
        let two = try training.run(b, on: task, snapshots: [3, 17, 40, 99])
        #expect(one.curve == two.curve && values(a) == values(b))
        #expect(Set(two.snapshots.keys) == [3, 17, 40])
    }

    @Test func removedWeightsStayZeroAndSoDoTheirMoments() throws {
        let task = try task()
        let network = task.makeNetwork(1)
        let prunable = try PrunableNetwork(network, includesEmbeddings: true)
        #expect(prunable.count == network.parameterCount)
        prunable.setMasks(try GrokkingTicket.masks(of: network, kept: 0.4))
        let removed = prunable.removedCount
        #expect(removed == ExactSelection.removedCount(prunable.count, sparsity: 0.6))
        let optimizer = AdamW(beta1: 0.9, beta2: 0.98, weightDecay: 1)
        let training = SupervisedTraining(
            optimizer: optimizer,
            rates: .init(kind: .constant, peak: 1e-2, warmupSteps: 0, minimumRatio: 1, totalSteps: 30))
        var state = OptimizerState(optimizer, for: network)
        try training.run(
            network, on: TensorBatches(inputs: task.train.inputs, targets: task.train.targets, batchSize: 1_000),
            state: &state, hooks: [MaskedTraining(prunable)])
        for (index, mask) in prunable.masks.enumerated() {
            let gone = mask.complement.indicator
            for tensor in [prunable.values(index)] + state.slots[prunable.places[index]] {
                #expect((tensor.reshaped(gone.shape) * gone).abs().sum().scalar == 0)
            }
        }
    }

    @Test func thresholdIsGlobalOverAllTensors() throws {
        let network = try task().makeNetwork(1)
        let all = values(network).flatMap { $0 }.map(\.magnitude).sorted(by: >)
        let masks = try GrokkingTicket.masks(of: network, kept: 0.25)
        let keptCount = all.count - ExactSelection.removedCount(all.count, sparsity: 0.75)
        #expect(masks.reduce(0) { $0 + $1.keptCount } == keptCount)
        for (mask, own) in zip(masks, values(network)) {
            #expect(mask.keptCount == own.count { $0.magnitude >= all[keptCount - 1] })
        }
    }

    @Test(arguments: WeightNorms.Order.allCases, [false, true])
    func matchedNormsAreThoseOfTheTicket(order: WeightNorms.Order, perTensor: Bool) throws {
        let network = try task().makeNetwork(4)
        let masks = try GrokkingTicket.masks(of: network, kept: 0.3)
        let initial = Snapshot(of: network)
        let prunable = try PrunableNetwork(network, includesEmbeddings: true)
        prunable.setMasks(masks)
        let target = WeightNorms(of: network)
        initial.restore(network)
        try GrokkingTicket.matchNorm(of: network, to: masks, order, perTensor: perTensor)
        let found = WeightNorms(of: network)
        if perTensor {
            let (a, b) = order == .l1 ? (found.l1OfEach, target.l1OfEach) : (found.l2OfEach, target.l2OfEach)
            for (x, y) in zip(a, b) { #expect(abs(x - y) < 1e-6 * y) }
        } else {
            #expect(abs(found.total(order) - target.total(order)) < 1e-6 * target.total(order))
        }
        #expect(values(network).allSatisfy { !$0.contains(0) })
    }

    @Test func synapticFlowIsTheSameThroughEachLayer() throws {
        let network = try task().makeNetwork(2)
        let prunable = try PrunableNetwork(network, includesEmbeddings: true)
        let scores = try SynapticFlowCriterion(inputShape: [2, 11]).scores(of: prunable, on: [])
        let sums = scores.map { $0.converted(to: .f64).sum().doubles()[0] }
        #expect(sums.count == 4)
        for sum in sums { #expect(abs(sum - sums[0]) < 1e-6 * sums[0]) }
    }

    @Test(arguments: [GrokkingArm.Start.random, .snip, .grasp, .synflow])
    func criteriaAtInitializationKeepTheirShare(start: GrokkingArm.Start) throws {
        for model in [GrokkingTask.ArithmeticModel.perceptron(embeddingSize: 12, hiddenSize: 8), .transformer(size: 8)]
        {
            let study = GrokkingStudy(task: try task(model), training: GrokkingTraining(steps: 12), seed: 1)
            let dense = try study.dense()
            let outcome = try study.run(GrokkingArm(start, kept: 0.5, steps: 4), after: dense)
            #expect(outcome.curve.points.last?.step == 4)
            #expect(outcome.overlap.map { $0 > 0 && $0 < 1 } == true)
        }
    }

    @Test func sideBySideIsTheSameAsOneAfterAnother() throws {
        let study = GrokkingStudy(task: try task(), training: GrokkingTraining(steps: 30), seed: 5)
        let dense = try study.dense(sourceSteps: [10])
        let arms = [
            GrokkingArm(.ticket(step: nil), steps: 20), GrokkingArm(.ticket(step: 10), kept: 0.3, steps: 20),
            GrokkingArm(.matchedNorm(.l2), steps: 20), GrokkingArm(.random, weightDecay: 0, steps: 20),
        ]
        #expect(try study.run(arms, after: dense) == arms.map { try study.run($0, after: dense) })
    }

    @Test func wrongOnesAreNamed() throws {
        let study = GrokkingStudy(task: try task(), training: GrokkingTraining(steps: 5), seed: 1)
        let dense = try study.dense()
        for kept in [0, -0.1, 1.1, Double.nan] {
            #expect(throws: CoppiceError.self) {
                try study.run(GrokkingArm(.ticket(step: nil), kept: kept, steps: 5), after: dense)
            }
        }
        do {
            _ = try study.run(GrokkingArm(.ticket(step: 3), steps: 5), after: dense)
            Issue.record("a ticket of a step without weights")
        } catch let error as CoppiceError {
            #expect(error.description.contains("step 3") && error.description.contains("5"))
        }
        #expect(throws: CoppiceError.self) {
            try GrokkingTraining(steps: 0).run(study.task.makeNetwork(0), on: study.task)
        }
    }

    @Test func spectrumKeepsTheSquares() {
        var generator = RandomGenerator(seed: 1)
        for tokens in [2, 10, 67] {
            let embedding = Tensor.normal([tokens, 6], using: &generator)
            let spectrum = FourierSpectrum(of: embedding)
            let squares = embedding.doubles().reduce(0) { $0 + $1 * $1 }
            #expect(spectrum.power.count == tokens / 2 + 1)
            #expect(abs(spectrum.total - squares) < 1e-9 * squares)
        }
    }

    @Test func spectrumFindsWaves() {
        let tokens = 31
        let values = (0..<tokens).flatMap { token -> [Float] in
            let angle = 2 * Float.pi * Float(token) / Float(tokens)
            return [angle * 3, angle * 7].map { sine($0) }
        }
        let spectrum = FourierSpectrum(of: Tensor(values, shape: [tokens, 2]))
        #expect(spectrum.dominantCount() == 2)
        let ranked = spectrum.power.indices.sorted { spectrum.power[$0] > spectrum.power[$1] }
        #expect(Set(ranked.prefix(2)) == [3, 7])
    }

    private func sine(_ x: Float) -> Float { Tensor(Double(x)).sin().scalar }

    @Test func pruningCurveStartsDenseAndLeavesTheNetworkAlone() throws {
        let task = try task()
        let network = task.makeNetwork(1)
        _ = try GrokkingTraining(steps: 50).run(network, on: task)
        let before = values(network)
        let curve = try PruningCurve(of: network, on: task, spacing: 0.1)
        #expect(values(network) == before)
        #expect(curve.points.count == 10)
        let whole = GrokkingTraining.measure(network, on: task)
        #expect(curve.points[0].trainAccuracy == whole.trainAccuracy && curve.points[0].testLoss == whole.testLoss)
        #expect(curve.csv.split(separator: "\n").count == 11)
    }

    @Test func scoresAloneLearn() throws {
        let task = try task()
        let network = task.makeNetwork(1)
        let before = values(network)
        let (curve, masks) = try EdgePopup(kept: 0.5, steps: 60).run(network, on: task, seed: 1)
        #expect((curve.points.last?.trainLoss ?? .infinity) < 0.9 * curve.points[0].trainLoss)
        for ((own, old), mask) in zip(zip(values(network), before), masks) {
            #expect(mask.keptCount == own.count - ExactSelection.removedCount(own.count, sparsity: 0.5))
            // Weights are used as they were, or not at all.
            for (a, b) in zip(own, old) { #expect(a == b || a == 0) }
        }
        #expect(throws: CoppiceError.self) { try EdgePopup(kept: 0, steps: 1).run(network, on: task, seed: 1) }
    }

    @Test func penaltyShrinksWeights() throws {
        let task = try task()
        var training = GrokkingTraining(steps: 50)
        training.weightDecay = 0
        let (free, bound) = (task.makeNetwork(1), task.makeNetwork(1))
        _ = try training.run(free, on: task)
        _ = try training.run(bound, on: task, hooks: [NormPenalty(bound, power: .two, strength: 1e-2)])
        #expect(WeightNorms(of: bound).total(.l2) < WeightNorms(of: free).total(.l2))
    }

    /// An arm with a penalty is what training with the hook gives, from the dense run's initial weights; without
    /// strength, and with the dense run's decay, arms are the dense run.
    @Test func regularizedArmsBeginAsTheDenseRun() throws {
        let task = try task()
        let training = GrokkingTraining(steps: 50)
        let study = GrokkingStudy(task: task, training: training, seed: 1)
        let dense = try study.dense()
        let penalty = GrokkingArm(.penalty(.two, strength: 1e-2), kept: 1, weightDecay: 0, steps: 50)
        let outcome = try study.run(penalty, after: dense)
        var free = training
        free.weightDecay = 0
        free.stopAccuracy = training.threshold
        let network = task.makeNetwork(1)
        let hook = NormPenalty(network, power: .two, strength: 1e-2)
        #expect(try outcome.curve == free.run(network, on: task, hooks: [hook]).curve)
        #expect(outcome.initialNorms == dense.outcome.initialNorms && outcome.overlap == nil)
        let none = GrokkingArm(.penalty(.one, strength: 0), kept: 1, weightDecay: 1, steps: 50)
        let same = GrokkingArm(.otherDecay, kept: 1, weightDecay: 1, steps: 50)
        let more = GrokkingArm(.otherDecay, kept: 1, weightDecay: 100, steps: 50)
        let curves = try study.run([none, same, more], after: dense).map(\.curve)
        #expect(curves[0] == dense.outcome.curve && curves[1] == dense.outcome.curve)
        #expect((curves[2].points.last?.norms.l2 ?? .nan) < (dense.outcome.curve.points.last?.norms.l2 ?? .nan))
        #expect(outcome.curve != dense.outcome.curve)
    }

    @Test func delayIsTestMinusTraining() {
        let norms = WeightNorms(of: [Tensor([1 as Float, 2])])
        func point(_ step: Int, _ train: Double, _ test: Double) -> GrokkingCurve.Point {
            .init(step: step, trainAccuracy: train, testAccuracy: test, trainLoss: 1, testLoss: 1, norms: norms)
        }
        var curve = GrokkingCurve()
        curve.points = [point(0, 0, 0), point(10, 0.96, 0.1), point(20, 0.9, 0.2), point(30, 1, 0.5)]
        #expect(curve.trainStep == 10 && curve.testStep == nil && curve.delay == nil)
        #expect(curve.delayOrBound == (20, true))
        curve.points.append(point(40, 1, 0.95))
        #expect(curve.delay == 30 && curve.delayOrBound == (30, false))
        #expect(norms.l1 == 3 && abs(norms.l2 - 5.0.squareRoot()) < 1e-12)
    }
}
