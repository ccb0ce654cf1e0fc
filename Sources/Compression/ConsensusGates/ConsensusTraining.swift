import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Trains a network with gates that come to a consensus, as a training recipe says, and cuts out what they leave out.
///
/// What `ClassificationRun` takes to train recipes with a `gates` section:
/// ```swift
/// try ClassificationRun(recipe: recipe, options: options, gating: ConsensusTraining.of).execute()
/// ```
public struct ConsensusTraining: GatedTraining {
    public let network: GatedNetwork
    public let hook: any TrainingHook

    /// - Throws: `.badData` for a network without blocks that can be skipped.
    public init(
        _ network: any VisionNetwork, _ gates: ClassificationRecipe.Gates, steps: Int, seed: UInt64
    ) throws {
        self.network = try GatedNetwork(network, gates.settings, seed: seed)
        hook = try GateRegularization(
            self.network, target: gates.keep, polarization: gates.polarization, activation: gates.activation,
            steps: steps, warmup: gates.warmup, ramp: gates.ramp, isCostWeighted: gates.isCostWeighted)
    }

    /// The training of a recipe's gates.
    public static func of(
        _ network: any VisionNetwork, _ gates: ClassificationRecipe.Gates, _ steps: Int, _ seed: UInt64
    ) throws -> any GatedTraining {
        try ConsensusTraining(network, gates, steps: steps, seed: seed)
    }

    public func extract(
        on heldOut: [LabeledBatch], statistics: some Sequence<LabeledBatch>, limit: Double?
    ) throws -> ExtractedNetwork {
        let extraction = try ConsensusExtraction(
            of: network, on: heldOut, limit: limit ?? 0.25, isForced: limit == nil)
        extraction.reestimateStatistics(on: statistics)
        return ExtractedNetwork(
            network: extraction.network,
            summary: GateSummary(
                report: extraction.report, kept: extraction.decisions.map { $0.count { $0 } },
                difference: extraction.difference, before: extraction.before, after: extraction.after))
    }
}
