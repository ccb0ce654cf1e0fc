import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Testing

@Suite struct GateTrainingTests {
    private func gated(_ mode: GateMode = .layer) throws -> GatedNetwork {
        var settings = GateSettings(mode: mode)
        settings.bias = 1
        return try GatedNetwork(GatedNetworkTests.network("resnet20"), settings, seed: 1)
    }

    @Test func aBatchOfOneAndImpossibleTargetsAreErrors() throws {
        let network = try gated()
        let hook = try GateRegularization(network, target: 0.5, steps: 10)
        #expect { try hook.penalty(0, batch: GatedNetworkTests.batch(1), outputs: nil) } throws: {
            "\($0)".contains("batch_size: 1, expected at least 2")
        }
        for target in [0, -0.5, 1.01, .nan] {
            #expect { try GateRegularization(network, target: target, steps: 10) } throws: { "\($0)".contains("keep") }
        }
        #expect { try GateRegularization(network, target: 0.5, polarization: -1, steps: 10) } throws: {
            "\($0)".contains("lambda_polar")
        }
    }

    @Test func polarizationWarmsUp() throws {
        // The target is down at 3, and λ_p is five times itself at 20.
        let hook = try GateRegularization(gated(), target: 0.5, polarization: 2, steps: 30, warmup: 0.1, ramp: 0.1)
        #expect(hook.warmupSteps == 3 && hook.rampSteps == 3)
        #expect(hook.polarization(at: 0) == 0 && abs(hook.polarization(at: 1) - 2.0 / 3) < 1e-12)
        #expect(hook.polarization(at: 3) == 2 && hook.polarization(at: 20) == 10 && hook.polarization(at: 29) == 10)
    }

    @Test func theTargetFallsFromOne() throws {
        let hook = try GateRegularization(gated(), target: 0.4, steps: 30, ramp: 0.5)
        #expect(hook.rampSteps == 15 && hook.target(at: 0) == 1)
        #expect(abs(hook.target(at: 5) - 0.8) < 1e-12 && hook.target(at: 15) == 0.4 && hook.target(at: 29) == 0.4)
        // At first all gates are open, and nothing pulls at them.
        let batch = GatedNetworkTests.batch(4)
        _ = hook.network.outputs(batch.inputs)
        #expect(try hook.penalty(0, batch: batch, outputs: nil)?.doubles() == [0])
    }

    /// Far from the target, polarization pulls at a unanimous gate by half as much as the target does, at most.
    @Test func polarizationNeverHoldsGatesAwayFromTheTarget() throws {
        let hook = try GateRegularization(
            GatedNetwork(GatedNetworkTests.network("resnet20"), GateSettings(mode: .channel), seed: 1), target: 0.5,
            polarization: 1, activation: 2, steps: 30, warmup: 0, ramp: 0)
        #expect(hook.polarization(at: 0, distance: 0.01) == 1)
        #expect(abs(hook.polarization(at: 0, distance: 0.1) - 0.2) < 1e-12)
        #expect(hook.polarization(at: 0, distance: 0.5) == 1)
        // Of seven blocks three or four stay, half a gate from the target: there it acts wholly.
        let blocks = try GateRegularization(gated(), target: 0.5, steps: 30, warmup: 0)
        #expect(blocks.polarization(at: 0, distance: 0.5 / 7) == 1 && blocks.polarization(at: 0, distance: 0.1) < 1)
        let free = try GateRegularization(gated(), target: 0.5, activation: 0, steps: 30, warmup: 0)
        #expect(free.polarization(at: 0, distance: 0.3) == 1)
    }

    @Test func theSecondLayerOfManyGatesLearnsFaster() throws {
        func slopes(rate: Double) throws -> [[Double]] {
            let gate = ConsensusGate(
                mode: .channel, inputs: 2, count: 3, hidden: 2, estimator: .sigmoid, outputRate: rate, seed: 1)
            gate.output.weight = Tensor([0.5, -0.25, 0.75, 0.5, 1, 0.25] as [Float], shape: [3, 2])
            let loss = gate.logits(.ones([4, 2, 2, 2])).square().sum()
            let values = gate.parameters.map(\.parameter.wrappedValue)
            return gradients(of: loss, withRespectTo: values).map { $0.doubles() }
        }
        let (plain, fast) = (try slopes(rate: 1), try slopes(rate: 8))
        #expect(plain.contains { $0.contains { $0 != 0 } })
        // fc1's gradients are the same, fc2's eight times as large.
        for (index, factor) in [1.0, 1, 8, 8].enumerated() {
            for (a, b) in zip(plain[index], fast[index]) { #expect(abs(a * factor - b) < 1e-4 * abs(b) + 1e-6) }
        }
    }

    @Test func theLossIsTaskPlusPenalties() throws {
        for isWeighted in [false, true] {
            let network = try gated()
            GatedNetworkTests.scatter(network)
            let hook = try GateRegularization(
                network, target: 0.3, polarization: 1.5, activation: 4, steps: 1, warmup: 0, ramp: 0,
                isCostWeighted: isWeighted)
            let batch = GatedNetworkTests.batch(16)
            _ = network.outputs(batch.inputs)
            let penalty = try #require(try hook.penalty(0, batch: batch, outputs: nil)).doubles()[0]
            let means = network.blocks.map { $0.gate.means!.doubles()[0] }
            let costs = network.blocks.map { Double($0.multiplications[0]) }
            let weights = isWeighted ? costs : costs.map { _ in 1 }
            let open = zip(means, weights).reduce(0) { $0 + $1.0 * $1.1 } / weights.reduce(0, +)
            let polar = means.reduce(0) { $0 + $1 * (1 - $1) } / Double(means.count)
            let weight = hook.polarization(at: 0, distance: abs(open - 0.3))
            #expect(weight > 0 && abs(penalty - weight * polar - 4 * (open - 0.3) * (open - 0.3)) < 1e-5)
        }
    }

    @Test func runningMeansFollowAndReopeningsAreCounted() throws {
        let gate = ConsensusGate(mode: .layer, inputs: 2, count: 1, hidden: 1, estimator: .sigmoid, seed: 1)
        func pass(open: Bool) {
            gate.output.bias?.wrappedValue = .full([1], open ? 1 : -1)
            _ = gate.factors(.ones([4, 2, 2, 2]))
        }
        #expect(gate.runningMeans.doubles() == [1])
        pass(open: false)
        #expect(abs(gate.runningMeans.doubles()[0] - 0.9) < 1e-6)
        for _ in 0..<10 { pass(open: false) }
        #expect(gate.runningMeans.doubles()[0] < 0.5 && gate.reopenings.integers() == [0])
        for _ in 0..<20 { pass(open: true) }
        #expect(gate.runningMeans.doubles()[0] > 0.5 && gate.reopenings.integers() == [1])
        gate.isTraining = false
        let before = gate.runningMeans.doubles()
        pass(open: false)
        #expect(gate.runningMeans.doubles() == before && gate.means?.doubles() == [0])
    }

    @Test func reportsCountEntropyAndMultiplications() {
        let report = GateReport(
            mode: .channel,
            blocks: [
                .init(name: "a", means: [1, 0], multiplications: [10, 10], reopenings: 2),
                .init(name: "b", means: [0.5, 0.25], multiplications: [20, 40]),
            ], multiplications: 200)
        #expect(report.count == 4 && report.openCount == 2 && report.reopenings == 2)
        #expect(report.mean == 0.4375 && report.disagreement == 0.25)
        #expect(abs(report.entropy - (1 + 0.811278) / 4) < 1e-5)
        #expect(report.expectedMultiplications == 200 - 10 - 10 - 30)
        #expect(report.blocks[1].decisions == [true, false] && report.blocks[0].disagreement == 0)
    }

    @Test func biasesOfGatesDoNotDecay() throws {
        let network = try gated()
        let rates = LearningRateSchedule(kind: .constant, peak: 0.1, warmupSteps: 0, minimumRatio: 1, totalSteps: 1)
        // Nothing but decay moves a network whose loss has no gradient.
        let training = SupervisedTraining(optimizer: SGD(momentum: 0, weightDecay: 0.5), rates: rates)
        let batch = LabeledBatch(inputs: .zeros([2, 1, 16, 16]), targets: Tensor([-1, -1]))
        let before = network.parameters.map { ($0.name, $0.parameter.wrappedValue.doubles()) }
        try training.run(
            network, on: TensorBatches(inputs: batch.inputs, targets: batch.targets, batchSize: 2))
        for (own, old) in zip(network.parameters, before) {
            let new = own.parameter.wrappedValue.doubles()
            if own.name.hasPrefix("gates."), own.name.hasSuffix("bias") {
                #expect(new == old.1, "\(own.name)")
            } else {
                #expect(new == old.1.map { Double(Float($0) - 0.1 * (0.5 * Float($0))) } || old.1.contains { $0 != 0 })
                #expect(old.1.allSatisfy { $0 == 0 } || new != old.1, "\(own.name)")
            }
        }
    }

    /// The target closes gates, polarization makes them agree, and what is cut out classifies as the gated network does.
    @Test func gatesComeToAConsensus() throws {
        let images = ImageDataSet.shapes(200, size: 16, seed: 4)
        let network = try gated()
        let rates = LearningRateSchedule(kind: .cosine, peak: 0.1, warmupSteps: 0, minimumRatio: 0, totalSteps: 50)
        let training = SupervisedTraining(optimizer: SGD(momentum: 0.9, weightDecay: 5e-4), rates: rates)
        let hook = try GateRegularization(network, target: 0.5, steps: 50)
        var lowest = 1.0
        try training.run(network, on: ImageBatches(images, batchSize: 20, seed: 1), hooks: [hook]) { _, _ in
            lowest = min(lowest, network.report.mean)
        }
        #expect(network.blocks.allSatisfy { $0.gate.means == nil })
        #expect(lowest < 0.95)
        let held = Array(images.batches(of: 50))
        let extraction = try ConsensusExtraction(of: network, on: held, limit: 0.25)
        #expect(extraction.report.mean < 0.95)
        #expect(extraction.difference <= 1e-5)
        let before = numbers(of: extraction.network)
        extraction.reestimateStatistics(on: held)
        let after = numbers(of: extraction.network)
        let parameters = extraction.network.parameters.count
        #expect(Array(before.prefix(parameters)) == Array(after.prefix(parameters)))
        #expect(before.dropFirst(parameters) != after.dropFirst(parameters))
    }

    /// Of many channels as many stay as of few blocks: within a twentieth of the gates from the target.
    @Test(arguments: [0.5, 0.75]) func channelsReachTheirTarget(target: Double) throws {
        let images = ImageDataSet.shapes(200, size: 16, seed: 4)
        let network = try gated(.channel)
        let rates = LearningRateSchedule(kind: .cosine, peak: 0.1, warmupSteps: 0, minimumRatio: 0, totalSteps: 80)
        let training = SupervisedTraining(optimizer: SGD(momentum: 0.9, weightDecay: 5e-4), rates: rates)
        let hook = try GateRegularization(network, target: target, steps: 80)
        try training.run(network, on: ImageBatches(images, batchSize: 20, seed: 1), hooks: [hook])
        let extraction = try ConsensusExtraction(
            of: network, on: Array(images.batches(of: 50)), isForced: true)
        let kept = Double(extraction.keptCount) / Double(extraction.report.count)
        #expect(abs(kept - target) <= 0.05, "\(kept)")
        #expect(extraction.difference <= 1e-5)
    }

    /// Without penalties and with a target of one, gates change little: the network learns as it does without them.
    @Test func aTargetOfOneLeavesTheTrainingAlone() throws {
        let images = ImageDataSet.shapes(200, size: 16, seed: 4)
        let rates = LearningRateSchedule(kind: .cosine, peak: 0.05, warmupSteps: 0, minimumRatio: 0, totalSteps: 40)
        let training = SupervisedTraining(optimizer: SGD(momentum: 0.9, weightDecay: 5e-4), rates: rates)
        var losses: [Double] = []
        for isGated in [false, true] {
            let plain = try GatedNetworkTests.network("resnet20")
            let own: any SupervisedNetwork =
                isGated ? try GatedNetwork(plain, GateSettings(mode: .layer), seed: 1) : plain
            let hooks = try (own as? GatedNetwork).map {
                [try GateRegularization($0, target: 1, polarization: 0, steps: 40)]
            }
            var sum = 0.0
            try training.run(own, on: ImageBatches(images, batchSize: 20, seed: 1), hooks: hooks ?? []) { step, loss in
                if step >= 30 { sum += loss / 10 }
            }
            losses.append(sum)
            if let gated = own as? GatedNetwork { #expect(gated.report.mean > 0.9) }
        }
        #expect(losses[0] < 2 && abs(losses[0] - losses[1]) < 0.2, "\(losses)")
    }

    @Test func statisticsAreMeansOverBatches() throws {
        let network = SmallConvolutionNetwork()
        let batches = [images(24), images(24, seed: 11)]
        network.norm.runningMean = .full([6], 7)
        let parameters = network.parameters.map { $0.parameter.wrappedValue.doubles() }
        network.reestimateNormStatistics(on: batches) { _ = network.outputs($0.inputs) }
        let inputs = batches.map { network.convolution($0.inputs).detached() }
        let means = inputs.map { $0.mean(axes: [0, 2, 3]).doubles() }
        let variances = inputs.map { $0.variance(axes: [0, 2, 3], correction: 1).doubles() }
        for channel in 0..<6 {
            #expect(
                abs(network.norm.runningMean.doubles()[channel] - (means[0][channel] + means[1][channel]) / 2) < 1e-5)
            let variance = (variances[0][channel] + variances[1][channel]) / 2
            #expect(abs(network.norm.runningVariance.doubles()[channel] - variance) < 1e-4 * max(1, variance))
        }
        #expect(network.parameters.map { $0.parameter.wrappedValue.doubles() } == parameters)
        #expect(network.norm.isTraining && network.norm.batchCount.integers() == [0])
    }
}
