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
        "A chain of convolutions and a residual network are pruned before training weight by weight and channel by channel "
        + "with the same densities of layers, and with widths by several rules; all are trained alike."

    public init() {}

    public func run(_ setting: ExperimentSetting, progress: any ProgressReporter) throws -> ExperimentReport {
        let studies = try Self.studies(setting)
        // The paper's sizes are run on all seeds.
        let seeds = setting.seeds(atMost: setting.isFull ? nil : 2)
        for study in studies { progress.report(study.summary) }
        let measured = try PrecroppingMeasurement(studies, seeds: seeds, progress: progress)
        return ExperimentReport(
            identifier: identifier, title: title, paper: paper,
            protocolText:
                "Every arm has a part of the network's parameters (30 %, 10 %), norms and biases counted, and the training "
                + "of the dense network: SGD, momentum 0.9, decay 0.0005, a cosine from 0.05. SynFlow (100 rounds), SNIP and "
                + "GraSP (one batch, ten images of each class) and ERK (random, with densities by the layers' shapes) "
                + "remove single weights at initialization; shuffled is SynFlow's mask with the same number of weights in "
                + "each layer at random places. Cropped networks are dense and narrower: by the densities of SynFlow, SNIP, "
                + "GraSP and ERK, by the programme (SynExp), by the densities that it gives layers on their own "
                + "(synexp-layers, as published), by it with the signal of blocks and shortcuts together "
                + "(synexp-residual) or with no more multiplications than one factor takes (synexp-both), by one factor "
                + "for all widths. As a reference from above, the trained dense network loses the channels of the "
                + "smallest L1 norm (over their group's mean, one threshold) and is trained once more as long. "
                + "Accuracies are means over seeds.",
            facts: measured.networks.map(\.fact) + [
                .init("seeds", seeds.map(String.init).joined(separator: ", "))
            ],
            claims: measured.claims, illustrations: measured.illustrations, tables: measured.tables,
            notes: measured.notes, data: measured.json)
    }

    /// A chain of layers, and a network whose shortcuts couple the channels of a stage.
    private static func studies(_ setting: ExperimentSetting) throws -> [ImageStudy] {
        if setting.isFull {
            var study = try ImageStudy(
                .photographs, architecture: VisionArchitecture(named: "resnet20-projected"), epochs: 100, in: setting)
            study.augmentation = .standard
            return [study]
        }
        let count = 4_000.scaled(by: setting.scale)
        var studies = [
            try ImageStudy(
                .photographs, architecture: VisionArchitecture(named: "vgg11-bn", widthMultiplier: 0.125),
                imageCount: count, epochs: 6, in: setting),
            try ImageStudy(
                .fashion,
                architecture: VisionArchitecture(
                    named: "resnet14-projected", inputChannels: 1, imageSize: 28, widthMultiplier: 0.5),
                imageCount: count, epochs: 5, in: setting),
        ]
        for index in studies.indices { studies[index].batchSize = min(64, count) }
        return studies
    }
}
