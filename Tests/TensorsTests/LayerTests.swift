import CoppiceNetworks
import CoppiceTensors
import Foundation
import Testing

/// Layers against PyTorch: outputs, running statistics and gradients by inputs and parameters, in f64, and names.
@Suite struct TorchLayerTests {
    struct Numbers: Decodable {
        var shape: [Int]
        var values: [Double]
        var tensor: Tensor { Tensor(values, shape: shape) }
    }

    struct Case: Decodable, CustomTestStringConvertible {
        var name: String
        var parameters: [String: Numbers]
        var state: [String: Numbers]
        var initialState: [String: Numbers]?
        var inputs: [Numbers]
        var outputs: [Numbers]
        var outputGradients: [Numbers]
        var inputGradients: [Numbers]
        var parameterGradients: [String: Numbers]
        var testDescription: String { name }
    }

    static let cases: [Case] = {
        let file = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Fixtures/layers/torch_layers.json")
        // A fixture that cannot be read fails every test that is given its cases.
        return try! JSONDecoder().decode([Case].self, from: Data(contentsOf: file))
    }()

    typealias Forward = ([Tensor]) -> [Tensor]

    /// The layer of a case, with f64 parameters, and its forward pass.
    static func layer(_ item: Case) throws -> (Module, Forward) {
        var generator = RandomGenerator(seed: 1)
        func weight(_ name: String = "weight") -> Tensor { item.parameters[name]!.tensor }
        func single(_ layer: Module, _ forward: @escaping (Tensor) -> Tensor) -> (Module, Forward) {
            (layer, { [forward($0[0])] })
        }
        func recurrent<Cell: RecurrentCell>(_ network: Recurrent<Cell>) -> (Module, Forward) {
            for (name, parameter) in network.parameters {
                parameter.wrappedValue = parameter.wrappedValue.converted(to: .f64)
                #expect(item.parameters[name] != nil, "\(name)")
            }
            return (
                network,
                { inputs in
                    let (output, state) = network(inputs[0], state: inputs.count > 1 ? Array(inputs.dropFirst()) : nil)
                    return [output] + state
                }
            )
        }
        switch item.name {
        case "conv2d":
            let windows = Windows(kernel: [3, 2], stride: [2, 1], padding: [1, 0], dilation: [1, 2])
            let layer = Conv2d(weight: weight(), bias: weight("bias"), windows: windows)
            return single(layer) { layer($0) }
        case "conv2d-groups":
            let layer = Conv2d(weight: weight(), windows: Windows(kernel: 3, padding: 1), groups: 2)
            return single(layer) { layer($0) }
        case "conv1d":
            let layer = Conv1d(weight: weight(), bias: weight("bias"), stride: 2, padding: 2, dilation: 2, groups: 2)
            return single(layer) { layer($0) }
        case "conv-transpose2d":
            let layer = ConvTranspose2d(
                weight: weight(), bias: weight("bias"), windows: Windows(kernel: 3, stride: 2, padding: 1),
                outputPadding: 1, groups: 2)
            return single(layer) { layer($0) }
        case "max-pool2d":
            let layer = MaxPool2d(Windows(kernel: 3, stride: 2, padding: 1))
            return single(layer) { layer($0) }
        case "max-pool2d-ceil":
            let layer = MaxPool2d(Windows(kernel: [2, 3], stride: 2, includesPartialWindows: true))
            return single(layer) { layer($0) }
        case "max-pool1d":
            let layer = MaxPool1d(kernel: 3, padding: 1)
            return single(layer) { layer($0) }
        case "avg-pool2d":
            let layer = AvgPool2d(Windows(kernel: 3, stride: 2, padding: 1))
            return single(layer) { layer($0) }
        case "avg-pool2d-uncounted":
            let layer = AvgPool2d(Windows(kernel: 3, stride: 2, padding: 1), countsPadding: false)
            return single(layer) { layer($0) }
        case "avg-pool2d-ceil":
            let layer = AvgPool2d(Windows(kernel: 3, stride: 2, padding: 1, includesPartialWindows: true))
            return single(layer) { layer($0) }
        case "avg-pool1d":
            let layer = AvgPool1d(kernel: 3, stride: 1, padding: 1)
            return single(layer) { layer($0) }
        case "adaptive-avg-pool2d", "adaptive-avg-pool2d-one":
            let layer = AdaptiveAvgPool2d(item.name.hasSuffix("one") ? 1 : [3, 4])
            return single(layer) { layer($0) }
        case "batch-norm-training", "batch-norm-use", "batch-norm-mean":
            let layer = BatchNorm(channels: 3, momentum: item.name.hasSuffix("mean") ? nil : 0.1, dataType: .f64)
            layer.setTraining(!item.name.hasSuffix("use"))
            return single(layer) { layer($0) }
        case "layer-norm":
            let layer = LayerNorm(shape: [3, 4], dataType: .f64)
            return single(layer) { layer($0) }
        case "group-norm":
            let layer = GroupNorm(groups: 2, channels: 4, dataType: .f64)
            return single(layer) { layer($0) }
        case "lstm":
            return recurrent(LSTM(inputSize: 3, hiddenSize: 2, layerCount: 2, isBidirectional: true, using: &generator))
        case "lstm-state":
            return recurrent(LSTM(inputSize: 3, hiddenSize: 2, hasBias: false, using: &generator))
        case "gru":
            return recurrent(GRU(inputSize: 3, hiddenSize: 2, isBidirectional: true, using: &generator))
        case "rnn":
            return recurrent(ElmanNetwork(inputSize: 3, hiddenSize: 2, layerCount: 2, using: &generator))
        default:
            throw CoppiceError(.badData, field: item.name, "no such layer")
        }
    }

