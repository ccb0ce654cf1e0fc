import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation

/// Everything that a grokking run follows from, as it is kept beside its results.
public struct GrokkingSettings: Sendable, Hashable, Codable {
    /// What there is to learn.
    public enum Task: String, Sendable, Hashable, Codable, CaseIterable {
        case add, sub, poly, random, sum
        /// A part of MNIST, by the mean squared error.
        case mnist
    }

    /// By which network; images have their own.
    public enum Model: String, Sendable, Hashable, Codable, CaseIterable {
        case mlp, transformer
    }

    public var task = Task.add
    public var modulus = 67
    /// Whether all ordered pairs are in the table instead of those with a ≤ b.
    public var allPairs = false
    /// The fraction of the table that is for training.
    public var trainFraction = 0.5
    /// Training images, where the task is of images.
    public var imageCount = 1_000
    public var model = Model.mlp
    /// The length of embeddings (of token vectors in the transformer).
    public var embeddingSize = 128
    /// Rectified neurons of the perceptron.
    public var hiddenSize = 128
    public var steps = 10_000
    public var learningRate = 1e-3
    public var weightDecay = 1.0
    /// Steps between measurements.
    public var interval = 10
    /// The accuracy that counts as learned.
    public var threshold = 0.95
    /// The test accuracy at which the dense run ends early; above 1 for never.
    public var stopAccuracy = 0.99
    /// Seeds the split and the initial weights.
    public var seed: UInt64 = 0

    public init() {}

    /// The sizes of the paper, which need some thirty thousand steps.
    public static var paper: GrokkingSettings {
        var settings = GrokkingSettings()
        (settings.trainFraction, settings.embeddingSize, settings.hiddenSize) = (0.4, 500, 48)
        settings.steps = 60_000
        return settings
    }

    /// A part of MNIST, from which no network of this kind reaches the accuracies of arithmetic.
    public static var images: GrokkingSettings {
        var settings = GrokkingSettings()
        (settings.task, settings.threshold, settings.stopAccuracy, settings.steps) = (.mnist, 0.85, 0.88, 3_000)
        return settings
    }

    /// - Parameter dataFolder: where MNIST is, under one of its usual names.
    /// - Throws: `.usage` for sizes, fractions and rates out of range, naming them; `.noInput` for a folder without
    ///   MNIST; what reading images throws.
    public func makeTask(dataFolder: String? = nil) throws -> GrokkingTask {
        try check()
        if task == .mnist {
            guard let dataFolder else {
                throw CoppiceError(
                    .usage, field: "data", "the task mnist needs a folder that holds MNIST: --data or COPPICE_DATA")
            }
            let path = try PublishedData.mnist.locate(in: dataFolder)
            let (train, test) = (try ImageDataSet.open(path, split: .train), try ImageDataSet.open(path, split: .test))
            return try .images(
                train, test: test, trainCount: imageCount, testCount: min(1_000, test.count), splitSeed: seed)
        }
        guard let operation = ModularArithmetic.Operation(rawValue: task.rawValue) else {
            throw CoppiceError(.internal, field: "task", task.rawValue)
        }
        return try .arithmetic(
            ModularArithmetic(operation, modulus: modulus, isSymmetric: !allPairs, tableSeed: seed),
            model: model == .transformer
                ? .transformer(size: embeddingSize)
                : .perceptron(embeddingSize: embeddingSize, hiddenSize: hiddenSize),
            trainFraction: trainFraction, splitSeed: seed)
    }

    public var training: GrokkingTraining {
        var training = GrokkingTraining(steps: steps)
        training.learningRate = learningRate
        training.weightDecay = weightDecay
        training.interval = interval
        training.threshold = threshold
        training.stopAccuracy = stopAccuracy > 1 ? nil : stopAccuracy
        return training
    }

    /// What a reader should know before a run; nil for nothing.
    public var warning: String? {
        guard task != .mnist, task != .random, task != .sum,
            let operation = try? ModularArithmetic(.add, modulus: modulus), !operation.hasPrimeModulus
        else { return nil }
        return "\(modulus) is not a prime number: the paper's tasks are modulo primes"
    }

    private func check() throws {
        func require(_ holds: Bool, _ field: String, _ found: some CustomStringConvertible, _ expected: String) throws {
            if !holds { throw CoppiceError(.usage, field: field, "\(found), expected \(expected)") }
        }
        try require((1...10_000_000).contains(steps), "steps", steps, "1 to 10000000")
        try require((1...1_000_000).contains(interval), "every", interval, "1 to 1000000")
        try require((1...8_192).contains(embeddingSize), "embedding", embeddingSize, "1 to 8192")
        try require((1...8_192).contains(hiddenSize), "hidden", hiddenSize, "1 to 8192")
        try require(learningRate > 0 && learningRate.isFinite, "lr", learningRate, "a number above 0")
        try require(weightDecay >= 0 && weightDecay.isFinite, "wd", weightDecay, "a number from 0")
        try require(stopAccuracy > 0, "stop", stopAccuracy, "an accuracy above 0")
        try require(threshold > 0 && threshold <= 1, "threshold", threshold, "an accuracy above 0 and up to 1")
    }
}
