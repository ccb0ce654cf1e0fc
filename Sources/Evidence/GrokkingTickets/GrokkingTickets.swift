import CoppiceCompression
import CoppiceModels
import CoppiceTensors
import CoppiceTraining

/// Whether the structure of a generalizing network, more than its smaller norm, is what ends the delay between
/// memorizing and generalizing.
public struct GrokkingTickets: Experiment {
    public let identifier = "grokking-tickets"
    public let title = "Grokking Tickets: Lottery Tickets Accelerate Grokking"
    public let paper =
        "Minegishi, Iwasawa and Matsuo, Bridging Lottery Ticket and Grokking: Understanding Grokking from Inner "
        + "Structure of Networks (2023), arXiv:2310.19470"
    public let summary =
        "Networks learn modular addition until they generalize; tickets of them, dense networks of the same norm and "
        + "other masks start again from the same initial weights, and the delays are compared."

    public init() {}

    public func run(_ setting: ExperimentSetting, progress: any ProgressReporter) throws -> ExperimentReport {
        let size = setting.isFull ? Size.paper : .small.scaled(by: setting.scale)
        let measured = try GrokkingTicketsMeasurement(
            seeds: setting.seeds, size: size, dataFolder: setting.dataFolder, progress: progress)
        return ExperimentReport(
            identifier: identifier, title: title, paper: paper,
            protocolText:
                "a + b modulo \(size.settings.modulus) over pairs a ≤ b, \(MarkupText.percent(size.settings.trainFraction)) "
                + "of them for training, all at each step; AdamW, learning rate 0.001, β (0.9, 0.98), decoupled decay 1, "
                + "cross-entropy in f64. A ticket keeps the largest weights of all tensors together (one threshold, "
                + "embeddings included) and starts again from the initial weights. t_train and t_test are the first steps, "
                + "measured every \(size.settings.interval), with an accuracy of 0.95; τ_grok = t_test − t_train. The "
                + "dense run ends at a test accuracy of \(MarkupText.number(size.settings.stopAccuracy)), arms end at "
                + "0.95. Arms that did not generalize count with the steps they were given: a bound.",
            facts: [
                .init("network", measured.taskName),
                .init("weights", "\(measured.weightCount)"),
                .init("seeds", setting.seeds.map(String.init).joined(separator: ", ")),
                .init("kept by the ticket", MarkupText.percent(Size.kept)),
                .init("steps at most", "\(size.settings.steps)"),
                .init("steps without decay", "\(size.stepsWithoutDecay)"),
            ],
            claims: measured.claims, illustrations: measured.illustrations, tables: measured.tables,
            notes: measured.notes, data: measured.json)
    }

    /// How much is trained.
    package struct Size: Sendable {
        /// κ of the ticket that claims are about.
        static let kept = 0.4

        var settings: GrokkingSettings
        /// Steps of the dense run that tickets are cut from.
        var sourceSteps: [Int]
        var stepsWithoutDecay: Int
        var edgePopupSteps: Int
        /// Images of MNIST, where there are any; measured every 20 steps.
        var imageSettings: GrokkingSettings = {
            var settings = GrokkingSettings.images
            settings.interval = 20
            return settings
        }()

        /// Generalizes about ten times as soon as the paper's sizes.
        package static var small: Size {
            var settings = GrokkingSettings()
            settings.steps = 12_000
            return Size(
                settings: settings, sourceSteps: [500, 1_500, 2_500], stepsWithoutDecay: 8_000, edgePopupSteps: 4_000)
        }

        /// The paper's sizes, which need some thirty thousand steps.
        static var paper: Size {
            Size(
                settings: .paper, sourceSteps: [5_000, 15_000, 25_000], stepsWithoutDecay: 60_000,
                edgePopupSteps: 20_000)
        }

        /// All steps multiplied.
        func scaled(by factor: Double) -> Size {
            var size = self
            size.settings.steps = settings.steps.scaled(by: factor)
            size.imageSettings.steps = imageSettings.steps.scaled(by: factor)
            size.sourceSteps = sourceSteps.map { $0.scaled(by: factor) }
            size.stepsWithoutDecay = stepsWithoutDecay.scaled(by: factor)
            size.edgePopupSteps = edgePopupSteps.scaled(by: factor)
            return size
        }
    }
}
