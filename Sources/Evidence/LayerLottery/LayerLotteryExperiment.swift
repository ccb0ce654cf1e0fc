import CoppiceCompression
import CoppiceModels
import CoppiceTensors
import CoppiceTraining

/// Whether residual blocks can be removed before any training, and whether it matters which.
public struct LayerLotteryExperiment: Experiment {
    public let identifier = "layer-lottery"
    public let title = "When Layers Play the Lottery, all Tickets Win at Initialization"
    public let paper =
        "Jordao et al., When Layers Play the Lottery, all Tickets Win at Initialization (2023), arXiv:2301.10835"
    public let summary =
        "A residual network loses blocks before training by several criteria and is trained as the whole one is; "
        + "single filters, the usual shallower network, rewinding and removal after training are compared."

    public init() {}

    public func run(_ setting: ExperimentSetting, progress: any ProgressReporter) throws -> ExperimentReport {
        let study = try Self.study(setting)
        progress.report(study.summary)
        let measured = try LayerLotteryMeasurement(
            study, counts: setting.isFull ? [1, 2, 3, 4, 5] : [1, 2, 3], seeds: setting.seeds, progress: progress)
        return ExperimentReport(
            identifier: identifier, title: title, paper: paper,
            protocolText:
                "Blocks are scored at initialization on one batch (ten images of each class), the lowest go, and what "
                + "is left is trained as the dense network: SGD, momentum 0.9, decay 0.0005, \(study.ratesText). "
                + "Removable are all blocks that keep the shape. Filters: single filters inside blocks go by their "
                + "GraSP scores until as many parameters are left as in GraSP's ticket, or (by count) as many filters, but "
                + "for one of each block. Rewound: blocks go by their scores in the trained network, and what is left goes "
                + "back to its first weights, or to those and the rates of epoch \(measured.rewindEpoch), or starts from "
                + "others (reinitialized). After training: the blocks of GraSP's ticket go from the trained network, or "
                + "from one without shortcuts (plain), without further training. Accuracies are means over seeds.",
            facts: study.facts + [
                .init("parameters", "\(study.architecture.parameterCount)"),
                .init("removable blocks", measured.removable.joined(separator: ", ")),
                .init("seeds", setting.seeds.map(String.init).joined(separator: ", ")),
            ],
            claims: measured.claims, illustrations: measured.illustrations, tables: measured.tables,
            data: measured.json)
    }

    private static func study(_ setting: ExperimentSetting) throws -> ImageStudy {
        if setting.isFull {
            var study = try ImageStudy(
                .photographs, architecture: VisionArchitecture(named: "resnet32"), epochs: 200, in: setting)
            study.augmentation = .standard
            (study.rateKind, study.peakRate) = (.step, 0.1)
            return study
        }
        func scaled(_ count: Int) -> Int { max(1, Int((Double(count) * setting.scale).rounded())) }
        return try .smallResidual(imageCount: scaled(3_000), epochs: 4, widthMultiplier: 0.5, in: setting)
    }
}
