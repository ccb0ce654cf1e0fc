import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Foundation
import Testing

/// A network that no architecture knows: two branches side by side, one of them filtered channel by channel, a sum with
/// what was before them, a flattened image.
private final class Branches: Module, SupervisedNetwork {
    @Submodule var stem: Conv2d
    @Submodule var norm: BatchNorm
    @Submodule var left: Conv2d
    @Submodule var depthwise: Conv2d
    @Submodule var right: Conv2d
    @Submodule var joint: Conv2d
    @Submodule var hidden: Linear
    @Submodule var last: Linear

    override init() {
        var generator = RandomGenerator(seed: 11)
        func convolution(_ inputs: Int, _ outputs: Int, _ kernel: Int, groups: Int = 1) -> Conv2d {
            Conv2d(
                inChannels: inputs, outChannels: outputs,
                windows: Windows(kernel: .init(kernel), padding: .init(kernel / 2)), groups: groups, using: &generator)
        }
        _stem = Submodule("stem", convolution(2, 12, 3))
        _norm = Submodule("norm", BatchNorm(channels: 12))
        _left = Submodule("left", convolution(12, 10, 1))
        _depthwise = Submodule("depthwise", convolution(12, 12, 3, groups: 12))
        _right = Submodule("right", convolution(12, 14, 1))
        _joint = Submodule("joint", convolution(24, 12, 3))
        _hidden = Submodule("hidden", Linear(weight: .normal([20, 12 * 16], using: &generator) * 0.1))
        _last = Submodule("last", Linear(weight: .normal([3, 20], using: &generator)))
    }

    func outputs(_ inputs: Tensor) -> Tensor {
        let x = norm(stem(inputs), rectifies: true)
        let both = Tensor.concatenated([left(x), right(depthwise(x))], axis: 1).relu()
        let y = (joint(both) + x).relu()
        return last(hidden(y.reshaped([y.shape[0], -1])).relu())
    }
}

/// Sums over its hidden channels, which changes where one is removed.
private final class Normalizing: Module, SupervisedNetwork {
    @Submodule var first: Linear
    @Submodule var second: Linear

    override init() {
        _first = Submodule("first", Linear(weight: .ones([6, 4])))
        _second = Submodule("second", Linear(weight: .ones([3, 6])))
    }

    func outputs(_ inputs: Tensor) -> Tensor { second(first(inputs).softmax()) }
}

@Suite struct TracedPreCroppingTests {
    private func images(_ count: Int) -> Tensor {
        var generator = RandomGenerator(seed: 2)
        return .normal([count, 2, 4, 4], using: &generator)
    }

