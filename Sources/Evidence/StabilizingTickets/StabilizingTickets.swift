import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Whether sparse networks that train as well as dense ones exist early in training, and whether that goes with their
/// training being stable.
public struct StabilizingTickets: Experiment {
    public let identifier = "lth-rewinding"
    public let title = "Stabilizing the Lottery Ticket Hypothesis"
    public let paper =
        "Frankle, Dziugaite, Roy and Carbin, Stabilizing the Lottery Ticket Hypothesis (2019), arXiv:1903.01611"
    public let summary =
        "Tickets of LeNet-300-100 and of a small residual network are found by iterative pruning, rewound to several "
        + "steps and compared with every control; the stability of their training is measured."

    public init() {}

    public func run(_ setting: ExperimentSetting, progress: any ProgressReporter) throws -> ExperimentReport {
        let size = setting.isFull ? Size.paper : .small.scaled(by: setting.scale)
        let measured = try StabilizingTicketsMeasurement(
            perceptron: size.perceptron(in: setting), residual: size.residual(in: setting), size: size,
            seeds: setting.seeds, progress: progress)
        return ExperimentReport(
            identifier: identifier, title: title, paper: paper,
            protocolText:
                "A: LeNet-300-100 on Fashion-MNIST, SGD without momentum at a constant rate of 0.1, rewound to step 0. "
                + "B: \(measured.residual.architecture) on CIFAR-10, SGD with momentum 0.9, rate "
                + "\(MarkupText.number(size.residualRate)) that drops tenfold at a half and three quarters, weight decay 1e-4, rewound to several steps k. A level "
                + "trains from step k on, removes \(MarkupText.percent(size.perceptronFraction, places: 0)) (A) or "
                + "\(MarkupText.percent(size.residualFraction, places: 0)) (B) of the weights left, the smallest, one "
                + "threshold for all, and rewinds the rest. The last layer of LeNet is not pruned. Distances are over "
                + "the weights that a mask keeps: between the dense network's trained weights and the sparse one's "
                + "(pruning), and between two trainings in different orders of the data.",
            facts: [
                .init("A", measured.perceptron.description), .init("B", measured.residual.description),
                .init("seeds", setting.seeds.map(String.init).joined(separator: ", ")),
            ],
            claims: measured.claims, illustrations: measured.illustrations, tables: measured.tables,
            notes: measured.notes, data: measured.json)
    }

    /// How much is trained.
    package struct Size: Sendable {
        var perceptronImages: Int?
        var perceptronEpochs: Int
        /// p and levels of A: a level of the small size removes as much as two of the paper's.
        var perceptronFraction: Double
        var perceptronLevels: Int
        var residualImages: Int?
        var residualEpochs: Int
        var residualFraction: Double
        var residualLevels: Int
        /// Rows and columns that CIFAR's images are averaged down to.
        var residualSide: Int
        var residualBlocks: Int
        var residualWidth: Int
        /// The peak rate of B.
        var residualRate = 0.1
        /// Rounds in which synaptic flow removes weights.
        var synflowRounds = 100
        /// k as parts of B's training, the first one 0.
        var rewindParts = [0, 0.02, 0.1]

        package static let small = Size(
            perceptronImages: 20_000, perceptronEpochs: 6, perceptronFraction: 0.36, perceptronLevels: 6,
            residualImages: 4_000, residualEpochs: 14, residualFraction: 0.4, residualLevels: 5, residualSide: 16,
            residualBlocks: 2, residualWidth: 8, residualRate: 0.3)
        static let paper = Size(
            perceptronImages: nil, perceptronEpochs: 40, perceptronFraction: 0.2, perceptronLevels: 12,
            residualImages: nil, residualEpochs: 160, residualFraction: 0.2, residualLevels: 12, residualSide: 32,
            residualBlocks: 3, residualWidth: 16)

        func scaled(by factor: Double) -> Size {
            var size = self
            size.perceptronImages = perceptronImages.map { $0.scaled(by: factor) }
            size.residualImages = residualImages.map { $0.scaled(by: factor) }
            size.perceptronLevels = max(2, min(perceptronLevels, perceptronLevels.scaled(by: factor)))
            size.synflowRounds = max(2, min(synflowRounds, synflowRounds.scaled(by: factor)))
            size.residualLevels = max(1, min(residualLevels, residualLevels.scaled(by: factor)))
            return size
        }

        func perceptron(in setting: ExperimentSetting) throws -> ImageStudy {
            var study = try ImageStudy(.fashion, imageCount: perceptronImages, epochs: perceptronEpochs, in: setting)
            study.batchSize = min(128, study.training.count)
            study.optimizer = SGD(momentum: 0)
            study.rateKind = .constant
            study.peakRate = 0.1
            return study
        }

        func residual(in setting: ExperimentSetting) throws -> ImageStudy {
            let blocks = ResNet.Configuration(blocks: residualBlocks, width: residualWidth)
            var study = try ImageStudy(
                .photographs, architecture: VisionArchitecture(blocks), imageCount: residualImages,
                epochs: residualEpochs, in: setting)
            // Averaging keeps what the images show at a quarter of the work.
            if residualSide < 32 {
                study.training = study.training.averaged(to: residualSide)
                study.test = study.test.averaged(to: residualSide)
                var small = blocks
                small.options.imageSize = .init(residualSide)
                study.architecture = try VisionArchitecture(small)
            }
            study.batchSize = min(isSmall ? 64 : 128, study.training.count)
            if !isSmall { study.augmentation = .standard }
            study.optimizer = SGD(momentum: 0.9, weightDecay: 1e-4)
            study.rateKind = .step
            study.peakRate = residualRate
            return study
        }

        private var isSmall: Bool { residualImages != nil }
    }
}

extension ImageDataSet {
    /// The images with squares of pixels averaged so that they have so many rows and columns. O(pixels).
    ///
    /// - Precondition: a size that divides rows and columns.
    func averaged(to side: Int) -> ImageDataSet {
        let (high, wide) = (rows / side, columns / side)
        precondition(rows % side == 0 && columns % side == 0, "\(side) does not divide \(rows) × \(columns)")
        let squares = pixels.converted(to: .f32).reshaped([count, channels, side, high, side, wide])
        let means = (squares.mean(axes: [3, 5]) + 0.5).floats().map { UInt8(min(255, $0)) }
        return ImageDataSet(
            name: name + " at \(side) × \(side)", pixels: Tensor(means, shape: [count, channels, side, side]),
            labels: labels, classNames: classNames, normalization: normalization)
    }
}
