import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Testing

@Suite struct StructuredPruningTests {
    static func batch(_ network: any VisionNetwork, _ count: Int = 6, seed: UInt64 = 3) -> LabeledBatch {
        var generator = RandomGenerator(seed: seed)
        let inputs = Tensor.normal([count] + network.configuration.inputShape, using: &generator)
        let targets = (0..<count).map { $0 % network.configuration.classes }
        return LabeledBatch(inputs: inputs, targets: Tensor(targets))
    }

    static func resnet() throws -> any VisionNetwork {
        try VisionArchitecture(named: "resnet14", imageSize: 8, widthMultiplier: 0.5).makeNetwork(seed: 2)
    }

    // MARK: Criteria

    /// Two neurons that three outputs read.
    static func pair() -> SmallMLP {
        let network = SmallMLP(inputs: 2, hidden: 2, classes: 3)
        network.first.weight = Tensor([3, -4, 1, 0.5] as [Float], shape: [2, 2])
        network.second.weight = Tensor([1, 2, -2, 0, 0, 2] as [Float], shape: [3, 2])
        return network
    }

    @Test func normsOfFilters() throws {
        let network = Self.pair()
        let groups = try ChannelGroups(of: network, example: Tensor.ones([2, 2]))
        let l1 = ChannelNorm(.l1).scores(of: groups, in: network, on: [])
        #expect(l1 == [[7, 1.5]])
        let l2 = ChannelNorm(.l2).scores(of: groups, in: network, on: [])
        let root = { (x: Double) in x.squareRoot() }
        #expect(l2 == [[5, root(1.25)]])
        let all = ChannelNorm(.l2, of: .all).scores(of: groups, in: network, on: [])
        #expect(all == [[root(30), root(9.25)]])
        let squares = ChannelNorm.group.scores(of: groups, in: network, on: [])
        #expect(abs(squares[0][0] - 30 / 19.625) < 1e-12 && abs(squares[0][1] - 9.25 / 19.625) < 1e-12)
        let relative = ChannelNorm(.l1, isRelative: true).scores(of: groups, in: network, on: [])
        #expect(abs(relative[0][0] - 7 / 4.25) < 1e-12 && abs(relative[0][1] - 1.5 / 4.25) < 1e-12)
    }

    /// The derivative of the loss by a gate on each channel, by differences.
    @Test func taylorIsTheSlopeOfAGate() throws {
        let network = SmallMLP(inputs: 5, hidden: 4, classes: 3)
        var generator = RandomGenerator(seed: 8)
        let inputs = Tensor.normal([16, 5], using: &generator)
        let batch = LabeledBatch(inputs: inputs, targets: Tensor((0..<16).map { $0 % 3 }))
        let groups = try ChannelGroups(of: network, example: batch)
        let scores = ChannelTaylor().scores(of: groups, in: network, on: [batch])
        let weight = network.second.weight.detached().converted(to: .f64)
        let first = network.first.weight.detached().converted(to: .f64)
        func loss(_ channel: Int, _ gate: Double) -> Double {
            let gates = Tensor((0..<4).map { $0 == channel ? gate : 1.0 })
            let hidden = inputs.converted(to: .f64).matmul(first.transposed()).relu() * gates
            return hidden.matmul(weight.transposed()).meanCrossEntropy(targets: batch.targets).doubles()[0]
        }
        for channel in 0..<4 {
            let slope = (loss(channel, 1 + 1e-5) - loss(channel, 1 - 1e-5)) / 2e-5
            #expect(abs(scores[0][channel] - slope * slope) <= 1e-4 * slope * slope + 1e-9, "channel \(channel)")
        }
    }

    @Test func taylorLeavesTheNetworkAsItWas() throws {
        let network = try Self.resnet()
        let before = network.stateTensors.map { $0.state.wrappedValue.doubles() }
        let groups = try ChannelGroups(of: network, example: Self.batch(network))
        _ = ChannelTaylor().scores(of: groups, in: network, on: [Self.batch(network)])
        #expect(network.stateTensors.map { $0.state.wrappedValue.doubles() } == before)
    }

