import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// What is learned and by which network: training examples, held-out ones, and fresh networks by seed.
///
/// ```swift
/// let task = try GrokkingTask.arithmetic(ModularArithmetic(.add), trainFraction: 0.5, splitSeed: 1)
/// ```
public struct GrokkingTask: Sendable {
    /// For people.
    public var name: String
    public var train: LabeledBatch
    public var test: LabeledBatch
    /// The shape of one example that a network takes as numbers, for criteria that need no data.
    public var inputShape: [Int]
    public var makeNetwork: @Sendable (_ seed: UInt64) -> any SupervisedNetwork

    /// - Precondition: examples in both parts.
    public init(
        name: String, train: LabeledBatch, test: LabeledBatch, inputShape: [Int],
        makeNetwork: @escaping @Sendable (_ seed: UInt64) -> any SupervisedNetwork
    ) {
        precondition(train.count > 0 && test.count > 0, "a task without examples")
        self.name = name
        self.train = train
        self.test = test
        self.inputShape = inputShape
        self.makeNetwork = makeNetwork
    }

    /// The networks that learn arithmetic.
    public enum ArithmeticModel: Sendable, Hashable {
        case perceptron(embeddingSize: Int = 128, hiddenSize: Int = 128)
        case transformer(size: Int = 128)
    }

    /// A binary operation, split by a seed.
    ///
    /// - Throws: `.usage` for a fraction that leaves one part empty.
    public static func arithmetic(
        _ operation: ModularArithmetic, model: ArithmeticModel = .perceptron(), trainFraction: Double, splitSeed: UInt64
    ) throws -> GrokkingTask {
        let (train, test) = try operation.split(trainFraction: trainFraction, seed: splitSeed)
        let (tokens, classes) = (operation.modulus, operation.classCount)
        let name: String
        let make: @Sendable (UInt64) -> any SupervisedNetwork
        switch model {
        case .perceptron(let embeddingSize, let hiddenSize):
            name = "perceptron \(embeddingSize)-\(hiddenSize)"
            make = {
                ArithmeticPerceptron(
                    .init(tokens: tokens, classes: classes, embeddingSize: embeddingSize, hiddenSize: hiddenSize),
                    seed: $0)
            }
        case .transformer(let size):
            name = "transformer \(size)"
            make = { ArithmeticTransformer(.init(tokens: tokens, classes: classes, size: size), seed: $0) }
        }
        return GrokkingTask(
            name: "\(operation.operation.rawValue) modulo \(tokens), \(name)", train: train, test: test,
            inputShape: [2, tokens], makeNetwork: make)
    }

    /// A part of an image set as training examples, and images that it holds out.
    ///
    /// - Parameter trainCount: images to learn from, drawn by the seed (1,000 are usual).
    /// - Throws: `.usage` for more than there are.
    public static func images(
        _ train: ImageDataSet, test: ImageDataSet, trainCount: Int = 1_000, testCount: Int = 1_000,
        configuration: ImagePerceptron.Configuration? = nil, splitSeed: UInt64
    ) throws -> GrokkingTask {
        func part(_ set: ImageDataSet, _ count: Int, stream: UInt32) throws -> LabeledBatch {
            guard (1...set.count).contains(count) else {
                throw CoppiceError(
                    .usage, field: "images", "\(count), expected 1 to the \(set.count) images of \(set.name)")
            }
            var generator = RandomGenerator(seed: splitSeed, stream: stream)
            let chosen = Tensor.randomPermutation(set.count, using: &generator).slice(axis: 0, 0..<count).integers()
            let images = set.subset(chosen)
            // Bytes as fractions of one, not normalized further: the delay depends on the inputs' scale.
            return LabeledBatch(
                inputs: images.pixels.converted(to: .f32).reshaped([count, -1]) / 255, targets: Tensor(images.labels))
        }
        let pixels = train.channels * train.rows * train.columns
        let own = configuration ?? .init(pixels: pixels, classes: train.classCount)
        return GrokkingTask(
            name: "\(train.name), \(trainCount) images", train: try part(train, trainCount, stream: 3),
            test: try part(test, testCount, stream: 4), inputShape: [pixels],
            makeNetwork: { ImagePerceptron(own, seed: $0) })
    }
}
