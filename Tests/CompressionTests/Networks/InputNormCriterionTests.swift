import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Foundation
import Testing

/// Wanda's scores of networks in memory, against sums term by term.
@Suite struct InputNormCriterionTests {
    /// A grouped and a depthwise convolution, the mean over the map and a linear layer.
    private final class GroupedNetwork: Module, SupervisedNetwork {
        @Submodule var grouped: Conv2d
        @Submodule var depthwise: Conv2d
        @Submodule var classifier: Linear

        override init() {
            var generator = RandomGenerator(seed: 3)
            _grouped = Submodule(
                "grouped",
                Conv2d(
                    inChannels: 4, outChannels: 6,
                    windows: Windows(kernel: [3, 2], stride: [2, 1], padding: [1, 2], dilation: [1, 2]), groups: 2,
                    using: &generator))
            _depthwise = Submodule(
                "depthwise",
                Conv2d(
                    inChannels: 6, outChannels: 12,
                    windows: Windows(kernel: 3, stride: 2, lowPadding: 0, highPadding: 1), groups: 6,
                    using: &generator))
            _classifier = Submodule("fc", Linear(weight: .normal([3, 12], using: &generator)))
            super.init()
        }

        func outputs(_ inputs: Tensor) -> Tensor {
            classifier(depthwise(grouped(inputs).relu()).relu().mean(axes: [-2, -1]))
        }
    }

    /// A linear layer, and a matrix that nothing tells the inputs of.
    private final class HiddenMatrix: Module, SupervisedNetwork {
        @Submodule var first: Linear
        @Parameter var mixing: Tensor

        override init() {
            var generator = RandomGenerator(seed: 4)
            _first = Submodule("first", Linear(weight: .normal([4, 8], using: &generator)))
            _mixing = Parameter("mixing", .normal([4, 3], using: &generator))
            super.init()
        }

        func outputs(_ inputs: Tensor) -> Tensor { first(inputs).matmul(mixing) }
    }

    private func batches(_ shape: [Int], count: Int = 2, seed: UInt64 = 5) -> [LabeledBatch] {
        var generator = RandomGenerator(seed: seed)
        return (0..<count).map { _ in
            LabeledBatch(
                inputs: .normal(shape, using: &generator), targets: Tensor([Int](repeating: 0, count: shape[0])))
        }
    }

    private func expectEqual(_ scores: Tensor, _ expected: [Double], _ name: String) {
        let found = scores.doubles()
        #expect(found.count == expected.count && expected.contains { $0 > 0 }, "\(name)")
        for (index, (score, value)) in zip(found, expected).enumerated() {
            #expect(abs(score - value) <= 1e-5 * (1 + value), "\(name) [\(index)]: \(score), expected \(value)")
        }
    }

    /// |W_ij| √(Σ x_j²), of rows of inputs.
    private func expected(_ weight: Tensor, _ inputs: [Tensor]) -> [Double] {
        let columns = weight.shape[1]
        var sums = [Double](repeating: 0, count: columns)
        for (index, x) in inputs.flatMap({ $0.doubles() }).enumerated() { sums[index % columns] += x * x }
        return weight.doubles().enumerated().map { abs($1) * sums[$0 % columns].squareRoot() }
    }

    /// The same of a convolution: for each entry the inputs that it meets in all windows of all images.
    private func expected(_ layer: Conv2d, _ inputs: [Tensor]) -> [Double] {
        let (shape, windows, weights) = (layer.weight.shape, layer.windows, layer.weight.doubles())
        return weights.enumerated().map { index, weight in
            let (a, b) = (index / shape[3] % shape[2], index % shape[3])
            let (own, output) = (index / (shape[2] * shape[3]) % shape[1], index / (shape[1] * shape[2] * shape[3]))
            let channel = output / (shape[0] / layer.groups) * shape[1] + own
            var sum = 0.0
            for input in inputs {
                let (x, size) = (input.doubles(), input.shape)
                let places = windows.outputSize(for: [size[2], size[3]])
                for image in 0..<size[0] {
                    for top in 0..<places.rows {
                        for left in 0..<places.columns {
                            let row = top * windows.stride.rows - windows.lowPadding.rows + a * windows.dilation.rows
                            let column =
                                left * windows.stride.columns - windows.lowPadding.columns
                                + b * windows.dilation.columns
                            guard (0..<size[2]).contains(row), (0..<size[3]).contains(column) else { continue }
                            let value = x[((image * size[1] + channel) * size[2] + row) * size[3] + column]
                            sum += value * value
                        }
                    }
                }
            }
            return abs(weight) * sum.squareRoot()
        }
    }

    @Test func linearLayersAreWeighedByWhatTheySee() throws {
        let network = SmallMLP()
        let batches = batches([7, 8])
        let scores = try PrunableNetwork(network).scores(by: InputNormCriterion(), batches: batches)
        let inputs = batches.map(\.inputs)
        expectEqual(scores[0], expected(network.first.weight, inputs), "first")
        expectEqual(scores[1], expected(network.second.weight, inputs.map { network.first($0).relu() }), "second")
    }

