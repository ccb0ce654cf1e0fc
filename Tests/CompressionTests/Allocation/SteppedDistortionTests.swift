import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Testing

/// A network as one that nobody knows the steps of.
private final class Whole: Module, SupervisedNetwork {
    @Submodule var network: any SupervisedNetwork

    init(_ network: any SupervisedNetwork) { _network = Submodule("", network) }

    func outputs(_ inputs: Tensor) -> Tensor { network.outputs(inputs) }
}

/// Three linear layers that count their calls; the last is in no step's list of modules.
private final class Counted: Module, SteppedNetwork {
    @Submodule var first: Linear
    @Submodule var second: Linear
    @Submodule var third: Linear
    var calls = [0, 0, 0]
    let namesLast: Bool

    init(namesLast: Bool) {
        var generator = RandomGenerator(seed: 7)
        let layers = (0..<3).map { _ in Linear(weight: .normal([4, 4], using: &generator)) }
        _first = Submodule("first", layers[0])
        _second = Submodule("second", layers[1])
        _third = Submodule("third", layers[2])
        self.namesLast = namesLast
    }

    var steps: [ForwardStep] {
        func counted(_ place: Int, _ layer: Linear) -> (Tensor) -> Tensor {
            { [self] x in
                calls[place] += 1
                return layer(x)
            }
        }
        let third = counted(2, third)
        return [
            ForwardStep(first, function: counted(0, first)), ForwardStep(second, function: counted(1, second)),
            namesLast ? ForwardStep(self.third, function: third) : ForwardStep(function: third),
        ]
    }
}

@Suite struct SteppedDistortionTests {
    /// Running a network from the step on that a layer is in changes no bit of its curve.
    @Test(arguments: [
        "lenet-300-100", "lenet-5", "vgg11-bn", "resnet20", "resnet20-projected", "wrn-16-4", "mobilenet-v1-cifar",
        "mobilenet-v2-cifar", "densenet-bc-40-12", "densenet121", "shufflenet-v2-0.5", "fastgrnn-80-w8-u16",
    ])
    func curvesAreThoseOfWholePasses(_ name: String) throws {
        let architecture = try VisionArchitecture(named: name, widthMultiplier: name.hasPrefix("fast") ? 1 : 0.25)
        let network = architecture.makeNetwork(seed: 3)
        if name == "mobilenet-v1-cifar" {
            // Its initial weights let so little through that nothing would be left of an error.
            for (own, state) in network.stateTensors where own.hasSuffix("running_var") {
                state.wrappedValue = state.wrappedValue * 0.15
            }
        }
        var generator = RandomGenerator(seed: 4)
        var shape = architecture.inputShape
        if shape[1] == 224 { (shape[1], shape[2]) = (32, 32) }
        let inputs = [2, 1].map { Tensor.normal([$0] + shape, using: &generator) }
        let prunable = try PrunableNetwork(network)
        try prunable.prune(by: .magnitude, to: 0.2)
        let whole = try PrunableNetwork(Whole(network))
        whole.setMasks(prunable.masks)
        var progress: [Int] = []
        let curves = try prunable.distortionCurves(on: inputs, grid: RateGrid(steps: 2)) { done, count in
            progress.append(done)
            #expect(count == prunable.weights.count)
        }
        #expect(progress == Array(1...prunable.weights.count))
        #expect(curves.map(\.name) == prunable.weights.map(\.name))
        #expect(curves.contains { $0.points.contains { $0.distortion > 0 } })
        #expect(curves == (try whole.distortionCurves(on: inputs, grid: RateGrid(steps: 2))))
    }

    /// Probing a network that is in training neither sees batch statistics nor touches running ones.
    @Test func curvesOfANetworkInTrainingAreThoseInUse() throws {
        let architecture = try VisionArchitecture(named: "resnet8", widthMultiplier: 0.25)
        let network = architecture.makeNetwork(seed: 3)
        var generator = RandomGenerator(seed: 4)
        let inputs = [Tensor.normal([6] + architecture.inputShape, using: &generator) * 2 + 1]
        network.setTraining(true)
        // Moves running statistics a little towards the batch's.
        let inTraining = network.outputs(inputs[0]).floats()
        let before = numbers(of: network)
        let prunable = try PrunableNetwork(network)
        let curves = try prunable.distortionCurves(on: inputs, grid: RateGrid(steps: 3))
        #expect(numbers(of: network) == before)
        network.setTraining(false)
        #expect(network.outputs(inputs[0]).floats() != inTraining)
        #expect(curves == (try prunable.distortionCurves(on: inputs, grid: RateGrid(steps: 3))))
    }

    /// A forgotten module would be measured from the first step on: right, but slow.
    @Test(arguments: VisionArchitecture.knownNames)
    func everyParameterIsInOneStep(_ name: String) throws {
        let network = try VisionArchitecture(named: name, widthMultiplier: name.hasPrefix("fast") ? 1 : 0.125)
            .makeNetwork()
        let own = try #require(network as? any SteppedNetwork).steps.flatMap(\.modules).flatMap(\.parameters)
        #expect(Set(own.map { ObjectIdentifier($0.parameter) }).count == own.count)
        #expect(own.count == network.parameters.count)
    }

    @Test func onlyTheStepsFromALayerOnAreRunAgain() throws {
        let inputs = [Tensor([1, 2, 3, 4].map(Float.init), shape: [1, 4])]
        // All once for the reference and, but for the last, once for what reaches the next; then four rates of each layer
        // run its own step and what follows.
        for (namesLast, calls) in [(true, [1 + 1 + 4, 1 + 1 + 8, 1 + 12]), (false, [1 + 1 + 8, 1 + 12, 1 + 12])] {
            let network = Counted(namesLast: namesLast)
            let before = network.parameters.map { $0.parameter.wrappedValue.floats() }
            let curves = try PrunableNetwork(network).distortionCurves(on: inputs, grid: RateGrid(steps: 4))
            #expect(curves.map(\.name) == ["first.weight", "second.weight", "third.weight"])
            #expect(network.calls == calls)
            #expect(network.parameters.map { $0.parameter.wrappedValue.floats() } == before)
        }
    }
}
