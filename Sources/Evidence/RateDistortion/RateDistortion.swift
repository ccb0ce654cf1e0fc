import CoppiceCompression
import CoppiceModels
import CoppiceTensors

/// Whether distortions of layers add up, and whether the split that a dynamic programme finds on their curves is better
/// than one threshold, equal shares or densities by shape.
public struct RateDistortion: Experiment {
    public let identifier = "layer-adaptive-rd"
    public let title = "Layer-adaptive rates by rate-distortion optimization"
    public let paper =
        "Xu, Wang, Geng, Wu, Li and Lin, Efficient Joint Optimization of Layer-Adaptive Weight Pruning in Deep Neural "
        + "Networks (2023), arXiv:2308.10438"
    public let summary =
        "Curves of output error by rate are measured layer by layer on a perceptron for Fashion-MNIST and a trained ResNet-20; "
        + "the split by a dynamic programme is compared with global, uniform, ERK and LAMP, before and after training."

    public init() {}

    public func run(_ setting: ExperimentSetting, progress: any ProgressReporter) throws -> ExperimentReport {
        let size = setting.isFull ? Size.full : .standard.scaled(by: setting.scale)
        let study = try ImageStudy(.fashion, imageCount: size.images, epochs: size.epochs, in: setting)
        progress.report(study.summary)
        let measured = try RateDistortionMeasurement(study, setting, size: size, progress: progress)
        return ExperimentReport(
            identifier: identifier, title: title, paper: paper,
            protocolText:
                "A curve is the squared error of a network's logits, against those of the dense network, when one layer "
                + "alone keeps its largest weights, at \(size.steps) even rates and halves beyond, on "
                + "\(size.calibrationImages) training images without labels: the mean over images, the worst of them, or "
                + "the mean on Gaussian noise. The programme's budget has 65,536 buckets. Errors of jointly pruned networks "
                + "are means over \(size.testInputs) test images. All arms are trained alike after pruning (SGD, momentum "
                + "0.9, cosine). The perceptron is pruned once; ResNet-20 in rounds, with new curves (of the worst image, as "
                + "released) and the same training in each.",
            facts: study.facts + [
                .init("epochs after pruning", MarkupText.number(size.epochsAfter)),
                .init("seeds", setting.seeds.map(String.init).joined(separator: ", ")),
                .init(
                    "ResNet-20",
                    "curves of \(size.residualSteps) rates on \(size.residualCalibration) images; "
                        + "\(size.residualImages.map(String.init) ?? "all") images, "
                        + "\(MarkupText.number(size.residualEpochs)) epochs after each round, "
                        + "\(setting.seeds(atMost: size.residualSeeds).count) seed(s)"),
            ],
            claims: measured.claims, illustrations: measured.illustrations, tables: measured.tables,
            notes: [
                "The paper prunes VGG-16, ResNet-32, DenseNet-121 and ResNet-50 in up to twenty rounds; here are "
                    + "\(RoundsArm.sparsities.count).",
                "Measured and predicted errors are of logits, before any softmax.",
            ], data: measured.json)
    }

    /// How much is trained and measured.
    struct Size: Sendable {
        var images: Int?
        var epochs: Int
        var epochsAfter: Double
        /// Even rates of a curve.
        var steps: Int
        var calibrationImages: Int
        var testInputs: Int
        /// Random splits that additivity is tested on, for each seed.
        var splits: Int
        var residualImages: Int?
        var residualEpochs: Double
        var residualSteps: Int
        var residualCalibration: Int
        /// The first of the seeds; nil for all.
        var residualSeeds: Int?

        static let standard = Size(
            images: 20_000, epochs: 5, epochsAfter: 3, steps: 100, calibrationImages: 500, testInputs: 1_000,
            splits: 40,
            residualImages: 3_500, residualEpochs: 1, residualSteps: 15, residualCalibration: 64, residualSeeds: 2)

        static let full = Size(
            images: nil, epochs: 30, epochsAfter: 30, steps: 100, calibrationImages: 1_024, testInputs: 5_000,
            splits: 40,
            residualImages: nil, residualEpochs: 30, residualSteps: 100, residualCalibration: 1_024)

        /// Images of everything multiplied.
        func scaled(by factor: Double) -> Size {
            var size = self
            size.images = images.map { $0.scaled(by: factor, least: 200) }
            size.residualImages = residualImages.map { $0.scaled(by: factor, least: 200) }
            size.calibrationImages = calibrationImages.scaled(by: factor, least: 20)
            size.testInputs = testInputs.scaled(by: factor, least: 20)
            size.residualCalibration = residualCalibration.scaled(by: factor, least: 4)
            return size
        }
    }
}
