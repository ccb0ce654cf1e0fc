import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// How the network of a branch is trained, as a value: from which weights, densely up to where, then under which masks
/// through which steps.
public struct BranchTraining: Sendable {
    /// The weights that it starts from.
    public var initial: Snapshot
    /// Steps that all weights take first; none but for other initial weights.
    public var denseSteps = 0..<0
    /// What is kept from then on.
    public var masks: [WeightMask]
    /// The loop and its rates, from an optimizer that remembers nothing.
    public var training: SupervisedTraining
    /// Steps under the masks.
    public var steps: Range<Int>

    /// Steps in all.
    public var stepCount: Int { denseSteps.count + steps.count }
}

extension IterativePruning {
    /// How a branch of a ticket is trained.
    ///
    /// - Parameter network: that of the search, with whatever masks and weights; ``TicketBranch/oneShot(dense:perLayer:)`` prunes
    ///   in it.
    /// - Throws: `.badData` for weights of the dense network that are not finite.
    public func training(
        of branch: TicketBranch, _ ticket: LotteryTicket, in network: PrunableNetwork
    ) throws -> BranchTraining {
        let last = training.rates.totalSteps
        var plan = BranchTraining(
            initial: ticket.rewound, masks: ticket.masks, training: training, steps: rewindStep..<last)
        switch branch {
        case .rewound: break
        case .reinitialized(let initial): (plan.initial, plan.denseSteps) = (initial, 0..<rewindStep)
        case .shuffled(let seed):
            plan.masks = ticket.masks.enumerated().map { index, mask in
                var generator = RandomGenerator(seed: seed, stream: UInt32(truncatingIfNeeded: index))
                return mask.shuffled(using: &generator)
            }
        case .oneShot(let dense, let perLayer):
            network.setMasks(network.unpruned)
            dense.restore(network.network)
            let budgets = zip(network.weights, ticket.masks).map {
                ExplicitAllocation.Budget($0.name, kept: $1.keptCount)
            }
            try network.prune(
                by: .magnitude, allocation: perLayer ? ExplicitAllocation(budgets) : GlobalAllocation(),
                to: Double(network.count - ticket.keptCount) / Double(network.count))
            plan.masks = network.masks
        case .fineTuned:
            plan.initial = ticket.source
            plan.training.rates.kind = .constant
            plan.training.rates.warmupSteps = 0
            plan.training.rates.peak = training.rates.rate(at: last - 1)
            plan.steps = last..<(2 * last - rewindStep)
        case .learningRateRewound: plan.initial = ticket.source
        }
        return plan
    }

    /// Trains a ticket's network by a branch; the network has its masks and weights afterwards.
    ///
    /// - Parameters:
    ///   - network: that of the search, with whatever masks.
    ///   - progress: told the step that was taken under the masks and its loss in nats.
    /// - Throws: what training throws.
    public func train(
        _ branch: TicketBranch, of ticket: LotteryTicket, in network: PrunableNetwork, on source: any BatchSource,
        progress: (_ step: Int, _ loss: Double) throws -> Void = { _, _ in }
    ) throws {
        let plan = try training(of: branch, ticket, in: network)
        network.setMasks(network.unpruned)
        plan.initial.restore(network.network)
        if !plan.denseSteps.isEmpty {
            var state = OptimizerState(plan.training.optimizer, for: network.network)
            try plan.training.run(
                network.network, on: source, steps: plan.denseSteps, state: &state,
                hooks: [DropoutSteps(network.network)])
        }
        network.setMasks(plan.masks)
        var state = OptimizerState(plan.training.optimizer, for: network.network)
        try plan.training.run(
            network.network, on: source, steps: plan.steps, state: &state,
            hooks: [DropoutSteps(network.network), MaskedTraining(network)], progress: progress)
    }
}
