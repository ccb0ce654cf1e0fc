import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Removes whole residual blocks of a network, so that a shallower network is left which is trained as usual.
///
/// Jordao et al., "When layers play the lottery, all tickets win at initialization" (2023). At initialization
/// (algorithm 2): score, remove, train. After training (algorithm 1): train the network, score, remove, put what is
/// left back to the weights of an early epoch, and train from there.
///
/// ```swift
/// let lottery = LayerLottery(criterion: .grasp, count: 2)
/// let ticket = try lottery.removal(from: network, batches: [batch])(network)
/// try training.run(ticket, on: images)
/// ```
public struct LayerLottery: Sendable, Hashable {
    public var criterion: BlockCriterion
    public var aggregate = BlockCriterion.Aggregate.sum
    public var removable = RemovableBlocks.strict
    /// Blocks that go.
    public var count: Int
    /// Of ``BlockCriterion/random``.
    public var seed: UInt64 = 0

    public init(criterion: BlockCriterion, count: Int) {
        self.criterion = criterion
        self.count = count
    }

    /// Which blocks of a network go, judged by its present weights.
    ///
    /// - Throws: as ``BlockScores`` does.
    public func removal(from network: any VisionNetwork, batches: [LabeledBatch] = []) throws -> BlockRemoval {
        let scores = try BlockScores(
            of: network, by: criterion, removable: removable, aggregate: aggregate, batches: batches, seed: seed)
        return try BlockRemoval(of: scores.lowest(count), from: VisionArchitecture(network.configuration))
    }

    /// Trains a network to its end, removes blocks by what was learned, and trains what is left from the weights, and
    /// at the learning rates, of an earlier step.
    ///
    /// - Parameters:
    ///   - network: new; trained afterwards.
    ///   - step: the step whose weights what is left goes back to; 0 for the initial ones.
    ///   - batches: what criteria that need data see.
    /// - Returns: the trained shallower network.
    /// - Throws: `.usage` for a step beyond training; what training and scoring throw.
    public func rewoundTicket(
        of network: any VisionNetwork, training: SupervisedTraining, on source: any BatchSource, rewindingTo step: Int,
        batches: [LabeledBatch] = []
    ) throws -> any VisionNetwork {
        let total = training.rates.totalSteps
        guard (0..<total).contains(step) else {
            throw CoppiceError(
                .usage, field: "rewind", "\(step), expected a step of training, from 0 to \(total - 1)")
        }
        var state = OptimizerState(training.optimizer, for: network)
        let dropout = [DropoutSteps(network)]
        try training.run(network, on: source, steps: 0..<step, state: &state, hooks: dropout)
        let early = Snapshot(of: network)
        try training.run(network, on: source, steps: step..<total, state: &state, hooks: dropout)
        let removal = try removal(from: network, batches: batches)
        let trained = Snapshot(of: network)
        early.restore(network)
        let ticket = removal(network)
        trained.restore(network)
        var fresh = OptimizerState(training.optimizer, for: ticket)
        try training.run(ticket, on: source, steps: step..<total, state: &fresh, hooks: [DropoutSteps(ticket)])
        return ticket
    }
}