    @Test(arguments: cases) func equalsTorch(item: Case) throws {
        let (layer, forward) = try Self.layer(item)
        #expect(Set(layer.parameters.map(\.name)) == Set(item.parameters.keys))
        #expect(Set(layer.stateTensors.map(\.name)) == Set(item.state.keys))
        try layer.load { name in
            try #require(item.parameters[name] ?? item.initialState?[name]).tensor
        }
        let inputs = item.inputs.map { $0.tensor.tracked() }
        let outputs = forward(inputs)
        #expect(outputs.count == item.outputs.count)
        var loss = Tensor(0, dataType: .f64)
        for (index, output) in outputs.enumerated() {
            #expect(output.shape == item.outputs[index].shape)
            #expect(relativeError(output, item.outputs[index].values) < 1e-10)
            loss = loss + (output * item.outputGradients[index].tensor).sum()
        }
        for (name, state) in layer.stateTensors {
            #expect(relativeError(state.wrappedValue, item.state[name]!.values) < 1e-10, "\(name)")
        }
        let parameters = layer.parameters
        let all = gradients(of: loss, withRespectTo: inputs + parameters.map(\.parameter.wrappedValue))
        for (gradient, expected) in zip(all, item.inputGradients) {
            #expect(relativeError(gradient, expected.values) < 1e-9)
        }
        for ((name, _), gradient) in zip(parameters, all.dropFirst(inputs.count)) {
            #expect(relativeError(gradient, item.parameterGradients[name]!.values) < 1e-9, "\(name)")
        }
    }
}

/// Derivatives of layers against finite differences, of first and second order.
@Suite struct LayerGradientTests {
    /// Derivatives by the input and by all parameters.
    private func check(_ name: String, _ layer: Module, _ input: Tensor, _ forward: @escaping (Tensor) -> Tensor) {
        for (_, parameter) in layer.parameters {
            parameter.wrappedValue = GradientCheck.numbers(parameter.wrappedValue.shape, seed: 17)
        }
        let parameters = layer.parameters.map(\.parameter)
        GradientCheck(name, [input] + parameters.map { $0.wrappedValue.detached() }) { inputs in
            for (parameter, value) in zip(parameters, inputs.dropFirst()) { parameter.substitute(value) }
            return forward(inputs[0])
        }.check()
    }

    @Test func convolutions() {
        let image = GradientCheck.numbers([2, 2, 4, 4])
        let conv = Conv2d(
            weight: .zeros([4, 1, 3, 3], dataType: .f64), bias: .zeros([4], dataType: .f64),
            windows: Windows(kernel: 3, stride: 2, padding: 1), groups: 2)
        check("Conv2d", conv, image) { conv($0).square() }
        let transposed = ConvTranspose2d(
            weight: .zeros([2, 3, 2, 2], dataType: .f64), windows: Windows(kernel: 2, stride: 2), outputPadding: 1)
        check("ConvTranspose2d", transposed, image) { transposed($0).square() }
        let line = Conv1d(weight: .zeros([3, 2, 3], dataType: .f64), bias: .zeros([3], dataType: .f64), padding: 1)
        check("Conv1d", line, GradientCheck.numbers([2, 2, 5])) { line($0).square() }
    }

    @Test func normalizations() {
        let image = GradientCheck.numbers([3, 4, 2, 2])
        let batch = BatchNorm(channels: 4, dataType: .f64)
        check("BatchNorm in training", batch, image) { batch($0).square() }
        batch.setTraining(false)
        check("BatchNorm in use", batch, image) { batch($0).square() }
        let layer = LayerNorm(shape: [2, 2], dataType: .f64)
        check("LayerNorm", layer, image) { layer($0).square() }
        let group = GroupNorm(groups: 2, channels: 4, dataType: .f64)
        check("GroupNorm", group, image) { group($0).square() }
        let rms = RMSNorm(size: 2, epsilon: 1e-5, dataType: .f64)
        check("RMSNorm", rms, image) { rms($0).square() }
    }

