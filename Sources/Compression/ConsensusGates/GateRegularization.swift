import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Drives the gates of a network to a consensus while it is trained: λ_p R_polar + λ_a R_act is added to the loss, where
/// λ_p rises linearly from 0 over the first steps, so that gates can explore before they agree.
///
/// ```swift
/// let gated = try GatedNetwork(network, GateSettings(mode: .layer), seed: 1)
/// let consensus = try GateRegularization(gated, target: 0.5, steps: training.rates.totalSteps)
/// try training.run(gated, on: batches, hooks: [consensus])
/// let extraction = try ConsensusExtraction(of: gated, on: heldOut)
/// ```
///
/// Source: Zhi et al., "Learning a consensus sub-network with polarization regularization and one pass training" (2023).
public final class GateRegularization: TrainingHook {
    public let network: GatedNetwork
    /// t: the part of the gates that is to stay open, or of their multiplications where ``isCostWeighted``.
    public let target: Double
    /// λ_p after the warm-up.
    public let polarization: Double
    /// λ_a.
    public let activation: Double
    /// Steps over which λ_p rises.
    public let warmupSteps: Int
    /// Whether the open part counts each gate by the multiplications that it saves.
    public let isCostWeighted: Bool
    private let weights: Tensor?

    /// - Parameters:
    ///   - steps: of the whole training.
    ///   - warmup: the part of the steps over which λ_p rises.
    /// - Throws: `.usage` for a target outside (0, 1] and for factors that are negative or not finite.
    public init(
        _ network: GatedNetwork, target: Double, polarization: Double = 1, activation: Double = 2, steps: Int,
        warmup: Double = 1.0 / 3, isCostWeighted: Bool = false
    ) throws {
        guard target > 0, target <= 1 else {
            throw CoppiceError(.usage, field: "keep", "\(target), expected a number above 0, at most 1")
        }
        for (name, value) in [("lambda_polar", polarization), ("lambda_act", activation), ("warmup", warmup)] {
            guard value >= 0, value.isFinite else {
                throw CoppiceError(.usage, field: name, "\(value), expected a number from 0")
            }
        }
        self.network = network
        self.target = target
        self.polarization = polarization
        self.activation = activation
        self.isCostWeighted = isCostWeighted
        warmupSteps = Int((warmup * Double(steps)).rounded())
        let costs = network.blocks.flatMap(\.multiplications).map(Double.init)
        let total = costs.reduce(0, +)
        weights = isCostWeighted ? Tensor(costs.map { Float($0 / total) }) : nil
    }

    /// λ_p at a step, counted from 0.
    public func polarization(at step: Int) -> Double {
        step >= warmupSteps ? polarization : polarization * Double(step) / Double(warmupSteps)
    }

    public func willStep(_ step: Int) { for own in network.blocks { own.gate.begin(step: step) } }

    /// - Throws: `.usage` for a batch of one example, over which every gate is unanimous.
    public func penalty(_ step: Int, batch: LabeledBatch, outputs: Tensor?) throws -> Tensor? {
        guard batch.count > 1 else {
            throw CoppiceError(
                .usage, field: "batch_size", "1, expected at least 2: over one example every gate is unanimous")
        }
        let means = network.blocks.compactMap(\.gate.means)
        guard means.count == network.blocks.count else { return nil }
        let all = Tensor.concatenated(means)
        return GatePenalties.polarization(all) * polarization(at: step)
            + GatePenalties.activation(all, weights: weights, target: target) * activation
    }

    public func didStep(_ step: Int, state: inout OptimizerState) { for own in network.blocks { own.gate.forget() } }
}
