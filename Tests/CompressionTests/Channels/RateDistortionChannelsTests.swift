import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Testing

/// A network of four classes whose norms do something.
private func network(_ name: String, _ multiplier: Double, _ size: Windows.Axes) throws -> any VisionNetwork {
    let network = try VisionArchitecture(named: name, classes: 4, imageSize: size, widthMultiplier: multiplier)
        .makeNetwork(seed: 5)
    var generator = RandomGenerator(seed: 6)
    for (name, parameter) in network.parameters where parameter.wrappedValue.rank == 1 {
        let own = Tensor.uniform(parameter.wrappedValue.shape, low: 0.5, high: 1.5, using: &generator)
        parameter.wrappedValue = name.hasSuffix("bias") ? own - 1 : own
    }
    network.setTraining(false)
    return network
}

private func images(_ network: any VisionNetwork, _ count: Int, seed: UInt64 = 9) -> Tensor {
    var generator = RandomGenerator(seed: seed)
    return .normal([count] + network.configuration.inputShape, using: &generator)
}

private func batch(_ inputs: Tensor) -> LabeledBatch {
    LabeledBatch(inputs: inputs, targets: Tensor((0..<inputs.shape[0]).map { $0 % 4 }))
}

private func outputs(_ network: any SupervisedNetwork, _ inputs: Tensor) -> Tensor {
    network.inUse { network.outputs(inputs) }
}

/// Channels of each group, those of the least scores first; a tenth of them stays.
private func candidates(_ scores: [[Double]]) -> [[Int]] {
    scores.map { own in
        let order = own.indices.sorted { (own[$0], $0) < (own[$1], $1) }
        return Array(order.prefix(own.count - max(1, Int((0.1 * Double(own.count)).rounded(.up)))))
    }
}

