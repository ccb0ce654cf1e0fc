import CoppiceCompression
import CoppiceModels
import CoppiceTensors
import CoppiceTraining

/// Whether the densities of layers are all that matters for pruning at initialization, so that whole channels can go,
/// and whether widths that a convex programme finds without data are good ones.
public struct PrecroppingExperiment: Experiment {
    public let identifier = "precropping"
    public let title = "PreCropping: channels chosen before training by a convex programme"
    public let paper =
        "Cai et al., Structured Pruning is All You Need for Pruning CNNs at Initialization (2022), arXiv:2203.02549"
    public let summary =
        "A convolutional network is pruned before training weight by weight and channel by channel with the same "
        + "densities of layers, and with widths by several rules; all are trained alike."

    public init() {}

    public func run(_ setting: ExperimentSetting, progress: any ProgressReporter) throws -> ExperimentReport {
        let study = try Self.study(setting)
        progress.report(study.summary)
        let measured = try PrecroppingMeasurement(
            study, budgets: [0.3, 0.1], seeds: setting.seeds, progress: progress)
        return ExperimentReport(
            identifier: identifier, title: title, paper: paper,
            protocolText:
                "Every arm has a part of the network's parameters (30 %, 10 %) and the training of the dense network: "
                + "SGD, momentum 0.9, decay 0.0005, a cosine from 0.05. SynFlow (100 rounds) and SNIP (one batch, ten "
                + "images of each class) remove single weights at initialization; shuffled is SynFlow's mask with the "
                + "same number of weights in each layer at random places. Cropped networks are dense and narrower: by "
                + "SynFlow's densities, by the programme (SynExp), by one factor for all widths. Accuracies are means "
                + "over seeds.",
            facts: study.facts + [
                .init("parameters", "\(study.architecture.parameterCount)"),
                .init("seeds", setting.seeds.map(String.init).joined(separator: ", ")),
            ],
            claims: measured.claims, illustrations: measured.illustrations, tables: measured.tables,
            notes: measured.notes, data: measured.json)
    }

    private static func study(_ setting: ExperimentSetting) throws -> ImageStudy {
        var study: ImageStudy
        if setting.isFull {
            study = try ImageStudy(
                .photographs, architecture: VisionArchitecture(named: "resnet20-projected"), epochs: 100, in: setting)
            study.augmentation = .standard
        } else {
            func scaled(_ count: Int) -> Int { max(1, Int((Double(count) * setting.scale).rounded())) }
            study = try ImageStudy(
                .photographs, architecture: VisionArchitecture(named: "vgg11-bn", widthMultiplier: 0.125),
                imageCount: scaled(4_000), epochs: 6, in: setting)
            study.batchSize = min(64, scaled(4_000))
        }
        return study
    }
}
