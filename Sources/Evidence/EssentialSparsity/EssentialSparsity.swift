import CoppiceCompression
import CoppiceModels
import CoppiceTensors
import Foundation

/// How much of a trained model one-shot magnitude pruning removes for free, and where the cliff is.
///
/// Jaiswal, Liu, Chen and Wang, "The Emergence of Essential Sparsity in Large Pre-trained Models: The Weights that
/// Matter" (NeurIPS 2023, arXiv:2306.03805): a language model that is there already in the zero-shot protocol (prune,
/// then evaluate, with no training after), and, given texts and images to train on, a small language model at its
/// checkpoints in the same protocol, and small encoders and vision transformers in the fine-tune protocol.
public struct EssentialSparsity: Experiment {
    public let identifier = "essential-sparsity"
    public let title = "Essential sparsity: the weights that matter"
    public let paper =
        "Jaiswal, Liu, Chen, Wang: The Emergence of Essential Sparsity in Large Pre-trained Models. NeurIPS 2023, "
        + "arXiv:2306.03805"
    public let summary =
        "Sweeps one-shot pruning by magnitude and at random and finds how much goes for free and where the cliff is; "
        + "with data to train on also for a language model along its training, and for encoders and vision transformers "
        + "that are fine-tuned, beside lottery tickets and along pre-training."

    /// The sparsities of the sweep in tenths; exact in whole numbers, so that counts can be checked exactly.
    static let tenths = Array(1...9)
    static let sparsities = tenths.map { Double($0) / 10 }
    /// Those of controls.
    static let coarseSparsities = [0.2, 0.4, 0.6, 0.8]
    /// The fraction of what the model has learned that may be lost at the tolerance point.
    static let tolerance = 0.01
    /// The same of what is above guessing after fine-tuning; a hundredth is within the noise of the tests.
    static let tunedTolerance = 0.05
    /// Windows evaluated at scale 1.
    static let windowCount = 24
    /// Tokens predicted in a window, where model and text allow it.
    static let windowLength = 256

    public init() {}

    public func run(_ setting: ExperimentSetting, progress: any ProgressReporter) throws -> ExperimentReport {
        // What is missing is said before anything is measured.
        let encoders = try EncoderSparsityMeasurement.texts(in: setting)
        let images = try VisionSparsityMeasurement.task(in: setting)
        let model = try setting.languageModel()
        let configuration = model.checkpoint.configuration
        let windows = try Self.windows(
            of: model.tokenize(model.text),
            count: Self.windowCount.scaled(by: setting.scale, least: 2),
            length: min(Self.windowLength, configuration.maximumPositions - 1), source: model.textSource)
        let network = DecoderNetwork(configuration)
        try network.load(source: model.checkpoint.path) { try model.checkpoint.tensor($0) }
        let untrained = DecoderNetwork(configuration, seed: setting.seed)
        let measured = try EssentialSparsityMeasurement(
            network: network, untrained: untrained, windows: windows, seed: setting.seed, progress: progress)
        var trained: TrainedTransformers?
        if let encoders, let images {
            trained = try TrainedTransformers(
                texts: encoders.texts, size: encoders.size,
                languageModel: LetterModelMeasurement.size(in: setting), task: images, seeds: setting.seeds,
                progress: progress)
        }
        return report(measured, trained, model, seed: setting.seed, windows: windows)
    }

    /// Windows of one token more than they predict, spread evenly over the text.
    ///
    /// - Throws: `.badData` for a text that is too short to measure anything.
    static func windows(of tokens: [Int], count: Int, length: Int, source: String) throws -> [[Int]] {
        // A short text makes short windows rather than few: the intervals come from their differences.
        let size = min(length + 1, tokens.count / 4)
        guard size >= 16 else {
            throw CoppiceError(
                .badData, source: source, "the evaluation text has \(tokens.count) tokens, expected at least 64")
        }
        let fitting = min(count, tokens.count / size)
        return (0..<fitting).map { index in
            let start = fitting == 1 ? 0 : (tokens.count - size) * index / (fitting - 1)
            return Array(tokens[start..<(start + size)])
        }
    }

    private func report(
        _ measured: EssentialSparsityMeasurement, _ trained: TrainedTransformers?,
        _ model: ExperimentSetting.LanguageModel, seed: UInt64, windows: [[Int]]
    ) -> ExperimentReport {
        let parameters = model.checkpoint.configuration.tensorShapes.reduce(0) { $0 + $1.shape.reduce(1, *) }
        let length = (windows.first?.count ?? 1) - 1
        let facts = [
            ExperimentReport.Fact("model", model.name),
            ExperimentReport.Fact("parameters", "\(parameters)"),
            ExperimentReport.Fact(
                "prunable weights", "\(measured.prunableCount) in \(measured.weights.count) matrices"),
            ExperimentReport.Fact("evaluation text", model.textSource),
            ExperimentReport.Fact(
                "tokens predicted", "\(windows.count * length) in \(windows.count) windows of \(length)"),
            ExperimentReport.Fact("dense loss", MarkupText.number(measured.denseLoss, digits: 5) + " nats per token"),
            ExperimentReport.Fact(
                "loss of guessing", MarkupText.number(measured.chanceLoss, digits: 5) + " nats per token"),
            ExperimentReport.Fact("seed", "\(seed)"),
        ]
        return ExperimentReport(
            identifier: identifier, title: title, paper: paper,
            protocolText:
                "Zero-shot protocol: the weights with the smallest magnitudes are set to zero in one shot and "
                + "the loss is measured at once; nothing is trained afterwards. Pruned are the attention and "
                + "feed-forward matrices of every block; embeddings, output head, norms and biases are left alone, and "
                + "norm scales are not folded into the matrices. The knee is the breakpoint of the best continuous "
                + "two-segment fit; s_τ is the last sparsity up to which at most "
                + "\(MarkupText.percent(Self.tolerance, places: 0)) of what the model has learned (loss of guessing minus "
                + "its own loss) is lost. Both definitions are this project's; the paper describes the cliff in words."
                + (trained.map { " " + $0.protocolText } ?? ""),
            facts: facts + (trained?.facts ?? []),
            claims: measured.claims + (trained?.claims ?? TrainedTransformers.openClaims)
                + [EssentialSparsityMeasurement.largeModel(parameters: parameters)],
            illustrations: measured.illustrations + (trained?.illustrations ?? []),
            tables: measured.tables + (trained?.tables ?? []), notes: measured.notes + (trained?.notes ?? []),
            data: measured.json(
                languageModel: trained?.languageModel.json, encoder: trained?.encoder.json, vision: trained?.vision.json
            ))
    }
}
