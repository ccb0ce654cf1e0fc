import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// A classification of images that an experiment trains networks on: its data, its network, and how that is trained.
///
/// ```swift
/// let study = try ImageStudy(.fashion, epochs: 6, in: setting)
/// let network = try study.trained(seed: 42)
/// let accuracy = study.accuracy(of: network)
/// ```
struct ImageStudy: Sendable {
    /// A published data set and the network that small experiments train on it.
    enum Problem: Sendable {
        /// LeNet-300-100 on MNIST.
        case digits
        /// LeNet-300-100 on Fashion-MNIST.
        case fashion
        /// ResNet-20 on CIFAR-10.
        case photographs

        var data: PublishedData {
            switch self {
            case .digits: .mnist
            case .fashion: .fashionMNIST
            case .photographs: .cifar10
            }
        }

        var architectureName: String { self == .photographs ? "resnet20" : "lenet-300-100" }
    }

    var training: ImageDataSet
    var test: ImageDataSet
    var architecture: VisionArchitecture
    var batchSize = 128
    var epochs: Int
    var optimizer: any Optimizer
    var rateKind = LearningRateSchedule.Kind.cosine
    var peakRate: Double
    var augmentation = ImageAugmentation.none

    /// Opens the problem's data; the network is trained by SGD with momentum 0.9 and a cosine schedule from 0.05.
    ///
    /// - Parameters:
    ///   - imageCount: training images, of each class alike; nil for all.
    ///   - architecture: another than the problem's usual one.
    /// - Throws: `.usage` where the setting names no folder of data, `.noInput` for one without the problem's; what
    ///   opening the data set throws.
    init(
        _ problem: Problem, architecture: VisionArchitecture? = nil, imageCount: Int? = nil, epochs: Int,
        in setting: ExperimentSetting
    ) throws {
        guard let folder = setting.dataFolder else {
            throw CoppiceError(
                .usage, field: "data",
                "this experiment needs a folder that holds \(problem.data.title): --data or COPPICE_DATA")
        }
        let path = try problem.data.locate(in: folder)
        let all = try ImageDataSet.open(path, split: .train)
        training = try imageCount.map { try all.sample(min($0, all.count), seed: 0) } ?? all
        test = try ImageDataSet.open(path, split: .test)
        self.architecture = try architecture ?? VisionArchitecture(named: problem.architectureName)
        self.epochs = epochs
        optimizer = SGD(momentum: 0.9, weightDecay: 5e-4)
        peakRate = 0.05
        try training.check(fits: self.architecture)
    }

    /// A small residual network with batch norm on Fashion-MNIST: a ResNet-20 of a part of its widths, trained in
    /// batches of 64.
    ///
    /// - Parameter imageCount: training images, of each class alike.
    static func smallResidual(
        imageCount: Int, epochs: Int, widthMultiplier: Double = 0.25, in setting: ExperimentSetting
    ) throws -> ImageStudy {
        var study = try ImageStudy(
            .fashion,
            architecture: VisionArchitecture(
                named: "resnet20", inputChannels: 1, imageSize: 28, widthMultiplier: widthMultiplier),
            imageCount: imageCount, epochs: epochs, in: setting)
        study.batchSize = min(64, imageCount)
        return study
    }

    /// The training images in an order of the seed's.
    func batches(seed: UInt64) -> ImageBatches {
        ImageBatches(training, batchSize: batchSize, seed: seed, augmentation: augmentation)
    }

    /// Images that criteria by gradients see: more than ten of each of ten classes, as SNIP asks.
    private static let scoredImages = 256

    /// The first batches of a training, of enough images for scores of weights.
    func scoredBatches(_ batches: ImageBatches) -> [LabeledBatch] {
        (0..<(Self.scoredImages + batchSize - 1) / batchSize).map { batches.batch(at: $0) }
    }

    /// Steps of an epoch.
    var stepsPerEpoch: Int { max(1, training.count / batchSize) }

    /// The training of some epochs, by default all.
    func supervision(epochs: Double? = nil, peakRate: Double? = nil) -> SupervisedTraining {
        let steps = Int(((epochs ?? Double(self.epochs)) * Double(stepsPerEpoch)).rounded())
        return SupervisedTraining(
            optimizer: optimizer,
            rates: LearningRateSchedule(
                kind: rateKind, peak: peakRate ?? self.peakRate, warmupSteps: 0, minimumRatio: 0,
                totalSteps: max(1, steps)))
    }

    /// A network with the initial weights of a seed.
    func makeNetwork(seed: UInt64) -> any VisionNetwork { architecture.makeNetwork(seed: seed) }

    /// A network trained from the initial weights and in the order of a seed.
    func trained(seed: UInt64) throws -> any VisionNetwork {
        let network = makeNetwork(seed: seed)
        try supervision().run(network, on: batches(seed: seed))
        return network
    }

    /// The fraction of test images that a network classifies right.
    func accuracy(of network: any SupervisedNetwork) -> Double {
        Classification.measure(network, on: test)?.accuracy ?? 0
    }

    /// The learning rates in words.
    var ratesText: String {
        let peak = MarkupText.number(peakRate)
        return switch rateKind {
        case .cosine: "a cosine from \(peak)"
        case .linear: "a line from \(peak)"
        case .constant: "a rate of \(peak)"
        case .step: "a rate of \(peak) that drops tenfold at a half and three quarters"
        }
    }

    /// What is trained on what, in a line.
    var summary: String { facts.map { "\($0.name): \($0.value)" }.joined(separator: "; ") }

    /// What the report says of data and training.
    var facts: [ExperimentReport.Fact] {
        [
            .init("network", architecture.description),
            .init("images", "\(training.name), \(training.count) for training, \(test.count) for testing"),
            .init("epochs", "\(epochs) of \(stepsPerEpoch) steps, batches of \(batchSize)"),
        ]
    }
}