    /// With strides, padding, dilation and groups; one channel a group; and behind a mask.
    @Test func convolutionsAreWeighedByTheirWindows() throws {
        let network = GroupedNetwork()
        let batches = batches([3, 4, 7, 6])
        let prunable = try PrunableNetwork(network)
        try prunable.prune(by: .magnitude, to: 0.3)
        let scores = try prunable.scores(by: InputNormCriterion(), batches: batches)
        let inputs = batches.map(\.inputs)
        let inner = inputs.map { network.grouped($0).relu().detached() }
        let last = inner.map { network.depthwise($0).relu().mean(axes: [-2, -1]).detached() }
        #expect(scores.map(\.shape) == [[6, 12], [12, 9], [3, 12]])
        expectEqual(scores[0], expected(network.grouped, inputs), "grouped")
        expectEqual(scores[1], expected(network.depthwise, inner), "depthwise")
        expectEqual(scores[2], expected(network.classifier.weight, last), "fc")
    }

    /// The factors of W by the features and what the first makes of them, U by the state before each step.
    @Test func recurrentCellsAreWeighedInEveryStep() throws {
        let configuration = FastGRNN.Configuration(
            hiddenSize: 1, inputRank: 2,
            options: ClassifierOptions(classes: 2, inputChannels: 3, imageSize: [4, 1]))
        let network = FastGRNN(configuration, seed: 2)
        let batches = batches([2, 4, 3])
        let prunable = try PrunableNetwork(network)
        let scores = try prunable.scores(by: InputNormCriterion(), batches: batches)
        let weights = Dictionary(
            uniqueKeysWithValues: network.parameters.map { ($0.name, $0.parameter.wrappedValue.detached()) })
        func number(_ name: String) throws -> Double { try #require(weights[name]).doubles()[0] }
        func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
        let (first, second) = (try #require(weights["cell.W1"]), try #require(weights["cell.W2"]))
        let recurrent = try number("cell.U")
        let gateBias = try number("cell.bias_gate")
        let updateBias = try number("cell.bias_update")
        let zeta = sigmoid(try number("cell.zeta"))
        let nu = sigmoid(try number("cell.nu"))
        var (states, last): ([Double], [Double]) = ([], [])
        let inner = batches.map { $0.inputs.reshaped([-1, 3]).matmul(first.transposed()) }
        for projected in inner.map({ $0.matmul(second.transposed()).doubles() }) {
            for sequence in 0..<2 {
                var state = 0.0
                for step in 0..<4 {
                    states.append(state)
                    let sum = projected[sequence * 4 + step] + recurrent * state
                    let gate = sigmoid(sum + gateBias)
                    state = (zeta * (1 - gate) + nu) * tanh(sum + updateBias) + gate * state
                }
                last.append(state)
            }
        }
        let inputs: [String: [Tensor]] = [
            "cell.W1": batches.map(\.inputs), "cell.W2": inner, "cell.U": [Tensor(states, shape: [16, 1])],
            "fc.weight": [Tensor(last, shape: [4, 1])],
        ]
        #expect(prunable.weights.map(\.name) == ["cell.W1", "cell.W2", "cell.U", "fc.weight"])
        for (weight, own) in zip(prunable.weights, scores) {
            expectEqual(
                own, expected(try #require(weights[weight.name]), try #require(inputs[weight.name])), weight.name)
        }
    }

    /// Running statistics stay, and nobody listens any more.
    @Test func theNetworkIsLeftAsItWas() throws {
        let network = SmallConvolutionNetwork()
        network.setTraining(true)
        let before = numbers(of: network)
        _ = try PrunableNetwork(network).scores(by: InputNormCriterion(), batches: [images()])
        #expect(numbers(of: network) == before && network.norm.isTraining)
        #expect(network.convolution.inputObserver == nil && network.classifier.inputObserver == nil)
    }

    @Test func whatHasNoScoreIsNamed() throws {
        func failure(
            _ network: any SupervisedNetwork, _ batches: [LabeledBatch], ignore: [WeightPattern] = []
        ) -> String {
            do {
                let prunable = try PrunableNetwork(network, ignore: ignore)
                _ = try prunable.scores(by: InputNormCriterion(), batches: batches)
                return "nothing was wrong"
            } catch { return "\(error)" }
        }
        let own = batches([2, 8], count: 1)
        #expect(failure(HiddenMatrix(), own).hasPrefix("mixing: wanda needs what a weight is multiplied with"))
        #expect(failure(HiddenMatrix(), own, ignore: [WeightPattern("mixing")]) == "nothing was wrong")
        #expect(failure(SmallMLP(), []).hasPrefix("wanda: needs calibration data"))
        for value in [Float.nan, .infinity] {
            var inputs = own[0].inputs
            inputs.withMutableElements(Float.self) { $0[3] = value }
            let batch = LabeledBatch(inputs: inputs, targets: own[0].targets)
            #expect(failure(SmallMLP(), [batch]).hasPrefix("first.weight: input 3 is \(value) on the calibration data"))
        }
    }
}