    @Test(arguments: [0.6, 0.25]) func anyNetworkIsCroppedToItsBudget(part: Double) throws {
        let network = Branches()
        let groups = try ChannelGroups(of: network, example: images(2))
        let structure = try TracedStructure(groups, named: "branches")
        #expect(structure.names == ["stem", "left", "right", "hidden"] && structure.widths == [12, 10, 14, 20])
        let budget = Int(part * Double(structure.parameterCount(structure.widths)))
        let plan = try PreCropping(parameters: budget).plan(for: structure)
        #expect((plan.residual ?? 1) < 1e-9 && plan.after.parameters <= budget)
        #expect(plan.text.contains("branches: \(network.parameterCount) parameters → \(plan.after.parameters)"))
        for index in plan.widths.indices where plan.widths[index] < structure.widths[index] {
            var more = plan.widths
            more[index] += 1
            #expect(structure.parameterCount(more) > budget)
        }
        // What is cut has the shapes of the plan, and computes what the network without those channels computes.
        let tensors = try groups.sliced(network, keeping: plan.kept)
        #expect(groups.cost(keeping: plan.kept) == plan.after)
        let trained = Set(network.parameters.map(\.name))
        #expect(
            tensors.filter { trained.contains($0.name) }.reduce(0) { $0 + $1.tensor.count } == plan.after.parameters)
        #expect(plan.layers.map(\.name) == ["stem", "left", "depthwise", "right", "joint", "hidden", "last"])
        #expect(
            plan.layers[5].newInputs == 16 * plan.widths[0]
                && plan.layers[4].newInputs == plan.widths[1] + plan.widths[2])
        let uniform = try PreCropping(parameters: budget).plan(for: structure, densities: nil)
        #expect(plan.logDensity >= uniform.logDensity - 1e-9)
    }

    /// The programme over traced groups is the programme over an architecture's widths, where both can be chosen freely.
    @Test(arguments: [
        "lenet-300-100", "lenet-5", "vgg11-bn", "resnet14-projected", "wrn-10-2", "mobilenet-v1-cifar",
        "mobilenet-v2-cifar",
        "densenet-2-1-2-k4-cifar",
    ])
    func agreesWithTheArchitecture(name: String) throws {
        let architecture = try VisionArchitecture(named: name, widthMultiplier: name.hasPrefix("dense") ? 1 : 0.25)
        let network = architecture.makeNetwork(seed: 1)
        let groups = try ChannelGroups(of: network, example: .ones([2] + architecture.inputShape))
        let (known, traced) = (try ChannelStructure(architecture), try TracedStructure(groups, named: name))
        let cost = known.cost(known.widths)
        let cropping = PreCropping(
            parameters: cost.parameters * 2 / 5, multiplications: cost.multiplyAccumulates * 2 / 5)
        let (first, second) = (try cropping.plan(for: known), try cropping.plan(for: traced))
        func exact(_ structure: some WidthStructure, _ widths: [Double]) -> [String: Double] {
            Dictionary(
                uniqueKeysWithValues: structure.entries.filter(\.isWeight).map { entry in
                    let sizes = entry.axes.map { axis in
                        axis.terms.reduce(Double(axis.fixed)) { $0 + Double($1.multiple) * widths[$1.width] }
                    }
                    return (entry.name, sizes.reduce(1, *))
                })
        }
        let (wanted, found) = (exact(known, first.exactWidths), exact(traced, second.exactWidths))
        #expect(wanted.keys.sorted() == found.keys.sorted())
        for (layer, size) in wanted { #expect(abs(found[layer, default: 0] - size) < 1e-4 * size, "\(layer)") }
        #expect(abs(first.logDensity - second.logDensity) < 0.02 * abs(first.logDensity))
        let narrow = try network.removingChannels(of: groups, keeping: second.kept)
        #expect(narrow.parameterCount == second.after.parameters)
    }

    /// A recurrent network has no widths of its own that could be chosen, but hidden units that can go.
    @Test func hiddenUnitsOfARecurrentNetworkGo() throws {
        let network = try VisionArchitecture(named: "fastgrnn-12-u3", imageSize: [5, 1]).makeNetwork(seed: 1)
        let groups = try ChannelGroups(of: network, example: .ones([2] + network.configuration.inputShape))
        let structure = try TracedStructure(groups)
        let budget = network.parameterCount / 2
        let plan = try PreCropping(parameters: budget).plan(for: structure)
        #expect(plan.after.parameters <= budget && groups.cost(keeping: plan.kept) == plan.after)
    }

    @Test func whatCannotBeCroppedIsSaid() throws {
        #expect { try ChannelGroups(of: Normalizing(), example: .ones([2, 4])) } throws: {
            ($0 as? CoppiceError)?.field == "first" && "\($0)".contains("over these channels")
        }
        let structure = try TracedStructure(ChannelGroups(of: Branches(), example: images(2)), named: "branches")
        #expect { try PreCropping(parameters: 10).plan(for: structure) } throws: {
            "\($0)".contains("what branches takes with one channel of each width")
        }
        var cropping = PreCropping(parameters: 1000)
        cropping.proxy = .residual
        #expect { try cropping.plan(for: structure) } throws: { ($0 as? CoppiceError)?.field == "proxy" }
        // Channels that are not there cannot be cut.
        let all = structure.parameterCount(structure.widths)
        #expect { try PreCropping(parameters: all, mode: .config).plan(for: structure) } throws: {
            ($0 as? CoppiceError)?.field?.hasPrefix("widths.") == true
        }
    }
}
