import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Which weights of a trained network can go: every criterion that there is, on the same networks, without training
/// afterwards.
public struct OneShotCriteria: Experiment {
    public let identifier = "one-shot-criteria"
    public let title = "Pruning a trained network at once: criteria compared"
    public let paper =
        "Criteria of Han et al. (2015), Lee et al. (2019), Wang et al. (2020), Tanaka et al. (2020), Molchanov et al. "
        + "(2019), LeCun et al. (1990), Singh and Alistarh (2020), Frantar et al. (2021) and Sun et al. (2023), side "
        + "by side"
    public let summary =
        "A trained LeNet-300-100 loses 50 to 98 % of its weights at once by each criterion, with and without what kept "
        + "weights can make up for, and is measured as it is."

    public init() {}

    public func run(_ setting: ExperimentSetting, progress: any ProgressReporter) throws -> ExperimentReport {
        let size = setting.isFull ? Size.large : .small.scaled(by: setting.scale)
        let study = try ImageStudy(.fashion, imageCount: size.imageCount, epochs: size.epochs, in: setting)
        progress.report(study.summary)
        let measured = try OneShotCriteriaMeasurement(
            study: study, size: size, seeds: setting.seeds, progress: progress)
        return ExperimentReport(
            identifier: identifier, title: title, paper: paper,
            protocolText:
                "Each network is trained once; every criterion prunes a copy of it. Scores are taken once, of the "
                + "dense trained network, and one threshold is set for all weights together (for Wanda, as its paper "
                + "has it, each output loses the same share; \"one threshold\": as the others); nothing is trained "
                + "afterwards. Criteria that need data see \(size.calibrationCount) training images in batches of 128; "
                + "Fisher matrices are of \(size.gradients) gradients of \(size.gradientBatch) images, dampening 1e-5. "
                + "\"in sub-steps\": the sparsity is reached in \(size.recomputations) of equal ratio that each take "
                + "gradients anew; \"with update\": there kept weights make up for removed ones, too; \"many rounds\": "
                + "scores are taken anew \(size.rounds) times. Accuracies are of test images.",
            facts: study.facts + [
                .init("seeds", setting.seeds.map(String.init).joined(separator: ", "))
            ],
            claims: measured.claims, illustrations: measured.illustrations, tables: [measured.table],
            notes: [
                "SNIP, GraSP and SynFlow were proposed for networks before training; here they see a trained one.",
                "No paper claims this comparison as a whole; each claim is one that a criterion's paper makes of it.",
                "M-FAC without update is nearly magnitude by construction: F⁻¹ of m gradients differs from 1/λ times the "
                    + "identity in m directions, so the 1 − λ [F⁻¹]ₖₖ of all weights add up to at most m = "
                    + "\(size.gradients).",
            ], data: measured.json)
    }

    /// How much is trained and looked at.
    struct Size: Sendable {
        var imageCount: Int?
        var epochs: Int
        var calibrationCount: Int
        var gradients: Int
        var gradientBatch: Int
        var recomputations: Int
        /// In which synaptic flow removes weights.
        var rounds = 100

        static let small = Size(
            imageCount: 20_000, epochs: 6, calibrationCount: 1_024, gradients: 64, gradientBatch: 16, recomputations: 8)
        static let large = Size(
            imageCount: nil, epochs: 40, calibrationCount: 8_192, gradients: 512, gradientBatch: 16,
            recomputations: 16)

        func scaled(by factor: Double) -> Size {
            var size = self
            size.imageCount = imageCount.map { $0.scaled(by: factor) }
            size.calibrationCount = calibrationCount.scaled(by: factor, least: 128)
            size.gradients = gradients.scaled(by: factor, least: 4)
            size.rounds = max(2, min(rounds, rounds.scaled(by: factor)))
            size.recomputations = max(1, min(recomputations, recomputations.scaled(by: factor)))
            return size
        }
    }
}
