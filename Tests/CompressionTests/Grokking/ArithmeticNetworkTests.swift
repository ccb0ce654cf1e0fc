import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Testing

@Suite struct ArithmeticNetworkTests {
    private let pairs = Tensor([0, 3, 4, 4, 2, 1, 6, 0], shape: [4, 2])

    private func expectEqual(_ a: Tensor, _ b: Tensor, _ tolerance: Float = 1e-5) {
        #expect(a.shape == b.shape)
        for (x, y) in zip(a.floats(), b.floats()) { #expect(abs(x - y) <= tolerance * max(1, abs(y))) }
    }

    @Test func perceptronIsSymmetricByConstruction() {
        let network = ArithmeticPerceptron(.init(tokens: 7, classes: 7, embeddingSize: 9, hiddenSize: 5), seed: 1)
        let swapped = Tensor([3, 0, 4, 4, 1, 2, 0, 6], shape: [4, 2])
        #expect(network.outputs(pairs).floats() == network.outputs(swapped).floats())
    }

    @Test func perceptronIsItsFormula() {
        let network = ArithmeticPerceptron(.init(tokens: 7, classes: 5, embeddingSize: 9, hiddenSize: 6), seed: 2)
        let (a, b) = (Tensor([0, 4, 2, 6]), Tensor([3, 4, 1, 0]))
        let hidden = (network.input(network.embedding(a)) + network.input(network.embedding(b))).relu()
        expectEqual(network.outputs(pairs), network.unembedding(network.output(hidden)))
    }

    @Test func transformerIsItsFormula() {
        let network = ArithmeticTransformer(.init(tokens: 7, classes: 5, size: 8, hiddenSize: 6), seed: 3)
        let x = network.embedding(pairs)  // [4, 2, 8]
        let last = x.slice(axis: 1, 1..<2)
        let scores = network.query(last).matmul(network.key(x).transposed())
        let mixed = scores.softmax(scale: 1 / 8.0.squareRoot()).matmul(network.value(x))
        let middle = last + network.output(mixed)
        let result = network.unembedding(middle + network.down(network.up(middle).relu()))
        expectEqual(network.outputs(pairs), result.reshaped([4, 5]))
    }

    @Test func weightsOfTokensMeanTheTokensThatHaveOne() {
        let hot = Tensor.oneHot(pairs, depth: 7)
        let perceptron = ArithmeticPerceptron(.init(tokens: 7, classes: 7, embeddingSize: 9, hiddenSize: 5), seed: 1)
        expectEqual(perceptron.outputs(hot), perceptron.outputs(pairs))
        let transformer = ArithmeticTransformer(.init(tokens: 7, classes: 7, size: 8), seed: 1)
        expectEqual(transformer.outputs(hot), transformer.outputs(pairs))
    }

    @Test func gradientsAreThoseOfTheFormula() {
        let network = ArithmeticPerceptron(.init(tokens: 7, classes: 7, embeddingSize: 9, hiddenSize: 6), seed: 2)
        let batch = LabeledBatch(inputs: pairs, targets: Tensor([1, 0, 3, 6]))
        let weights = network.parameters.map(\.parameter.wrappedValue)
        let fast = gradients(of: network.loss(batch), withRespectTo: weights)
        let (a, b) = (Tensor([0, 4, 2, 6]), Tensor([3, 4, 1, 0]))
        let hidden = (network.input(network.embedding(a)) + network.input(network.embedding(b))).relu()
        let plain = gradients(
            of: network.unembedding(network.output(hidden)).meanCrossEntropy(targets: batch.targets),
            withRespectTo: weights)
        for (x, y) in zip(fast, plain) { expectEqual(x, y) }
    }

    @Test func initialWeightsHaveTheirSpread() {
        let network = ArithmeticPerceptron(.init(tokens: 67, classes: 67, embeddingSize: 500, hiddenSize: 48))
        #expect(network.parameterCount == 67 * 500 * 2 + 500 * 48 * 2)
        for (name, fanIn) in [
            ("embedding.weight", 67), ("input.weight", 500), ("output.weight", 48), ("unembedding.weight", 500),
        ] {
            let weight = network.parameters.first { $0.name == name }?.parameter.wrappedValue
            let spread = weight.map { Double($0.square().mean().scalar) * Double(fanIn) } ?? 0
            #expect(abs(spread - 1) < 0.05)
        }
    }

    @Test func imagesAreTrainedByTheMeanSquare() throws {
        let network = ImagePerceptron(.init(pixels: 12, hiddenSize: 8, classes: 3, scale: 1), seed: 1)
        var generator = RandomGenerator(seed: 1)
        let batch = LabeledBatch(
            inputs: .uniform([6, 1, 3, 4], using: &generator), targets: Tensor([0, 1, 2, 0, 1, 2]))
        let outputs = network.outputs(batch.inputs)
        #expect(outputs.shape == [6, 3])
        let loss = (outputs - Tensor.oneHot(batch.targets, depth: 3)).square().sum().scalar / 18
        #expect(abs(network.loss(batch).scalar - loss) < 1e-6)
        let set = ImageDataSet(
            name: "noise", pixels: Tensor((0..<480).map { UInt8($0 * 37 % 251) }, shape: [40, 1, 3, 4]),
            labels: (0..<40).map { $0 % 3 }, classNames: ["a", "b", "c"],
            normalization: .init(mean: [0], deviation: [1]))
        let task = try GrokkingTask.images(set, test: set, trainCount: 20, testCount: 10, splitSeed: 1)
        var training = GrokkingTraining(steps: 30)
        training.weightDecay = 0.1
        let run = try training.run(task.makeNetwork(1), on: task)
        #expect((run.curve.points.last?.trainLoss ?? .infinity) < run.curve.points[0].trainLoss)
        #expect(throws: CoppiceError.self) {
            try GrokkingTask.images(set, test: set, trainCount: 41, testCount: 10, splitSeed: 1)
        }
    }
}
