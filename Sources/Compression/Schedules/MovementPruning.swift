import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Movement pruning: keeps the weights that training moves away from zero, whatever their size, for networks that are
/// fine-tuned from a pretrained state.
///
/// Sanh, Wolf and Rush, "Movement pruning: adaptive sparsity by fine-tuning" (2020), section 4. The network computes
/// with W' = W ⊙ M; M keeps the largest scores S of a schedule's sparsity. With G = ∂L/∂W', dense,
///
/// S ← S − α_S W ⊙ G (equation 4; a straight-through estimate of ∂L/∂S), and W trains on M ⊙ G.
///
/// Weights that are removed keep their value, so they can return; the network holds W ⊙ M, at the end too.
///
/// ```swift
/// let ramp = try RampSchedule(to: 0.9, begin: 0, end: 600, interval: 20)
/// try training.run(network, on: batches, hooks: [MovementPruning(prunable, schedule: ramp)])
/// ```
public final class MovementPruning: TrainingHook {
    public let network: PrunableNetwork
    /// W of each prunable weight, f32 `[rows, columns]`: kept or not.
    public private(set) var weights: [Tensor]
    /// S of each prunable weight; zero at first.
    public private(set) var scores: [Tensor]
    private let schedule: any Schedule
    private let granularity: any Granularity
    private let allocation: any Allocation
    private let scoreRate: Double

    /// - Parameters:
    ///   - schedule: of all weights together; how its sparsities are shared out is as with ``GradualPruning``.
    ///   - network: masks that it has are forgotten at the first step that the schedule names.
    ///   - scoreRate: α_S. The order of scores, and so the masks, do not depend on it.
    public init(
        _ network: PrunableNetwork, schedule: any Schedule, granularity: any Granularity = UnstructuredGranularity(),
        allocation: any Allocation = GlobalAllocation(), scoreRate: Double = 1
    ) {
        self.network = network
        self.schedule = schedule
        self.granularity = granularity
        self.allocation = allocation
        self.scoreRate = scoreRate
        weights = network.weights.indices.map { network.values($0).copied() }
        scores = weights.map { .zeros($0.shape) }
    }

    /// S − α_S W ⊙ G.
    public static func moved(_ scores: Tensor, weights: Tensor, slope: Tensor, rate: Double) -> Tensor {
        scores - weights * slope * rate
    }

    public func willStep(_ step: Int) throws {
        guard let sparsity = schedule.sparsity(at: step) else { return }
        try prune(to: sparsity)
    }

    /// Keeps the largest scores there are now.
    func prune(to sparsity: Double) throws {
        let method = PruningMethod(
            criterion: GivenScores(weights: network.weights, scores: scores), granularity: granularity,
            allocation: allocation, sparsity: sparsity)
        network.setMasks(try method.masks(of: network.weights) { self.weights[$0] })
        show()
    }

    public var readsAllGradients: Bool { true }

    public func willUpdate(_ step: Int, gradients: inout [Tensor]) {
        withoutRecording {
            for (index, place) in network.places.enumerated() {
                let slope = gradients[place].detached().contiguous().reshaped(weights[index].shape)
                scores[index] = Self.moved(scores[index], weights: weights[index], slope: slope, rate: scoreRate)
            }
            network.applyMasks(toGradients: &gradients)
        }
        // The update, decay included, is of W.
        reveal()
    }

    public func didStep(_ step: Int, state: inout OptimizerState) {
        weights = network.weights.indices.map { network.values($0).copied() }
        show()
    }

    /// Puts W into the network, unmasked.
    private func reveal() {
        for (parameter, values) in zip(network.parameters, weights) {
            parameter.wrappedValue = values.reshaped(parameter.wrappedValue.shape).copied()
        }
    }

    private func show() {
        reveal()
        network.applyMasks()
    }
}
