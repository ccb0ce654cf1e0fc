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
        let size = setting.isFull ? Size.large : .small.scaled(by: setting.scale)
        let study = try Self.study(size, setting)
        progress.report(study.summary)
        let measured = try LayerLotteryMeasurement(
            study, counts: size.counts, seeds: setting.seeds, progress: progress)
        let rewinding =
            "Rewound: blocks go by their GraSP scores in the trained network, and what is left goes back to its first "
            + "weights, or to those and the rates of epoch \(measured.rewindEpoch), or starts from others "
            + "(reinitialized); or they go by what the trained network's outputs are without them (the divergence KL "
            + "of the classes' probabilities, 1 − linear CKA), by their L1 norms or at random (a second draw), and "
            + "what is left goes back to its first weights."
        return ExperimentReport(
            identifier: identifier, title: title, paper: paper,
            protocolText:
                "Blocks are scored at initialization on one batch (ten images of each class), the lowest go, and what "
                + "is left is trained as the dense network: SGD, momentum 0.9, decay 0.0005, \(study.ratesText). "
                + "Removable are all blocks that keep the shape. Filters: single filters inside blocks go by their "
                + "GraSP scores until as many parameters are left as in GraSP's ticket, or (by count) as many filters, but "
                + "for one of each block; also by their SNIP scores, as many as SNIP's ticket lacks. \(rewinding) "
                + "After training: the blocks of GraSP's ticket go from the trained network, or from one without "
                + "shortcuts (plain), without further training. Accuracies are means over seeds.",
            facts: study.facts + [
                .init("parameters", "\(study.architecture.parameterCount)"),
                .init("removable blocks", measured.removable.joined(separator: ", ")),
                .init("seeds", setting.seeds.map(String.init).joined(separator: ", ")),
            ],
            claims: measured.claims, illustrations: measured.illustrations, tables: measured.tables,
            data: measured.json)
    }

    private static func study(_ size: Size, _ setting: ExperimentSetting) throws -> ImageStudy {
        if let imageCount = size.imageCount {
            return try .smallResidual(
                imageCount: imageCount, epochs: size.epochs, widthMultiplier: 0.5, in: setting)
        }
        var study = try ImageStudy(
            .photographs, architecture: VisionArchitecture(named: "resnet32"), epochs: size.epochs, in: setting)
        study.augmentation = .standard
        (study.rateKind, study.peakRate) = (.step, 0.1)
        return study
    }

    /// How much is trained.
    struct Size: Sendable, Hashable {
        /// Images of Fashion-MNIST for a ResNet-20 of half its width; nil for all of CIFAR-10 and a ResNet-32.
        var imageCount: Int?
        var epochs: Int
        /// Numbers of blocks that go.
        var counts: [Int]

        static let small = Size(imageCount: 3_300, epochs: 5, counts: [1, 2, 3])
        /// The paper's own, days of work.
        static let large = Size(imageCount: nil, epochs: 200, counts: [1, 2, 3, 4, 5])

        /// The images multiplied.
        func scaled(by factor: Double) -> Size {
            var size = self
            size.imageCount = imageCount.map { $0.scaled(by: factor) }
            return size
        }
    }
}
