import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Testing

@Suite struct ChannelGroupsTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var multiplier: Double
        var size: Windows.Axes
        var testDescription: String { name }
    }

    static let cases = [
        Case(name: "lenet-300-100", multiplier: 0.1, size: 8), Case(name: "lenet-5", multiplier: 0.4, size: 16),
        Case(name: "vgg11-bn", multiplier: 0.1, size: 32), Case(name: "vgg11-bn-imagenet", multiplier: 0.03, size: 32),
        Case(name: "resnet14", multiplier: 0.5, size: 8), Case(name: "resnet14-projected", multiplier: 0.5, size: 8),
        Case(name: "resnet18-cifar", multiplier: 0.1, size: 8),
        Case(name: "resnet-1-2-1-1-bottleneck", multiplier: 0.1, size: 32),
        Case(name: "wrn-10-2", multiplier: 0.25, size: 8), Case(name: "mobilenet-v1-cifar", multiplier: 0.1, size: 32),
        Case(name: "mobilenet-v2-cifar", multiplier: 0.5, size: 32),
        Case(name: "shufflenet-v2-1.0-cifar", multiplier: 0.2, size: 32),
        Case(name: "densenet-2-1-2-k4", multiplier: 1, size: 32),
        Case(name: "densenet-bc-16-3", multiplier: 1, size: 8), Case(name: "vit-2-24-p4", multiplier: 1, size: 8),
    ]

    static func network(_ item: Case) throws -> any VisionNetwork {
        var configuration = try VisionArchitecture(
            named: item.name, classes: 4, imageSize: item.size, widthMultiplier: item.multiplier
        ).configuration
        // Random zeros would differ between the wide and the narrow network.
        if var own = configuration as? VGG.Configuration {
            own.dropout = 0
            configuration = own
        }
        if var own = configuration as? MobileNetV2.Configuration {
            own.dropout = 0
            configuration = own
        }
        let network = try VisionArchitecture(configuration).makeNetwork(seed: 5)
        // Norms that do something.
        var generator = RandomGenerator(seed: 6)
        for (name, parameter) in network.parameters where parameter.wrappedValue.rank == 1 {
            let shape = parameter.wrappedValue.shape
            let own = Tensor.uniform(shape, low: 0.5, high: 1.5, using: &generator)
            parameter.wrappedValue = name.hasSuffix("bias") ? own - 1 : own
        }
        for (_, state) in network.stateTensors where state.wrappedValue.rank == 1 {
            state.wrappedValue = Tensor.uniform(state.wrappedValue.shape, low: 0.5, high: 1.5, using: &generator)
        }
        return network
    }

    static func images(_ network: any VisionNetwork, _ count: Int) -> Tensor {
        var generator = RandomGenerator(seed: 9)
        return .normal([count] + network.configuration.inputShape, using: &generator)
    }

    /// Removes a third of the channels of each group at random, at least one of those that have two.
    static func choice(_ groups: ChannelGroups) -> KeptChannels {
        var kept = KeptChannels(allOf: groups)
        var generator = RandomGenerator(seed: 3)
        for (index, group) in groups.groups.enumerated() where group.count > 1 {
            let order = Tensor.uniform([group.count], low: 0, high: 1, using: &generator).argsort().integers()
            for channel in order.prefix(max(1, group.count / 3)) { kept.remove(channel, ofGroup: index) }
        }
        return kept
    }

    /// Computes in f64, where the statistics of a small batch do not amplify rounding.
    static func widen(_ network: any VisionNetwork) {
        for (_, parameter) in network.parameters {
            parameter.wrappedValue = parameter.wrappedValue.detached().converted(to: .f64)
        }
        for (_, state) in network.stateTensors where state.wrappedValue.dataType == .f32 {
            state.wrappedValue = state.wrappedValue.converted(to: .f64)
        }
    }

    @Test(arguments: cases) func slicedEqualsMasked(item: Case) throws {
        let network = try Self.network(item)
        let images = Self.images(network, 3)
        let groups = try ChannelGroups(of: network, example: images)
        let kept = Self.choice(groups)
        #expect(kept.count < KeptChannels(allOf: groups).count)
        let narrow = try network.removingChannels(of: groups, keeping: kept)
        #expect(narrow.parameterCount < network.parameterCount)
        groups.mask(network, keeping: kept)
        func compare(_ tolerance: Float, isTraining: Bool) {
            let inputs = images.converted(to: network.parameters[0].parameter.wrappedValue.dataType)
            let wide = withoutRecording { network.withTraining(isTraining) { network.outputs(inputs) } }
            let small = withoutRecording { narrow.withTraining(isTraining) { narrow.outputs(inputs) } }
            let scale = small.abs().maximum().scalar
            let error = (wide - small).abs().maximum().scalar
            #expect(scale > 0 && error <= tolerance * max(1, scale), "training: \(isTraining)")
        }
        compare(1e-5, isTraining: false)
        Self.widen(network)
        Self.widen(narrow)
        compare(1e-9, isTraining: false)
        compare(1e-9, isTraining: true)
    }

    @Test(arguments: cases) func costsAreThoseOfTheSlicedNetwork(item: Case) throws {
        let network = try Self.network(item)
        let images = Self.images(network, 2)
        let groups = try ChannelGroups(of: network, example: images)
        #expect(groups.cost().parameters == network.parameterCount)
        let kept = Self.choice(groups)
        let narrow = try network.removingChannels(of: groups, keeping: kept)
        let cost = groups.cost(keeping: kept)
        #expect(cost.parameters == narrow.parameterCount)
        #expect(try cost == NetworkCost(of: narrow, example: images))
        #expect(try groups.cost() == NetworkCost(of: network, example: Self.images(network, 5)))
    }

    @Test func leavesTheNetworkAsItWas() throws {
        let network = try Self.network(Self.cases[4])
        network.setTraining(true)
        let before = Snapshot(of: network)
        let tensors = network.parameters.map(\.parameter.wrappedValue)
        _ = try ChannelGroups(of: network, example: Self.images(network, 2))
        for (own, tensor) in zip(network.parameters, tensors) {
            #expect(own.parameter.wrappedValue.isTracked)
            #expect(own.parameter.wrappedValue.floats() == tensor.floats())
        }
        #expect(network.stateTensors.allSatisfy { !$0.state.wrappedValue.isTracked })
        #expect((network.modules.compactMap { $0.module as? BatchNorm }).allSatisfy { $0.isTraining })
        before.restore(network)
    }

    @Test func groupsOfAFlattenedNetwork() throws {
        let network = try Self.network(Self.cases[1])
        let groups = try ChannelGroups(of: network, example: Self.images(network, 2)).groups
        #expect(groups.map(\.name) == ["conv1", "conv2", "fc1"])
        let last = groups[1]
        #expect(last.members.map(\.name) == ["conv2.weight", "conv2.bias", "fc1.weight"])
        #expect(last.members.map(\.axis) == [0, 0, 1])
        #expect(last.members.map(\.isReader) == [false, false, true])
        // Images of 16 × 16 end as one pixel; of each channel there is one column.
        #expect(last.members[2].positions == (0..<last.count).map { [$0] })
        let larger = try VisionArchitecture(named: "lenet-5", imageSize: 20).makeNetwork()
        let columns = try ChannelGroups(of: larger, example: Self.images(larger, 2)).groups[1].members[2].positions
        #expect(columns[3] == Array(12..<16))
    }

    @Test func paddedShortcutsKeepTheirSymmetry() throws {
        let network = try VisionArchitecture(named: "resnet8").makeNetwork()
        let groups = try ChannelGroups(of: network, example: Self.images(network, 2))
        // The stream of 16, the 8 pairs that the second stage adds, the 16 of the third, and the blocks' own.
        let streams = groups.groups.filter { $0.makers.count > 1 || $0.makers[0].positions[0].count > 1 }
        #expect(streams.map(\.name) == ["conv1", "layer2.0.conv2", "layer3.0.conv2"])
        #expect(streams.map(\.count) == [16, 8, 16])
        #expect(streams[1].makers[0].positions[0] == [0, 24])
        #expect(try groups.group(madeBy: "layer1.0.conv1") == 1)
    }

    @Test func multiplicationsAreThePublishedOnes() throws {
        // 40.55 million of ResNet-20's convolutions and 640 of its linear layer.
        let network = try VisionArchitecture(named: "resnet20").makeNetwork()
        let cost = try NetworkCost(of: network, example: Self.images(network, 1))
        #expect(cost.multiplyAccumulates == 40_551_040 && cost.parameters == 269_722)
        let mobile = try VisionArchitecture(named: "mobilenet-v2").makeNetwork()
        let large = try NetworkCost(of: mobile, example: Self.images(mobile, 1))
        #expect(large.multiplyAccumulates == 300_774_272)
    }

    /// Sums over its hidden channels, which changes where one is removed.
    final class Normalizing: Module, SupervisedNetwork {
        @Submodule var first: Linear
        @Submodule var second: Linear

        override init() {
            var generator = RandomGenerator(seed: 1)
            _first = Submodule("first", Linear(weight: .normal([6, 4], using: &generator)))
            _second = Submodule("second", Linear(weight: .normal([3, 6], using: &generator)))
        }

        func outputs(_ inputs: Tensor) -> Tensor { second(first(inputs).softmax()) }
    }

    @Test func anUnknownCouplingNamesItsLayer() throws {
        let network = Normalizing()
        let inputs = Tensor.ones([2, 4])
        do {
            _ = try ChannelGroups(of: network, example: inputs)
            Issue.record("no error")
        } catch let error as CoppiceError {
            #expect(error.field == "first" && "\(error)".contains("over these channels"))
        }
        let groups = try ChannelGroups(of: network, example: inputs, keepingUnsupported: true)
        #expect(groups.groups.isEmpty && groups.unsupported.map(\.layer) == ["first"])
        do {
            _ = try groups.group(madeBy: "first")
            Issue.record("no error")
        } catch let error as CoppiceError {
            #expect(error.field == "first")
        }
    }

    /// Two layers whose results are multiplied, of which one is cut in two parts.
    final class Gated: Module, SupervisedNetwork {
        @Submodule var joint: Linear
        @Submodule var last: Linear

        override init() {
            var generator = RandomGenerator(seed: 1)
            _joint = Submodule("joint", Linear(weight: .normal([12, 4], using: &generator)))
            _last = Submodule("last", Linear(weight: .normal([3, 6], using: &generator)))
        }

        func outputs(_ inputs: Tensor) -> Tensor {
            let both = joint(inputs)
            let half = both.shape[1] / 2
            return last(both.slice(axis: 1, 0..<half).silu() * both.slice(axis: 1, half..<2 * half))
        }
    }

    @Test func partsOfASliceStayEqual() throws {
        let network = Gated()
        let groups = try ChannelGroups(of: network, example: Tensor.ones([2, 4]))
        #expect(groups.groups.count == 1 && groups.groups[0].count == 6)
        #expect(groups.groups[0].members.map(\.name) == ["joint.weight", "last.weight"])
        #expect(groups.groups[0].members[0].positions[2] == [2, 8])
        var kept = KeptChannels(allOf: groups)
        for channel in 0..<6 { kept.remove(channel, ofGroup: 0) }
        #expect(throws: CoppiceError.self) { try groups.sliced(network, keeping: kept) }
    }
}
