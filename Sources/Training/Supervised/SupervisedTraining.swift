import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

/// Training on labelled batches in memory: the loop that pruning methods drive.
///
/// ```swift
/// let training = SupervisedTraining(
///     optimizer: SGD(momentum: 0.9, weightDecay: 1e-4),
///     rates: LearningRateSchedule(kind: .cosine, peak: 0.1, warmupSteps: 0, minimumRatio: 0, totalSteps: 1_000))
/// try training.run(network, on: batches)
/// ```
///
/// Step t takes batch t of the source at rate t of the schedule, so training from step k on continues training up to k
/// bit for bit when the optimizer's state is carried along.
public struct SupervisedTraining: Sendable {
    /// Which parameters weight decay applies to.
    public enum Decay: Sendable, Hashable {
        case all
        /// Those of two and more dimensions: no biases, no norms.
        case matrices
    }

    public var optimizer: any Optimizer
    /// The learning rate of each step; its ``LearningRateSchedule/totalSteps`` is the length of training.
    public var rates: LearningRateSchedule
    public var decay = Decay.all
    /// The largest norm of all gradients together; nil for no clipping.
    public var clipNorm: Double?
    /// The part of a target's weight that goes to all classes alike.
    public var labelSmoothing = 0.0
    public var precision = OperandPrecision.f32
    /// λ of the penalty λ Σ|γ| on the scales of batch normalizations (``ScaleSparsity``); 0 for none.
    public var scaleSparsity = 0.0

    public init(optimizer: any Optimizer, rates: LearningRateSchedule) {
        self.optimizer = optimizer
        self.rates = rates
    }

    /// Trains through the steps of a range, by default all, and leaves the network in training mode.
    ///
    /// - Parameters:
    ///   - state: what the optimizer remembers; goes on from it.
    ///   - progress: told the step that was taken and its loss in nats.
    /// - Throws: `.badData` naming the step where the loss or a gradient is NaN or infinite, and a weight that is so in the
    ///   end; for a network without batch normalization where ``scaleSparsity`` asks for some; what the optimizer and
    ///   hooks throw.
    public func run(
        _ network: any SupervisedNetwork, on source: any BatchSource, steps: Range<Int>? = nil,
        state: inout OptimizerState, hooks: [any TrainingHook] = [],
        progress: (_ step: Int, _ loss: Double) throws -> Void = { _, _ in }
    ) throws {
        network.setTraining(true)
        let parameters = network.parameters.map(\.parameter)
        let penalties: [any TrainingHook] =
            scaleSparsity > 0 ? [try ScaleSparsity(of: network, strength: scaleSparsity)] : []
        let hooks = penalties + hooks
        let steps = steps ?? 0..<rates.totalSteps
        for step in steps {
            for hook in hooks { try hook.willStep(step) }
            let batch = source.batch(at: step)
            let loss = try withSparseProducts(SparseProducts(sharedBy: hooks)) {
                try self.loss(of: network, batch, step, hooks)
            }
            var slopes = gradients(of: loss, withRespectTo: parameters.map(\.wrappedValue))
            let value = Double(loss.scalar)
            guard value.isFinite else {
                throw Self.notFinite("the loss of training step \(step) is \(value), expected a finite number")
            }
            // Before masks are chosen by them. The norm is a screen: squares of finite gradients may be too large for it.
            if !globalNorm(slopes).isFinite,
                let place = slopes.firstIndex(where: { $0.firstNonFiniteIndex != nil })
            {
                throw Self.notFinite(
                    "the gradient of training step \(step) is not finite, expected finite numbers",
                    network.parameters[place].name)
            }
            for hook in hooks { try hook.willUpdate(step, gradients: &slopes) }
            for hook in hooks { try hook.willMove(step, state: &state) }
            try update(parameters, slopes, step, &state)
            for hook in hooks { try hook.didStep(step, state: &state) }
            try progress(step, value)
        }
        if let last = steps.last, let name = network.firstNonFinite {
            throw Self.notFinite("is not finite after training step \(last), expected finite numbers", name)
        }
    }

    private static func notFinite(_ what: String, _ field: String? = nil) -> CoppiceError {
        CoppiceError(.badData, field: field, what + ": a smaller learning rate or clipping may help")
    }

    /// Trains through all steps from a fresh optimizer.
    public func run(
        _ network: any SupervisedNetwork, on source: any BatchSource, hooks: [any TrainingHook] = [],
        progress: (_ step: Int, _ loss: Double) throws -> Void = { _, _ in }
    ) throws {
        var state = OptimizerState(optimizer, for: network)
        try run(network, on: source, state: &state, hooks: hooks, progress: progress)
    }

    /// The mean loss of a batch, with smoothed labels and in the precision of training: a scalar, in nats.
    public func loss(of network: any SupervisedNetwork, _ batch: LabeledBatch) -> Tensor {
        withOperandPrecision(precision) { self.loss(of: network, batch, keepsOutputs: false).loss }
    }

    private func loss(
        of network: any SupervisedNetwork, _ batch: LabeledBatch, keepsOutputs: Bool
    ) -> (loss: Tensor, outputs: Tensor?) {
        guard labelSmoothing > 0 || keepsOutputs else { return (network.loss(batch), nil) }
        let outputs = network.outputs(batch.inputs)
        return (outputs.meanCrossEntropy(targets: batch.targets, smoothing: labelSmoothing), outputs)
    }

    /// What gradients are multiplied by, so that their norm is at most ``clipNorm``.
    package func gradientScale(_ slopes: [Tensor]) -> Double {
        // The small constant keeps a gradient of zero from becoming NaN.
        clipNorm.map { min(1, $0 / (globalNorm(slopes) + 1e-6)) } ?? 1
    }

    private func loss(
        of network: any SupervisedNetwork, _ batch: LabeledBatch, _ step: Int, _ hooks: [any TrainingHook]
    ) throws -> Tensor {
        try withOperandPrecision(precision) {
            let (own, outputs) = self.loss(of: network, batch, keepsOutputs: hooks.contains(where: \.readsOutputs))
            var loss = own
            for hook in hooks {
                if let penalty = try hook.penalty(step, batch: batch, outputs: outputs) { loss = loss + penalty }
            }
            return loss
        }
    }

    private func update(
        _ parameters: [Parameter], _ slopes: [Tensor], _ step: Int, _ state: inout OptimizerState
    ) throws {
        try optimizer.update(
            parameters, gradients: slopes,
            decays: parameters.map { $0.decays && (decay == .all || $0.wrappedValue.rank >= 2) }, state: &state,
            learningRate: rates.rate(at: step), gradientScale: gradientScale(slopes))
        state.step += 1
    }
}