    @Test func scalesOfNormalizations() throws {
        let network = try Self.resnet()
        let groups = try ChannelGroups(of: network, example: Self.batch(network))
        let (name, norm) = try #require(network.parameters.first { $0.name == "layer1.0.bn1.weight" })
        norm.wrappedValue = Tensor((0..<8).map { Float($0) - 4 })
        let scores = try NormScale().scores(of: groups, in: network, on: [])
        let group = try groups.group(madeBy: "layer1.0.conv1")
        #expect(scores[group] == (0..<8).map { abs(Double($0) - 4) }, "\(name)")
        let plain = try VisionArchitecture(named: "lenet-5").makeNetwork()
        let none = try ChannelGroups(of: plain, example: Self.batch(plain))
        #expect {
            try NormScale().scores(of: none, in: plain, on: [])
        } throws: {
            "\($0)" == "slimming: takes scales of batch normalizations, and the network has none"
        }
        #expect(throws: CoppiceError.self) { try ScaleSparsity(of: plain) }
        let hook = try ScaleSparsity(of: network, strength: 0.5)
        var slopes = network.parameters.map { Tensor.zeros($0.parameter.wrappedValue.shape) }
        hook.willUpdate(0, gradients: &slopes)
        for (own, slope) in zip(network.parameters, slopes) {
            let expected =
                own.name == name
                ? [-0.5, -0.5, -0.5, -0.5, 0, 0.5, 0.5, 0.5]
                : own.name.contains("bn") && own.name.hasSuffix("weight")
                    ? [Double](repeating: 0.5, count: slope.count) : [Double](repeating: 0, count: slope.count)
            #expect(slope.doubles() == expected, "\(own.name)")
        }
    }

    /// The penalty as a setting of training is the hook; a network without scales is refused.
    @Test func trainingPenalizesScales() throws {
        func trained(_ penalty: Double, hooks: (any VisionNetwork) throws -> [any TrainingHook]) throws -> [[Double]] {
            let network = try Self.resnet()
            var training = shortTraining(steps: 3)
            training.scaleSparsity = penalty
            let batch = Self.batch(network)
            try training.run(
                network, on: TensorBatches(inputs: batch.inputs, targets: batch.targets, batchSize: 6),
                hooks: hooks(network))
            return numbers(of: network)
        }
        let own = try trained(0.1) { _ in [] }
        #expect(try own == trained(0) { [try ScaleSparsity(of: $0, strength: 0.1)] })
        #expect(try own != trained(0) { _ in [] })
        let (inputs, targets) = clusters()
        var training = shortTraining(steps: 1)
        training.scaleSparsity = 0.1
        #expect {
            try training.run(SmallMLP(), on: TensorBatches(inputs: inputs, targets: targets, batchSize: 8))
        } throws: { "\($0)" == "the network has no batch normalization to sparsify" }
    }

    // MARK: Order

    @Test func globalOrderFollowsScores() {
        let scores = [[3.0, 1, 2], [2, .infinity, 0.5]]
        let order = GlobalChannels().order(of: scores, limits: [2, 3])
        #expect(order.map(\.group) == [1, 0, 0, 1])
        #expect(order.map(\.channel) == [2, 1, 2, 0])
    }

    /// Scores that estimate the loss are compared over what a channel costs; others as they are.
    @Test func estimatesOfTheLossAreComparedOverCost() throws {
        struct Given: ChannelCriterion {
            static let name = "given"
            let scores: [[Double]]
            let estimatesLoss: Bool
            var needsData: Bool { false }
            func scores(
                of groups: ChannelGroups, in network: any SupervisedNetwork, on batches: [LabeledBatch]
            ) -> [[Double]] { scores }
        }
        let network = try VisionArchitecture(named: "lenet-300-100").makeNetwork(seed: 1)
        let batch = Self.batch(network)
        let groups = try ChannelGroups(of: network, example: batch)
        #expect(groups.groups.map(\.count) == [300, 100])
        // A neuron of the first layer takes 784 + 100 multiplications, one of the second 300 + 10.
        let scores = [[Double](repeating: 2, count: 300), [Double](repeating: 1, count: 100)]
        func first(_ target: StructuredPruning.Target, estimatesLoss: Bool) throws -> [Int] {
            let kept = try StructuredPruning(by: Given(scores: scores, estimatesLoss: estimatesLoss), to: target)
                .choose(of: groups, in: network, on: [batch])
            return groups.groups.indices.map { kept.count(ofGroup: $0) }
        }
        let multiplications = StructuredPruning.Target.multiplyAccumulates(0.1)
        #expect(try first(multiplications, estimatesLoss: true)[1] == 100)
        #expect(try first(multiplications, estimatesLoss: false)[0] == 300)
        #expect(try first(.parameters(0.1), estimatesLoss: true)[1] == 100)
        #expect(try first(.channels(0.1), estimatesLoss: true) == [300, 60])
    }

    @Test func uniformOrderTakesEqualParts() {
        let scores = [[4.0, 3, 2, 1], [100, 200]]
        let order = UniformChannels().order(of: scores, limits: [3, 1])
        #expect(order.map(\.group) == [0, 0, 1, 0])
        #expect(order.map(\.channel) == [3, 2, 0, 1])
    }

    // MARK: Pruning

    static let targets: [StructuredPruning.Target] = [.channels(0.4), .parameters(0.5), .multiplyAccumulates(0.5)]

    @Test(arguments: targets) func meetsItsTargetByAsLittleAsPossible(target: StructuredPruning.Target) throws {
        let network = try Self.resnet()
        let batch = Self.batch(network)
        let before = Snapshot(of: network)
        let pruned = try StructuredPruning(by: ChannelNorm(), to: target).prune(network, on: [batch])
        before.restore(network)
        #expect(try pruned.after == NetworkCost(of: pruned.network, example: batch.inputs))
        #expect(try pruned.before == NetworkCost(of: network, example: batch.inputs))
        func part(_ kept: KeptChannels) -> Double {
            let cost = pruned.groups.cost(keeping: kept)
            let whole = KeptChannels(allOf: pruned.groups).count
            return switch target {
            case .channels: 1 - Double(kept.count) / Double(whole)
            case .parameters: 1 - Double(cost.parameters) / Double(pruned.before.parameters)
            case .multiplyAccumulates:
                1 - Double(cost.multiplyAccumulates) / Double(pruned.before.multiplyAccumulates)
            }
        }
        let wanted = target == .channels(0.4) ? 0.4 : 0.5
        #expect(part(pruned.kept) >= wanted)
        // The channel that went last was needed.
        let scores = ChannelNorm().scores(of: pruned.groups, in: network, on: [])
        var last: (score: Double, group: Int, channel: Int)?
        for (group, own) in scores.enumerated() {
            for (channel, score) in own.enumerated() where !pruned.kept[group, channel] {
                if last.map({ $0.score < score }) ?? true { last = (score, group, channel) }
            }
        }
        let (_, group, channel) = try #require(last)
        var more = pruned.kept
        more[group, channel] = true
        #expect(part(more) < wanted)
    }

    @Test func filtersLeaveResidualStreams() throws {
        let network = try Self.resnet()
        let pruning = StructuredPruning(
            by: ChannelNorm(), allocation: UniformChannels(), granularity: .filters, to: .channels(0.2))
        let pruned = try pruning.prune(network, on: [Self.batch(network)])
        let shapes = Dictionary(
            uniqueKeysWithValues: pruned.network.parameters.map { ($0.name, $0.parameter.wrappedValue.shape) })
        #expect(shapes["conv1.weight"] == [8, 3, 3, 3] && shapes["fc.weight"] == [10, 32])
        let inner = try #require(shapes["layer1.0.conv1.weight"])
        #expect(inner[0] < 8 && inner[1] == 8)
    }

    @Test func neuronsLeaveConvolutions() throws {
        let network = try VisionArchitecture(named: "lenet-5", widthMultiplier: 0.2).makeNetwork()
        let pruning = StructuredPruning(
            by: RandomChannels(seed: 4), granularity: .neurons, to: .parameters(0.3), minimumShare: 0)
        let pruned = try pruning.prune(network, on: [Self.batch(network)])
        let shapes = Dictionary(
            uniqueKeysWithValues: pruned.network.parameters.map { ($0.name, $0.parameter.wrappedValue.shape) })
        #expect(shapes["conv1.weight"]?[0] == 4 && shapes["conv2.weight"]?[0] == 10)
        #expect((shapes["fc1.weight"]?[0] ?? 100) < 100)
    }

    @Test func everyGroupKeepsItsShare() throws {
        let network = try Self.resnet()
        let pruning = StructuredPruning(
            by: ChannelNorm(), to: .channels(0.7), minimumShare: 0.25, ignore: [WeightPattern("layer1.0.conv1")])
        let pruned = try pruning.prune(network, on: [Self.batch(network)])
        for (index, group) in pruned.groups.groups.enumerated() {
            #expect(4 * pruned.kept.count(ofGroup: index) >= group.count)
        }
        let inner = try pruned.groups.group(madeBy: "layer1.0.conv1")
        #expect(pruned.kept.count(ofGroup: inner) == pruned.groups.groups[inner].count)
    }

    @Test func refusesWhatIsImpossible() throws {
        let network = try Self.resnet()
        let batch = Self.batch(network)
        func fails(_ pruning: StructuredPruning, _ batches: [LabeledBatch], _ field: String) {
            do {
                _ = try pruning.prune(network, on: batches)
                Issue.record("no error about \(field)")
            } catch let error as CoppiceError {
                #expect(error.kind == .usage && error.field == field)
            } catch { Issue.record("\(error)") }
        }
        fails(StructuredPruning(by: ChannelNorm(), to: .channels(1)), [batch], "target")
        fails(StructuredPruning(by: ChannelNorm(), to: .channels(0.8), minimumShare: 0.5), [batch], "target")
        fails(StructuredPruning(by: ChannelNorm(), to: .channels(0.5), minimumShare: 2), [batch], "minimum share")
        fails(StructuredPruning(by: ChannelTaylor(), to: .channels(0.5)), [], "batches")
        let misspelt = [WeightPattern("layer9")]
        fails(StructuredPruning(by: ChannelNorm(), to: .channels(0.5), ignore: misspelt), [batch], "ignore")
    }

    @Test func theSmallerNetworkTrainsOn() throws {
        let network = try Self.resnet()
        let batch = Self.batch(network, 10)
        let pruned = try StructuredPruning(by: ChannelTaylor(), to: .multiplyAccumulates(0.5)).prune(
            network, on: [batch])
        let before = Classification(of: pruned.network, on: [batch]).loss
        let rates = LearningRateSchedule(
            kind: .constant, peak: 0.05, warmupSteps: 0, minimumRatio: 1, totalSteps: 40)
        let training = SupervisedTraining(optimizer: SGD(momentum: 0.9), rates: rates)
        let source = TensorBatches(inputs: batch.inputs, targets: batch.targets, batchSize: 10)
        try FineTuning(training).recover(PrunableNetwork(pruned.network), on: source)
        #expect(Classification(of: pruned.network, on: [batch]).loss < 0.5 * before)
    }
}
