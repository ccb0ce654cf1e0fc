import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import OrderedCollections

/// Whether the PQ index of a network's weights says how much can be pruned, and whether pruning by it beats pruning a
/// constant part.
public struct SparsityPerspective: Experiment {
    public let identifier = "pqi-sap"
    public let title = "Pruning Deep Neural Networks from a Sparsity Perspective"
    public let paper =
        "Diao, Wang, Zhan, Yang, Ding and Tarokh, Pruning Deep Neural Networks from a Sparsity Perspective (2023), "
        + "arXiv:2302.05601"
    public let summary =
        "A perceptron is pruned level by level and rewound to its initial weights: by the PQ index of each layer, "
        + "neuron or the whole network, by a constant part, at once and by chance, down to a density of 5 % or into "
        + "collapse."

    public init() {}

    public func run(_ setting: ExperimentSetting, progress: any ProgressReporter) throws -> ExperimentReport {
        let size = setting.isFull ? Size.paper : .small.scaled(by: setting.scale)
        let study = try size.study(in: setting)
        let seeds = setting.seeds
        progress.report(study.summary)
        let measured = try SparsityPerspectiveMeasurement(study: study, size: size, seeds: seeds, progress: progress)
        return ExperimentReport(
            identifier: identifier, title: title, paper: paper,
            protocolText:
                "SGD with Nesterov momentum 0.9, learning rate 0.1 falling as a cosine to 0, weight decay 5e-4, "
                + "gradients clipped to norm 1. After each training the smallest weights go and all others are rewound "
                + "to their initial values. SAP removes ⌊d · min(γ (1 − r/d), β)⌋ of a unit's d weights, r from its PQ "
                + "index with η = 0, β = 0.9; γ = 1 unless said. The lottery ticket removes a fifth of all weights "
                + "(one threshold); one-shot masks come from the dense network's trained weights, random ones are "
                + "trained in the same way. Accuracies are of test images, after the last epoch; between densities "
                + "they are interpolated over log density. All methods take \(size.rounds) rounds; the lottery ticket "
                + "and SAP with (1, 2) go on to a density of \(MarkupText.percent(Size.leastDensity, places: 0)), by "
                + "neurons \(MarkupText.percent(Size.leastNeuronDensity, places: 0)), for at most "
                + "\(size.roundLimit) rounds, γ = 1.5 until accuracy is "
                + "\(MarkupText.percent(Size.collapse, places: 0)) below its best, for at most "
                + "\(size.forcedRoundLimit). Gradual magnitude pruning (GMP) is one training, as long as those of all "
                + "the lottery ticket's levels, whose cubic ramp of sparsity ends at half.",
            facts: Self.facts(of: study) + [
                .init("seeds", seeds.map(String.init).joined(separator: ", ")),
                .init(
                    "rounds of pruning",
                    "\(size.rounds), at most \(size.roundLimit), with γ = 1.5 \(size.forcedRoundLimit)"),
            ],
            claims: measured.claims, illustrations: measured.illustrations, tables: measured.tables,
            notes: measured.notes, data: measured.json)
    }

    /// The study's, with the perceptron's own widths: its architecture is named after others.
    private static func facts(of study: ImageStudy) -> [ExperimentReport.Fact] {
        let architecture = study.architecture
        var widths = [architecture.inputShape.reduce(1, *)]
        widths.append(contentsOf: architecture.widths.values)
        widths.append(architecture.classes)
        let network = ExperimentReport.Fact(
            "network", "perceptron " + widths.map { "\($0)" }.joined(separator: "-"))
        return study.facts.map { $0.name == network.name ? network : $0 }
    }

    /// How much is trained.
    struct Size: Sendable {
        var imageCount: Int?
        var epochs: Int
        /// Levels after the dense one.
        var rounds: Int
        /// Levels of a method that is to reach a density, at most.
        var roundLimit: Int
        /// Levels of the method that is to collapse, at most.
        var forcedRoundLimit: Int

        /// The least density that methods are compared at.
        static let leastDensity = 0.05
        /// The same by neurons: what a round removes of a neuron is rounded down, so that one of a dozen weights loses
        /// none.
        static let leastNeuronDensity = 0.2
        /// The accuracy that a network has lost when it has collapsed, a fraction.
        static let collapse = 0.1

        static let small = Size(imageCount: 10_000, epochs: 8, rounds: 12, roundLimit: 40, forcedRoundLimit: 70)
        static let paper = Size(imageCount: nil, epochs: 200, rounds: 30, roundLimit: 60, forcedRoundLimit: 100)

        func scaled(by factor: Double) -> Size {
            var size = self
            size.imageCount = imageCount.map { $0.scaled(by: factor) }
            size.rounds = max(2, min(rounds, rounds.scaled(by: factor)))
            size.roundLimit = max(size.rounds, min(roundLimit, roundLimit.scaled(by: factor)))
            size.forcedRoundLimit = max(size.roundLimit, min(forcedRoundLimit, forcedRoundLimit.scaled(by: factor)))
            return size
        }

        /// The perceptron 784-128-256-10 on Fashion-MNIST.
        func study(in setting: ExperimentSetting) throws -> ImageStudy {
            let architecture = try VisionArchitecture(named: "lenet-300-100", widths: ["fc1": 128, "fc2": 256])
            var study = try ImageStudy(
                .fashion, architecture: architecture, imageCount: imageCount, epochs: epochs, in: setting)
            study.batchSize = min(250, study.training.count)
            study.optimizer = SGD(momentum: 0.9, weightDecay: 5e-4, looksAhead: true)
            study.peakRate = 0.1
            return study
        }
    }
}