@Suite struct RateDistortionChannelsTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var multiplier: Double
        var size: Windows.Axes
        var testDescription: String { name }
    }

    static let cases = [
        Case(name: "lenet-5", multiplier: 0.4, size: 20), Case(name: "vgg11-bn", multiplier: 0.1, size: 32),
        Case(name: "resnet14", multiplier: 0.5, size: 8), Case(name: "resnet14-projected", multiplier: 0.5, size: 8),
        Case(name: "mobilenet-v2-cifar", multiplier: 0.5, size: 32),
        Case(name: "shufflenet-v2-1.0-cifar", multiplier: 0.2, size: 32),
        Case(name: "densenet-bc-16-3", multiplier: 1, size: 8),
    ]

    // MARK: Curves

    /// Plain chains, residual sums with and without padding, convolutions of each channel alone, shuffled halves,
    /// concatenations, flattened images: each point is what the smaller network does that has the channels cut out.
    @Test(arguments: cases) func pointsAreThoseOfNetworksThatAreCut(item: Case) throws {
        let network = try network(item.name, item.multiplier, item.size)
        let inputs = images(network, 4)
        let before = numbers(of: network)
        let groups = try ChannelGroups(of: network, example: inputs)
        let candidates = candidates(ChannelNorm.group.scores(of: groups, in: network, on: []))
        let curves = try groups.distortionCurves(
            of: network, removing: candidates, gone: candidates.map { _ in 0 },
            on: [0..<3, 3..<4].map { inputs.slice(axis: 0, $0).contiguous() }, grid: RateGrid(steps: 2))
        #expect(numbers(of: network) == before)
        #expect(curves.map(\.name) == groups.groups.map(\.name) && curves.map(\.count) == groups.groups.map(\.count))
        let reference = outputs(network, inputs)
        let scale = OutputDistortion.mean.value(
            of: OutputDistortion.squaredErrors(reference, to: .zeros(reference.shape))
        ).squareRoot()
        var (seen, count) = (0, 0)
        // Of many groups some.
        let stride = max(1, curves.count / 10)
        for (index, (curve, own)) in zip(curves, candidates).enumerated() {
            #expect(curve.points[0] == .init(kept: curve.count, distortion: 0))
            #expect(curve.points.last?.kept == curve.count - own.count)
            for point in curve.points.dropFirst() where index % stride == 0 {
                var kept = KeptChannels(allOf: groups)
                for channel in own.prefix(curve.count - point.kept) { kept.remove(channel, ofGroup: index) }
                let narrow = try network.removingChannels(of: groups, keeping: kept)
                let expected = OutputDistortion.mean.value(
                    of: OutputDistortion.squaredErrors(outputs(narrow, inputs), to: reference))
                let error = abs(point.distortion.squareRoot() - expected.squareRoot())
                #expect(error <= 1e-4 * scale, "\(curve.name) keeping \(point.kept): \(point.distortion), \(expected)")
                count += 1
                if expected.squareRoot() > 1e-3 * scale { seen += 1 }
            }
        }
        // What goes is seen in the outputs.
        #expect(count > 0 && 4 * seen > count)
        // The channels of images stay.
        let first = network.parameters[0].name
        #expect(groups.groups.allSatisfy { group in !group.members.contains { $0.isReader && $0.name == first } })
    }

    @Test func curvesOfANetworkBeginAtWhatHasGone() throws {
        let network = try network("resnet14", 0.5, 8)
        let inputs = images(network, 3)
        let groups = try ChannelGroups(of: network, example: inputs)
        let candidates = candidates(ChannelNorm.group.scores(of: groups, in: network, on: []))
        var kept = KeptChannels(allOf: groups)
        for (index, own) in candidates.enumerated() {
            for channel in own.prefix(2) { kept.remove(channel, ofGroup: index) }
        }
        groups.mask(network, keeping: kept)
        let curves = try groups.distortionCurves(
            of: network, removing: candidates, gone: candidates.map { min(2, $0.count) }, on: [inputs],
            grid: RateGrid(steps: 4))
        for (index, curve) in curves.enumerated() {
            #expect(curve.points[0] == .init(kept: kept.count(ofGroup: index), distortion: 0))
        }
    }

    // MARK: Allocation

    @Test(arguments: StructuredPruningTests.targets) func theSmallerNetworkMeetsTheBudget(
        target: StructuredPruning.Target
    ) throws {
        let network = try network("resnet14", 0.5, 8)
        let inputs = images(network, 4)
        let grid = RateGrid(steps: 8)
        let pruning = StructuredPruning(
            by: ChannelNorm.group, allocation: RateDistortionChannels(on: [inputs], grid: grid), to: target)
        let pruned = try pruning.prune(network, on: [batch(inputs)])
        #expect(try pruned.after == NetworkCost(of: pruned.network, example: inputs))
        func isWithin(_ kept: KeptChannels) -> Bool {
            let cost = pruned.groups.cost(keeping: kept)
            return switch target {
            case .channels: 5 * kept.count <= 3 * KeptChannels(allOf: pruned.groups).count
            case .parameters: 2 * cost.parameters <= pruned.before.parameters
            case .multiplyAccumulates: 2 * cost.multiplyAccumulates <= pruned.before.multiplyAccumulates
            }
        }
        #expect(isWithin(pruned.kept))
        // The least scores go, and one more channel that lowers the distortion would be too much.
        let candidates = candidates(ChannelNorm.group.scores(of: pruned.groups, in: network, on: []))
        let curves = try pruned.groups.distortionCurves(
            of: network, removing: candidates, gone: candidates.map { _ in 0 }, on: [inputs], grid: grid)
        for (index, (curve, own)) in zip(curves, candidates).enumerated() {
            let left = pruned.kept.count(ofGroup: index)
            #expect(own.prefix(curve.count - left).allSatisfy { !pruned.kept[index, $0] })
            guard left < curve.count, curve.distortion(keeping: left + 1) < curve.distortion(keeping: left) else {
                continue
            }
            var more = pruned.kept
            more[index, own[curve.count - left - 1]] = true
            #expect(!isWithin(more), "\(curve.name) keeps \(left) of \(curve.count)")
        }
    }

    /// Neurons that nothing reads cost the outputs nothing: they go, and none that count.
    @Test func whatCostsNothingGoesFirst() throws {
        let network = try VisionArchitecture(named: "lenet-300-100", widthMultiplier: 0.1).makeNetwork(seed: 3)
        let inputs = images(network, 16)
        let groups = try ChannelGroups(of: network, example: inputs)
        #expect(groups.groups.map(\.count) == [30, 10])
        let parameters = Dictionary(uniqueKeysWithValues: network.parameters.map { ($0.name, $0.parameter) })
        let maker = try #require(groups.groups[0].makers.first.flatMap { parameters[$0.name] })
        let reader = try #require(
            groups.groups[0].members.first(where: \.isReader).flatMap { parameters[$0.name] })
        let isRead = Tensor((0..<30).map { Float($0 < 15 ? 1 : 0) })
        reader.wrappedValue = reader.wrappedValue.detached() * isRead.reshaped([1, 30])
        maker.wrappedValue = maker.wrappedValue.detached() * (isRead * 0.9 + 0.1).reshaped([30, 1])
        let before = numbers(of: network)
        let reference = outputs(network, inputs)
        func distortion(_ allocation: any ChannelAllocation) throws -> Double {
            let snapshot = Snapshot(of: network)
            defer { snapshot.restore(network) }
            let kept = try StructuredPruning(by: ChannelNorm(.l2), allocation: allocation, to: .channels(0.375))
                .choose(of: groups, in: network, on: [batch(inputs)])
            #expect(numbers(of: network) == before && kept.count <= 25)
            groups.mask(network, keeping: kept)
            return OutputDistortion.mean.value(
                of: OutputDistortion.squaredErrors(outputs(network, inputs), to: reference))
        }
        #expect(try distortion(RateDistortionChannels(on: [inputs])) < 1e-12)
        #expect(try distortion(UniformChannels()) > 1e-6)
    }

    /// What a round removes the next ones remove too, and the network is left as it was.
    @Test func roundsAreNested() throws {
        let network = try network("resnet14-projected", 0.5, 8)
        let inputs = images(network, 3)
        let groups = try ChannelGroups(of: network, example: inputs)
        let before = numbers(of: network)
        func kept(_ part: Double, rounds: Int, by allocation: any ChannelAllocation) throws -> KeptChannels {
            var pruning = StructuredPruning(
                by: ChannelNorm(.l1), allocation: allocation, to: .multiplyAccumulates(part))
            pruning.rounds = rounds
            return try pruning.choose(of: groups, in: network, on: [batch(inputs)])
        }
        let half = SparsityRamp.geometric.sparsity(at: 0.5, from: 0, to: 0.6)
        let measured = RateDistortionChannels(on: [inputs], grid: RateGrid(steps: 6))
        for allocation in [measured, UniformChannels(), GlobalChannels()] as [any ChannelAllocation] {
            let (first, last) = (
                try kept(half, rounds: 1, by: allocation), try kept(0.6, rounds: 2, by: allocation)
            )
            #expect(last.count(notIn: first) == 0 && last.count < first.count)
            #expect(5 * groups.cost(keeping: last).multiplyAccumulates <= 2 * groups.cost().multiplyAccumulates)
        }
        #expect(numbers(of: network) == before)
    }

    @Test func whatIsImpossibleIsSaid() throws {
        let network = try network("resnet14", 0.5, 8)
        let inputs = images(network, 2)
        func failure(_ inputs: [Tensor], to target: StructuredPruning.Target, rounds: Int = 1) -> String {
            var pruning = StructuredPruning(
                by: ChannelNorm.group, allocation: RateDistortionChannels(on: inputs), to: target)
            pruning.rounds = rounds
            do {
                _ = try pruning.prune(network, on: [batch(images(network, 2))])
                return "nothing was wrong"
            } catch { return "\(error)" }
        }
        #expect(failure([], to: .channels(0.5)) == "inputs: there are none to measure distortion on")
        // Before anything is measured.
        for rounds in [1, 3] {
            let message = failure([], to: .channels(0.99), rounds: rounds)
            #expect(message.hasPrefix("target: 0.99 of channels, but at most 0.8"), "\(message)")
        }
        let (name, bias) = try #require(network.parameters.last { $0.parameter.wrappedValue.rank == 1 })
        bias.wrappedValue = Tensor([Float](repeating: .infinity, count: bias.wrappedValue.count))
        let message = failure([inputs], to: .channels(0.5))
        #expect(message.contains("outputs are not finite when it keeps"), "\(name): \(message)")
    }
}
