import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Drives the gates of a network to a consensus while it is trained: λ_p R_polar + λ_a R_act is added to the loss, where
/// λ_p rises linearly from 0 over the first steps, so that gates can explore before they agree.
///
/// Three things keep gates from stopping short of the target, or from closing before the network has learned which of
/// them matter:
///
/// - The target falls linearly from 1 over the first steps, so that the least useful gates close first.
/// - While the open part is farther from the target than half a gate and 0.02, λ_p is at most λ_a times that distance. At
///   a unanimous gate the pull of R_act is 2 λ_a (mean ḡ − t) and that of R_polar λ_p against it, both over the number of
///   gates, so that with a larger λ_p gates would rest at t + λ_p / (2 λ_a).
/// - From there to two thirds of the training, what is beyond half a gate and 0.02 weighs more and more, up to 20 λ_a:
///   else gates rest where the task's gradient holds them. λ_p grows to five times itself meanwhile, so that gates agree
///   before the rates are small.
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
    /// Steps over which the target falls from 1.
    public let rampSteps: Int
    private let stepCount: Int
    /// Whether the open part counts each gate by the multiplications that it saves.
    public let isCostWeighted: Bool
    private let weights: Tensor?
    /// How far the open part may be from the target for the whole λ_p to act.
    private let tolerance: Double

    /// - Parameters:
    ///   - steps: of the whole training.
    ///   - warmup: the part of the steps over which λ_p rises.
    ///   - ramp: the part of the steps over which the target falls from 1.
    /// - Throws: `.usage` for a target outside (0, 1] and for factors that are negative or not finite.
    public init(
        _ network: GatedNetwork, target: Double, polarization: Double = 1, activation: Double = 2, steps: Int,
        warmup: Double = 1.0 / 3, ramp: Double = 0.15, isCostWeighted: Bool = false
    ) throws {
        guard target > 0, target <= 1 else {
            throw CoppiceError(.usage, field: "keep", "\(target), expected a number above 0, at most 1")
        }
        let numbers = [
            ("lambda_polar", polarization), ("lambda_act", activation), ("warmup", warmup), ("ramp", ramp),
        ]
        for (name, value) in numbers {
            guard value >= 0, value.isFinite else {
                throw CoppiceError(.usage, field: name, "\(value), expected a number from 0")
            }
        }
        self.network = network
        self.target = target
        self.polarization = polarization
        self.activation = activation
        self.isCostWeighted = isCostWeighted
        stepCount = steps
        warmupSteps = Int((warmup * Double(steps)).rounded())
        rampSteps = Int((ramp * Double(steps)).rounded())
        let costs = network.blocks.flatMap(\.multiplications).map(Double.init)
        let total = costs.reduce(0, +)
        weights = isCostWeighted ? Tensor(costs.map { Float($0 / total) }) : nil
        // No choice of gates comes closer to every target than half of the largest.
        let largest = isCostWeighted ? (costs.max() ?? 0) / total : 1 / Double(max(1, costs.count))
        tolerance = max(0.02, largest / 2 * 1.001)
    }

    /// The target at a step, counted from 0.
    public func target(at step: Int) -> Double {
        step >= rampSteps ? target : 1 - (1 - target) * Double(step) / Double(rampSteps)
    }

    /// The largest weight of the distance beyond the tolerance, for one of λ_a, and the largest λ_p for one of it.
    private static let (reach, latePolarization) = (20.0, 5.0)

    /// 0 until the target has come down, 1 from two thirds of the training on, and a line between.
    private func lateness(of step: Int) -> Double {
        let end = max(rampSteps + 1, stepCount * 2 / 3)
        return min(1, max(0, Double(step - rampSteps) / Double(end - rampSteps)))
    }

    /// What the distance beyond the tolerance weighs at a step, for one of λ_a.
    private func reach(at step: Int) -> Double { Self.reach * lateness(of: step) }

    /// λ_p at a step, when the open part is so far from the target.
    public func polarization(at step: Int, distance: Double) -> Double {
        let full = polarization(at: step)
        guard distance > tolerance, activation > 0 else { return full }
        return min(full, activation * (distance + reach(at: step) * (distance - tolerance)))
    }

    /// λ_p at a step, counted from 0, where the open part is at the target.
    public func polarization(at step: Int) -> Double {
        let rising = step >= warmupSteps ? 1 : Double(step) / Double(warmupSteps)
        return polarization * rising * (1 + (Self.latePolarization - 1) * lateness(of: step))
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
        let goal = target(at: step)
        let open = GatePenalties.open(all, weights: weights)
        let distance = Double(open.detached().scalar) - goal
        var sum =
            GatePenalties.polarization(all) * polarization(at: step, distance: abs(distance))
            + GatePenalties.activation(all, weights: weights, target: goal) * activation
        if abs(distance) > tolerance, reach(at: step) > 0 {
            let edge = goal + (distance > 0 ? tolerance : -tolerance)
            sum = sum + GatePenalties.activation(all, weights: weights, target: edge) * (activation * reach(at: step))
        }
        return sum
    }

    public func didStep(_ step: Int, state: inout OptimizerState) { for own in network.blocks { own.gate.forget() } }
}
