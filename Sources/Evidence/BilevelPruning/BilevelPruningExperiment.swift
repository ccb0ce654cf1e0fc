import CoppiceCompression
import CoppiceModels
import CoppiceTensors

/// Whether masks that are learned while weights retrain reach in one run what iterative pruning reaches in many.
public struct BilevelPruningExperiment: Experiment {
    public let identifier = "bip"
    public let title = "Advancing Model Pruning via Bi-level Optimization"
    public let paper =
        "Zhang, Yao, Ram, Zhao, Chen, Hong, Wang and Liu, Advancing Model Pruning via Bi-level Optimization (NeurIPS "
        + "2022), arXiv:2210.04092"
    public let summary =
        "A trained network is pruned to a few per cent of its weights by bi-level optimization, by learned scores with "
        + "frozen weights, by magnitude once and in many rounds, and at random, an untrained one by three criteria of "
        + "its initial weights; accuracies and costs are compared. A convolutional one loses filters and channels."

    public init() {}

    public func run(_ setting: ExperimentSetting, progress: any ProgressReporter) throws -> ExperimentReport {
        let size = setting.isFull ? Size.paper : .small.scaled(by: setting.scale)
        var study = try ImageStudy(.fashion, imageCount: size.images, epochs: size.epochs, in: setting)
        study.peakRate = size.denseRate
        progress.report(study.summary)
        let filters = try Self.filters(setting, size: size)
        let measured = try BilevelPruningMeasurement(
            study, filters: filters, size: size, seeds: setting.seeds, progress: progress)
        return ExperimentReport(
            identifier: identifier, title: title, paper: paper,
            protocolText:
                "Each seed trains a dense network; all arms but iterative and early pruning start from it and train "
                + "\(size.retrainingEpochs) epochs more (learned scores with frozen weights: as many for the scores "
                + "first). SGD with momentum 0.9, rates fall from \(MarkupText.number(size.rate)) as a cosine, weights "
                + "decay by 10⁻⁴. One threshold over all weights. Bi-level pruning: a step of weights, then one of "
                + "scores on another batch (rate \(MarkupText.number(size.maskRate)), a tenth of it from half of the "
                + "steps, none from three quarters), γ = 1, scores start as the weights. Iterative pruning: levels of "
                + "about a fifth, each trained from the initial weights, or rewound to those after the first epoch, "
                + "for as many epochs in all, either as the dense network (rates from "
                + "\(MarkupText.number(size.denseRate)), decay 5 · 10⁻⁴) or as the other arms. SNIP and GraSP (256 "
                + "images) and SynFlow (\(size.synapticFlowRounds) rounds) prune the initial weights, which then train "
                + "as the other arms do, for the dense network's epochs and theirs together. Cost is counted in "
                + "batches of training that went forwards and backwards, the dense network's included. Filters and "
                + "channels: a plain network with batch norm keeps a part of the channels of every group, by bi-level "
                + "pruning (scores of the filters that make a channel, or of what reads it, at a rate of "
                + "\(MarkupText.number(FilterComparison.maskRate))), by the L1 norm of filters or by the rank of the "
                + "feature maps of 256 images, and a smaller dense network is cut out.",
            facts: study.facts + [
                .init("seeds", setting.seeds.map(String.init).joined(separator: ", ")),
                .init("epochs of retraining", "\(size.retrainingEpochs)"),
                .init("filters and channels", filters.summary),
                .init("kept", Size.kept.map { MarkupText.percent($0, places: 0) }.joined(separator: ", ")),
            ],
            claims: measured.claims, illustrations: measured.illustrations, tables: measured.tables,
            notes: measured.notes, data: measured.json)
    }

    /// The network of six convolutions whose filters and channels go: an eighth as wide, unless all is run.
    private static func filters(_ setting: ExperimentSetting, size: Size) throws -> ImageStudy {
        let architecture = try VisionArchitecture(named: "vgg9-bn", widthMultiplier: setting.isFull ? 1 : 0.125)
        guard setting.isFull else {
            let count = max(100, Int((2_000 * min(1, setting.scale)).rounded()))
            var study = try ImageStudy(
                .photographs, architecture: architecture, imageCount: count, epochs: size.epochs, in: setting)
            study.batchSize = min(64, study.training.count)
            return study
        }
        var study = try ImageStudy(.photographs, architecture: architecture, epochs: size.epochs, in: setting)
        (study.augmentation, study.peakRate) = (.standard, size.denseRate)
        return study
    }

    /// How much is trained.
    struct Size: Sendable {
        /// Parts of the weights that are kept.
        static let kept = [0.05, 0.02, 0.01]

        /// Training images; nil for all.
        var images: Int?
        var epochs: Int
        var retrainingEpochs: Int
        /// Of the dense network's training, and of each level of iterative pruning.
        var denseRate = 0.05
        /// α, of all weights' training after the dense network's.
        var rate = 0.1
        /// β.
        var maskRate = 1.0
        /// Rounds in which SynFlow removes weights.
        var synapticFlowRounds = 100

        static let small = Size(images: 10_000, epochs: 10, retrainingEpochs: 10)
        /// The paper's epochs and rates, on all images.
        static let paper = Size(images: nil, epochs: 200, retrainingEpochs: 100, denseRate: 0.1)

        /// Epochs multiplied, one at least; images too where that makes them fewer.
        func scaled(by factor: Double) -> Size {
            var size = self
            size.epochs = epochs.scaled(by: factor)
            size.retrainingEpochs = retrainingEpochs.scaled(by: factor)
            size.synapticFlowRounds = min(synapticFlowRounds, synapticFlowRounds.scaled(by: factor))
            if factor < 1 { size.images = images.map { $0.scaled(by: factor, least: 1_000) } }
            return size
        }
    }
}
