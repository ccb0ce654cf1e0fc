import CoppiceCompression
import CoppiceModels
import CoppiceTensors
import CoppiceTraining

/// Whether a model that is pruned while it is trained is as good as a dense one of its average size.
public struct JourneyMatters: Experiment {
    public let identifier = "journey-matters"
    public let title =
        "The Journey Matters: Average Parameter Count over Pre-training Unifies Sparse and Dense Scaling Laws"
    public let paper =
        "The Journey Matters: Average Parameter Count over Pre-training Unifies Sparse and Dense Scaling Laws (2025)"
    public let summary =
        "Small language models of characters are pruned while they are trained and compared with dense ones of their "
        + "average and final size on as many tokens, and a scaling law fitted to the dense ones says the loss of all."

    public init() {}

    public func run(_ setting: ExperimentSetting, progress: any ProgressReporter) throws -> ExperimentReport {
        let size = (setting.isFull ? Size.large : .small).scaled(by: setting.scale)
        let text = try CharacterText(file: Self.textFile, folder: setting.dataFolder)
        let seeds = setting.seeds(atMost: size.seeds)
        let measured = try JourneyMattersMeasurement(text: text, size: size, seeds: seeds, progress: progress)
        return ExperimentReport(
            identifier: identifier, title: title, paper: paper,
            protocolText:
                "Llama models of characters, \(size.layers) layers of width \(size.width), windows of "
                + "\(size.context), batches of \(size.batch), AdamW, peak rate \(MarkupText.number(size.peakRate)) (times "
                + "\(size.width) over the width for narrower dense models), decay 0.05, cosine to a tenth, clipped to "
                + "norm 1. The compute is that of \(size.denseSteps) dense steps. Sparse models lose the smallest weights "
                + "of all projections together, on a geometric ramp between two fractions of compute. Dense models of "
                + "the average and the final size see as many tokens, those of both sparsities and of the dense compute; "
                + "the dense model of the initial size has the same compute. Baselines of the same compute: a cubic ramp "
                + "between the same fractions of it, pruning at once at half of it and training on, and RigL, sparse from "
                + "the start by Erdős–Rényi densities, of whose connections 30 %, falling as a cosine, move thirty times "
                + "in the first three quarters. Wanda and SparseGPT prune the dense model of that compute, each "
                + "projection to the sparsity, by \(TrainedPruning.windowCount) windows of the text for training, and "
                + "nothing is trained after that. Losses are those of the last step on held-out text, in nats a "
                + "character.",
            facts: [
                .init(
                    "text",
                    "\(Self.textFile), \(text.train.tokens.count) characters for training, "
                        + "\(text.heldOut.tokens.count) held out, \(text.vocabularySize) different ones"),
                .init("prunable weights", "\(size.shape.prunableCount)"),
                .init(
                    "final sparsities",
                    size.sparsities.map { MarkupText.percent($0, places: 0) }.joined(separator: ", ")),
                .init("dense steps of compute", "\(size.denseSteps), \(size.tokensPerStep) tokens each"),
                .init("seeds", seeds.map(String.init).joined(separator: ", ")),
            ],
            claims: measured.claims, illustrations: measured.illustrations, tables: measured.tables,
            notes: measured.notes, data: measured.json)
    }

    private static let textFile = "text/tinyshakespeare.txt"

    /// How much is trained.
    struct Size: Sendable, Hashable {
        var width: Int
        var intermediate: Int
        var layers: Int
        var context = 64
        var batch: Int
        /// The compute of sparse runs, in steps of the dense model of ``width``.
        var denseSteps: Int
        var sparsities = [0.6, 0.8]
        /// At which baselines are trained.
        var baselineSparsities = [0.6, 0.8]
        var peakRate = 2e-3
        /// How many of the seeds; nil for all.
        var seeds: Int?

        static let small = Size(width: 64, intermediate: 172, layers: 2, batch: 16, denseSteps: 1_200, seeds: 2)
        /// Hours' worth. The paper's own sizes, 58 to 468 million parameters, are out of reach here.
        static let large = Size(width: 96, intermediate: 256, layers: 3, batch: 32, denseSteps: 2_000)

        /// The compute multiplied.
        func scaled(by factor: Double) -> Size {
            var size = self
            size.denseSteps = denseSteps.scaled(by: factor, least: 20)
            return size
        }

        var tokensPerStep: Int { context * batch }

        var shape: ModelShape { ModelShape(width: width, intermediate: intermediate, layers: layers) }
    }
}
