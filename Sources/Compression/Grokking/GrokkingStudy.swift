import CKernels
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation
import Synchronization

/// Is it the structure or the norm? A dense run, and arms that start from its initialization with other masks or norms,
/// on the same examples by the same rule.
///
/// ```swift
/// let study = GrokkingStudy(task: task, training: GrokkingTraining(steps: 8_000), seed: 1)
/// let dense = try study.dense(sourceSteps: [500, 1_500])
/// let outcome = try study.run(GrokkingArm(.ticket(step: nil), steps: 2_000), after: dense)
/// ```
public struct GrokkingStudy: Sendable {
    public var task: GrokkingTask
    /// How the dense network is trained; arms have their own steps and decay.
    public var training: GrokkingTraining
    /// Seeds initial weights and what is random in arms.
    public var seed: UInt64

    public init(task: GrokkingTask, training: GrokkingTraining, seed: UInt64) {
        self.task = task
        self.training = training
        self.seed = seed
    }

    /// The dense run that arms refer to.
    public struct Dense: Sendable {
        public var outcome: GrokkingOutcome
        /// Weights before training (θ₀), at the source steps that were reached, and at the end.
        public var initial: Snapshot
        public var checkpoints: [Int: Snapshot]
        public var lastStep: Int

        /// A dense run from elsewhere, such as files.
        public init(outcome: GrokkingOutcome, initial: Snapshot, checkpoints: [Int: Snapshot], lastStep: Int) {
            self.outcome = outcome
            self.initial = initial
            self.checkpoints = checkpoints
            self.lastStep = lastStep
        }
    }

    /// Trains the dense network.
    ///
    /// - Parameters:
    ///   - sourceSteps: steps to keep weights of, for tickets.
    ///   - observe: told of each measurement.
    public func dense(
        sourceSteps: Set<Int> = [], observe: (GrokkingCurve.Point) throws -> Void = { _ in }
    ) throws -> Dense {
        let network = task.makeNetwork(seed)
        let (initial, norms) = (Snapshot(of: network), WeightNorms(of: network))
        let run = try training.run(network, on: task, snapshots: sourceSteps, observe: observe)
        var checkpoints = run.snapshots
        checkpoints[run.lastStep] = run.last
        let arm = GrokkingArm(.dense, kept: 1, weightDecay: training.weightDecay, steps: training.steps)
        return Dense(
            outcome: .init(arm: arm, curve: run.curve, initialNorms: norms, overlap: nil), initial: initial,
            checkpoints: checkpoints, lastStep: run.lastStep)
    }

    /// Trains one arm until the test accuracy is at the threshold or its steps are over.
    ///
    /// - Throws: `.usage` for κ outside (0, 1] and for a ticket of a step that has no checkpoint.
    public func run(
        _ arm: GrokkingArm, after dense: Dense, observe: (GrokkingCurve.Point) throws -> Void = { _ in }
    ) throws -> GrokkingOutcome {
        let network = task.makeNetwork(seed)
        let prunable = try PrunableNetwork(network, includesEmbeddings: true)
        let masks = try masks(of: arm, network, dense)
        dense.initial.restore(network)
        var overlap: Double?
        if case .matchedNorm(let order, let perTensor) = arm.start {
            try GrokkingTicket.matchNorm(of: network, to: masks, order, perTensor: perTensor)
        } else if !arm.start.isDense {
            let final = try ticket(network, dense, step: nil, kept: arm.kept)
            overlap = GrokkingTicket.agreement(masks, final).jaccard
            dense.initial.restore(network)
            prunable.setMasks(masks)
        }
        let norms = WeightNorms(of: network)
        var own = training
        own.steps = arm.steps
        own.weightDecay = arm.weightDecay
        own.stopAccuracy = training.threshold
        var hooks: [any TrainingHook] = []
        if case .penalty(let power, let strength) = arm.start {
            hooks = [NormPenalty(network, power: power, strength: strength)]
        }
        let run = try own.run(network, on: task, masked: prunable, hooks: hooks, observe: observe)
        return GrokkingOutcome(arm: arm, curve: run.curve, initialNorms: norms, overlap: overlap)
    }

    /// Trains arms side by side, each on one thread; the same results as one after the other.
    ///
    /// - Parameter finished: told of each outcome, in any order, from any thread.
    public func run(
        _ arms: [GrokkingArm], after dense: Dense,
        finished: @Sendable (GrokkingOutcome) -> Void = { _ in }
    ) throws -> [GrokkingOutcome] {
        try sideBySide(arms) { arm in
            let outcome = try run(arm, after: dense)
            finished(outcome)
            return outcome
        }
    }

    private func masks(
        of arm: GrokkingArm, _ network: any SupervisedNetwork, _ dense: Dense
    ) throws -> [WeightMask] {
        func early(_ criterion: any NetworkCriterion, rounds: Int = 1) throws -> [WeightMask] {
            dense.initial.restore(network)
            return try GrokkingTicket.masks(
                of: network, kept: arm.kept, by: criterion, batches: [task.train], rounds: rounds)
        }
        switch arm.start {
        case .dense, .penalty, .otherDecay: return []
        case .ticket(let step): return try ticket(network, dense, step: step, kept: arm.kept)
        case .matchedNorm: return try ticket(network, dense, step: nil, kept: arm.kept)
        case .random: return try early(.random(seed: seed))
        case .snip: return try early(GradientWeightCriterion())
        case .grasp: return try early(GradientFlowCriterion(temperature: 200))
        case .synflow: return try early(SynapticFlowCriterion(inputShape: task.inputShape), rounds: 100)
        }
    }

    private func ticket(
        _ network: any SupervisedNetwork, _ dense: Dense, step: Int?, kept: Double
    ) throws -> [WeightMask] {
        let step = step ?? dense.lastStep
        guard let weights = dense.checkpoints[step] else {
            let known = dense.checkpoints.keys.sorted().map(String.init).joined(separator: ", ")
            throw CoppiceError(.usage, field: "from", "no weights were kept at step \(step), expected one of \(known)")
        }
        weights.restore(network)
        return try GrokkingTicket.masks(of: network, kept: kept)
    }
}

/// Maps items on as many threads as computations use, each working alone: the same results as one after the other.
///
/// - Throws: the first error in the order of items.
public func sideBySide<Item: Sendable, Result: Sendable>(
    _ items: [Item], _ body: @Sendable (Item) throws -> Result
) throws -> [Result] {
    let results = Mutex([Swift.Result<Result, any Error>?](repeating: nil, count: items.count))
    let next = Mutex(0)
    DispatchQueue.concurrentPerform(iterations: min(items.count, Int(coppice_thread_count()))) { _ in
        let before = coppice_work_alone(1)
        defer { _ = coppice_work_alone(before) }
        while true {
            let index = next.withLock { place -> Int in
                defer { place += 1 }
                return place
            }
            guard index < items.count else { return }
            let result = Swift.Result { try body(items[index]) }
            results.withLock { $0[index] = result }
        }
    }
    return try results.withLock { all in try all.compactMap { try $0?.get() } }
}
