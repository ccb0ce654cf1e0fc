import CoppiceCompression
import CoppiceModels
import CoppiceTensors

/// Whether a trained network holds a sparse one that is as good with its weights as they are.
public struct LotteryJackpots: Experiment {
    public let identifier = "lottery-jackpots"
    public let title = "Lottery Jackpots Exist in Pre-trained Models"
    public let paper =
        "Zhang, Lin, Lin, Chao, Tian and Ji, Lottery Jackpots Exist in Pre-trained Models (2021), arXiv:2104.08700"
    public let summary =
        "Masks of a trained network are searched while its weights stay bit for bit, from magnitude masks and from random "
        + "ones, with and without fewer swaps towards the end; training the weights under the magnitude mask, or while "
        + "sparsity rises, and other masks are compared."

    public init() {}

    public func run(_ setting: ExperimentSetting, progress: any ProgressReporter) throws -> ExperimentReport {
        let size = setting.isFull ? Size.paper : .small.scaled(by: setting.scale)
        var study = try ImageStudy(.fashion, imageCount: size.images, epochs: size.epochs, in: setting)
        (study.batchSize, study.peakRate) = (size.batchSize, size.rate)
        progress.report(study.summary)
        let convolutional = try Self.convolutional(setting, size: size)
        let measured = try LotteryJackpotsMeasurement(
            study, convolutional: convolutional, size: size, seeds: setting.seeds, progress: progress)
        let randomSeeds =
            size.convolutionalRandomSeeds.map { "\(min($0, setting.seeds.count)) of the seeds" } ?? "all seeds"
        return ExperimentReport(
            identifier: identifier, title: title, paper: paper,
            protocolText:
                "Each seed trains a dense network. One threshold of magnitude over all layers but the last gives each "
                + "layer's rate, which stays; the last layer is not pruned, and sparsities are those of the others. Scores "
                + "start at 1 for kept and 0.99 for removed weights (or at random), and learn by SGD with momentum 0.9 at a "
                + "rate of 0.1 that falls as a cosine, decay 5 · 10⁻⁴, over \(size.searchEpochs) epochs; of the pairs that "
                + "would be swapped at a step the part (1 − t/T)⁴ is. Weights and biases stay as they are. Training the "
                + "weights instead takes the same epochs, at the dense network's rates; gradual magnitude and movement "
                + "pruning raise sparsity meanwhile, on a cubic ramp through the first half. Other masks keep as many "
                + "weights of each layer; their criteria see eight batches. The residual network is treated alike, with "
                + "all swaps made at 95 % alone, and from random scores with \(randomSeeds).",
            facts: study.facts + [
                .init("seeds", setting.seeds.map(String.init).joined(separator: ", ")),
                .init("epochs of search", "\(size.searchEpochs), from random scores \(size.randomSearchEpochs)"),
                .init(
                    "sparsities", Size.sparsities.map { MarkupText.percent($0, places: 0) }.joined(separator: ", ")),
                .init("residual network", convolutional.summary),
                .init(
                    "of all weights",
                    measured.wholeSparsities.map { MarkupText.percent($0, places: 2) }.joined(separator: ", ")),
            ],
            claims: measured.claims, illustrations: measured.illustrations, tables: measured.tables,
            notes: measured.notes, data: measured.json)
    }

    /// The network with batch norm.
    private static func convolutional(_ setting: ExperimentSetting, size: Size) throws -> ImageStudy {
        guard setting.isFull else {
            let count = max(100, Int((4_000 * min(1, setting.scale)).rounded()))
            return try .smallResidual(imageCount: count, epochs: size.epochs, in: setting)
        }
        var study = try ImageStudy(
            .photographs, architecture: VisionArchitecture(named: "resnet32"), epochs: size.epochs, in: setting)
        study.augmentation = .standard
        (study.batchSize, study.peakRate) = (size.batchSize, size.rate)
        return study
    }

    /// How much is trained.
    struct Size: Sendable {
        /// Of all layers but the last.
        static let sparsities = [0.9, 0.95]
        /// The one at which searches from random scores are made.
        static let highest = 0.95
        /// Of the residual network, whose layers are small.
        static let convolutionalSparsities = [0.9, 0.95]

        /// Training images; nil for all.
        var images: Int?
        var epochs: Int
        var searchEpochs: Int
        var batchSize = 128
        /// Of the training of weights.
        var rate = 0.05
        /// With how many of the seeds masks of the residual network are searched from random scores; nil for all.
        var convolutionalRandomSeeds: Int?
        /// Three times as many.
        var randomSearchEpochs: Int { 3 * searchEpochs }

        static let small = Size(images: 10_000, epochs: 6, searchEpochs: 5, convolutionalRandomSeeds: 1)
        /// The paper's epochs, batches and rate for CIFAR, on all images.
        static let paper = Size(images: nil, epochs: 160, searchEpochs: 30, batchSize: 256, rate: 0.1)

        /// Epochs multiplied, one at least; images too where that makes them fewer.
        func scaled(by factor: Double) -> Size {
            var size = self
            size.epochs = epochs.scaled(by: factor)
            size.searchEpochs = searchEpochs.scaled(by: factor)
            if factor < 1 { size.images = images.map { $0.scaled(by: factor, least: 1_000) } }
            return size
        }
    }
}