    @Test func recurrentLayers() {
        var generator = RandomGenerator(seed: 1)
        let x = GradientCheck.numbers([3, 2, 2])
        let lstm = LSTM(inputSize: 2, hiddenSize: 2, isBidirectional: true, using: &generator)
        check("LSTM", lstm, x) { lstm($0).output }
        let gru = GRU(inputSize: 2, hiddenSize: 2, layerCount: 2, using: &generator)
        check("GRU", gru, x) { gru($0).output }
        let elman = ElmanNetwork(inputSize: 2, hiddenSize: 2, hasBias: false, using: &generator)
        check("Elman", elman, x) { elman($0).output }
    }

    @Test func linearAndEmbedding() {
        let linear = Linear(weight: .zeros([3, 2], dataType: .f64), bias: .zeros([3], dataType: .f64))
        check("Linear", linear, GradientCheck.numbers([2, 2, 2])) { linear($0).square() }
        let embedding = Embedding(weight: .zeros([4, 2], dataType: .f64))
        check("Embedding", embedding, GradientCheck.numbers([3, 2])) { x in
            embedding.scores(x).square() + embedding(Tensor([1, 1, 3])).square().sum()
        }
    }
}

@Suite struct LayerBehaviourTests {
    @Test func initialWeightsAreSeededAndBounded() {
        func make() -> Conv2d {
            var generator = RandomGenerator(seed: 5)
            return Conv2d(inChannels: 4, outChannels: 8, windows: Windows(kernel: 3), using: &generator)
        }
        let weight = make().weight
        #expect(weight.shape == [8, 4, 3, 3])
        #expect(weight.floats() == make().weight.floats())
        #expect(weight.floats().allSatisfy { abs($0) <= 1 / 6 } && weight.abs().maximum().scalar > 0.16)
    }

    @Test func trainingModeReachesAllModules() {
        final class Pair: Module {
            @Submodule var first: BatchNorm
            @Submodule var rest: [BatchNorm]
            override init() {
                _first = Submodule("first", BatchNorm(channels: 1))
                _rest = Submodule("rest", [BatchNorm(channels: 1), BatchNorm(channels: 1)])
            }
        }
        let pair = Pair()
        pair.setTraining(false)
        #expect(!pair.first.isTraining && pair.rest.allSatisfy { !$0.isTraining })
        #expect(pair.stateTensors.map(\.name).contains("rest.1.running_var"))
        pair.setTraining(true)
        #expect(pair.first.isTraining)
    }

    /// Parameters, states and parts wherever properties hold them, superclasses first; parts that are replaced are seen.
    @Test func membersAreFoundInTheirOrder() {
        class Base: Module {
            @Parameter("scale", .ones([2])) var scale: Tensor
            let size = 3
        }
        final class Derived: Base {
            let name: String? = "derived"
            let missing: Submodule<Linear>? = nil
            let head: Submodule<Linear>? = Submodule("head", Linear(weight: .ones([1, 2]), bias: nil))
            let parts = [1, 2].map { Submodule("part\($0)", [BatchNorm(channels: $0)]) }
            @Submodule("", Linear(weight: .ones([3, 3]), bias: .zeros([3]))) var own: Linear
            @StateTensor("steps", .zeros([1])) var steps: Tensor
        }
        let module = Derived()
        let names = [
            "scale", "head.weight", "part1.0.weight", "part1.0.bias", "part2.0.weight", "part2.0.bias", "weight",
            "bias",
        ]
        #expect(module.parameters.map(\.name) == names)
        #expect(module.stateTensors.map(\.name).suffix(1) == ["steps"] && module.stateTensors.count == 7)
        #expect(module.modules.map(\.name) == ["", "head", "part1.0", "part2.0", ""])
        module.own = Linear(weight: .ones([5, 5]), bias: nil)
        module.scale = .zeros([2])
        #expect(module.parameters.map(\.name) == Array(names.dropLast()) && module.parameterCount == 2 + 2 + 2 + 4 + 25)
        #expect(module.parameters[0].parameter.wrappedValue.floats() == [0, 0])
    }

    @Test func useDoesNotChangeRunningStatistics() {
        let layer = BatchNorm(channels: 2)
        layer.setTraining(false)
        _ = layer(Tensor.ones([2, 2, 3]))
        #expect(layer.batchCount.integers() == [0] && layer.runningMean.floats() == [0, 0])
        layer.setTraining(true)
        _ = layer(Tensor.ones([2, 2, 3]).tracked())
        #expect(layer.batchCount.integers() == [1] && !layer.runningMean.isTracked)
    }

    @Test func emptySequencesKeepTheirState() {
        var generator = RandomGenerator(seed: 1)
        let lstm = LSTM(inputSize: 3, hiddenSize: 2, using: &generator)
        let (output, state) = lstm(Tensor.zeros([0, 4, 3]))
        #expect(output.shape == [0, 4, 2])
        #expect(state.map(\.shape) == [[1, 4, 2], [1, 4, 2]])
    }
}
