import CoppiceCompression
import CoppiceModels
import CoppiceTensors
import CoppiceTraining

/// Whether gates that are trained to a consensus give a smaller network in one training.
public struct ConsensusPolarization: Experiment {
    public let identifier = "consensus-polarization"
    public let title = "Learning a Consensus Sub-Network with Polarization Regularization and One Pass Training"
    public let paper =
        "Zhi et al., Learning a Consensus Sub-Network with Polarization Regularization and One Pass Training (2023), "
        + "arXiv:2302.10798"
    public let summary =
        "Residual networks are trained with gates on their blocks, with and without the polarization that makes all "
        + "images agree, and cut; blocks chosen at random, channels by norm and by scale, static gates, and single weights by gradual magnitude "
        + "pruning are compared."

    public init() {}

    /// t: the part of the gates that is to stay open.
    package static let target = 0.5

    public func run(_ setting: ExperimentSetting, progress: any ProgressReporter) throws -> ExperimentReport {
        let study = try Self.study(setting)
        let (trained, heldOut) = try ConsensusTrial.heldOut(study, seed: setting.seed)
        progress.report(trained.summary)
        let measured = try ConsensusMeasurement(study, seeds: setting.seeds, progress: progress)
        return ExperimentReport(
            identifier: identifier, title: title, paper: paper,
            protocolText:
                "Gates: mean over the image, linear, rectifier, division by its length, linear (bias 1 at first), step, "
                + "straight through the sigmoid; λ_a = 2, λ_p rises to 1 over the first third, the target falls from 1 "
                + "over the first 15 %; λ_p rises on to 5, and λ_a to 42 beyond the nearest that gates can come to the "
                + "target, at two thirds. All networks are trained by SGD, momentum 0.9, decay 0.0005, a cosine from \(study.peakRate). Gates decide on a tenth of the training images that no training "
                + "sees; norms are then measured anew on training batches. Random: as many random blocks go before "
                + "training. L1 norm (each block's filters alike) and slimming (trained with 1e-4 of the L1 norm of all "
                + "scales): filters inside blocks go down to the multiplications of the consensus network, then "
                + "fine-tuning for 0.6 of the epochs from a tenth of the rate. Static gates: hard concrete, the same "
                + "target, the as many most probable blocks stay. Gradual magnitude: single weights, the same part of each "
                + "layer, go to the same multiplications on a cubic ramp from a quarter to three quarters of the training. "
                + "Costs of training are multiplications; zeros cost nothing.",
            facts: trained.facts + [
                .init("images that gates decide on", "\(heldOut.count)"),
                .init("target", "\(Self.target) of the gates"),
                .init("gated blocks", measured.gatedBlocks.joined(separator: ", ")),
                .init("seeds", setting.seeds.map(String.init).joined(separator: ", ")),
            ],
            claims: measured.claims(isFull: setting.isFull), illustrations: measured.illustrations,
            tables: measured.tables, notes: measured.notes, data: measured.json)
    }

    private static func study(_ setting: ExperimentSetting) throws -> ImageStudy {
        if setting.isFull {
            var study = try ImageStudy(
                .photographs, architecture: VisionArchitecture(named: "resnet56"), epochs: 200, in: setting)
            study.augmentation = .standard
            study.peakRate = 0.1
            return study
        }
        var study = try ImageStudy(
            .fashion,
            architecture: VisionArchitecture(named: "resnet20", inputChannels: 1, imageSize: 28, widthMultiplier: 0.5),
            imageCount: 4_400.scaled(by: setting.scale), epochs: 8, in: setting)
        study.batchSize = min(64, max(2, 4_000.scaled(by: setting.scale)))
        return study
    }
}
