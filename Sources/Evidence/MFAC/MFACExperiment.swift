import CoppiceCompression
import CoppiceModels
import CoppiceTensors

/// Whether products with the inverse of a whole Fisher matrix, computed without the matrix, prune and train better than
/// what looks at less of it.
public struct MFACExperiment: Experiment {
    public let identifier = "m-fac"
    public let title = "M-FAC: Efficient Matrix-Free Approximations of Second-Order Information"
    public let paper =
        "Frantar, Kurtic and Alistarh, M-FAC: Efficient Matrix-Free Approximations of Second-Order Information (NeurIPS "
        + "2021), arXiv:2107.03356"
    public let summary =
        "A trained network is pruned once, without training, by magnitude and by inverse Fisher matrices that are "
        + "diagonal, in blocks and whole, and gradually while it trains on; a perceptron, a residual network and, fine-tuned, "
        + "an encoder of texts are trained with M-FAC, SGD and AdamW; products are held against explicit inverses."

    public init() {}

    public func run(_ setting: ExperimentSetting, progress: any ProgressReporter) throws -> ExperimentReport {
        let size = setting.isFull ? Size.paper : .small.scaled(by: setting.scale)
        var study = try ImageStudy(.fashion, imageCount: size.images, epochs: size.epochs, in: setting)
        if setting.isFull { (study.rateKind, study.peakRate) = (.step, 0.1) }
        var residual = try ImageStudy(
            .photographs, imageCount: size.residualImages, epochs: size.residualEpochs, in: setting)
        residual.rateKind = setting.isFull ? .step : .constant
        if setting.isFull { residual.augmentation = .standard }
        progress.report(study.summary)
        progress.report(residual.summary)
        let texts = try setting.dataFolder.flatMap { folder in
            LetterTexts.areThere(in: folder) ? try LetterTexts(folder: folder, limit: size.encoder.letters) : nil
        }
        let measured = try MFACMeasurement(
            study, residual: residual, texts: texts, size: size, seeds: setting.seeds, progress: progress)
        return ExperimentReport(
            identifier: identifier, title: title, paper: paper,
            protocolText:
                "Pruning: one threshold of saliency over all weights of a trained network, λ = 10⁻⁵, \(size.gradients) "
                + "gradients of the mean loss of \(size.gradientBatch) training images each, \(size.recomputations) recomputations in steps of "
                + "equal ratio; nothing is trained afterwards. Gradual: the trained network is trained on for "
                + "\(MarkupText.number(size.gradualEpochs)) epochs by SGD with momentum 0.9 and \(study.ratesText), while a "
                + "cubic ramp through the first half removes weights at every fiftieth part of the steps under one threshold, by M-FAC with as many gradients anew each time (one "
                + "recomputation), by magnitude (GMP) or at random. Optimizers: one epoch of the same network, "
                + "\(size.residualEpochs) of \(residual.architecture) on \(residual.training.count) images of "
                + "\(residual.training.name), from the initial weights, and \(size.encoder.tuningSteps) steps of "
                + "fine-tuning an encoder of \(size.encoder.layers) layers of width \(size.encoder.width), pre-trained for "
                + "\(size.encoder.pretrainingSteps) steps on gaps in letters, to tell whether a passage begins where a word "
                + "does; all without decay. Of the four rates (three) of each optimizer the one with the least loss over "
                + "the last tenth of the steps counts, by the mean over seeds, for test accuracies too. "
                + "Exactness: random Gaussian gradients of norm about one, against the matrix inverted as such.",
            facts: study.facts + [
                .init("seeds", setting.seeds.map(String.init).joined(separator: ", ")),
                .init(
                    "sparsities", Size.sparsities.map { MarkupText.percent($0, places: 0) }.joined(separator: ", ")),
                .init("gradients", "\(size.gradients), and \(size.fewGradients)"),
                .init("window of the optimizer", "\(size.window) gradients"),
            ],
            claims: measured.claims, illustrations: measured.illustrations, tables: measured.tables,
            notes: measured.notes, data: measured.json)
    }

    /// How much is measured.
    struct Size: Sendable {
        static let sparsities = [0.9, 0.95, 0.98]

        /// Training images; nil for all.
        var images: Int?
        var epochs: Int
        /// m of pruning.
        var gradients = 256
        /// Images of each gradient.
        var gradientBatch = 16
        /// The smaller m.
        var fewGradients = 64
        /// R.
        var recomputations = 8
        /// Epochs of gradual pruning.
        var gradualEpochs = 3.0
        /// m of the optimizer.
        var window = 64
        /// Training images of the residual network; nil for all.
        var residualImages: Int?
        var residualEpochs = 1
        var encoder = EncoderSize.small

        static let small = Size(images: 10_000, epochs: 6, residualImages: 7_000)
        /// All images, and the paper's epochs, batches of gradients, recomputations and window.
        static let paper = Size(
            images: nil, epochs: 164, gradientBatch: 32, recomputations: 16, gradualEpochs: 30, window: 512,
            residualEpochs: 164, encoder: .large)

        /// Epochs, gradients and images multiplied where that makes them fewer.
        func scaled(by factor: Double) -> Size {
            guard factor < 1 else { return self }
            var size = self
            size.images = images.map { $0.scaled(by: factor, least: 1_000) }
            size.residualImages = residualImages.map { $0.scaled(by: factor, least: 500) }
            size.residualEpochs = residualEpochs.scaled(by: factor)
            size.epochs = epochs.scaled(by: factor)
            size.gradients = gradients.scaled(by: factor, least: 8)
            size.fewGradients = fewGradients.scaled(by: factor, least: 4)
            size.recomputations = recomputations.scaled(by: factor, least: 2)
            size.window = window.scaled(by: factor, least: 4)
            size.encoder = encoder.scaled(by: factor)
            return size
        }
    }
}
