import CoppiceModels
import CoppiceTensors
import Foundation

/// The training loop of a language model.
///
/// One step: `accumulation` batches forward and backward, the gradient clipped to a global norm (Pascanu et al., "On
/// the difficulty of training recurrent neural networks", 2013), one optimizer step at the schedule's rate. Between
/// steps it validates, keeps the best, writes checkpoints and stops when told or when validation no longer improves.
/// The state after n steps is a function of the recipe, the texts and n alone.
public struct Trainer: ~Copyable {
    /// What is kept on disk during a run.
    public protocol CheckpointStore {
        /// Keeps the state to resume from.
        func saveLatest(_ state: TrainingState, _ learner: any LanguageModelLearner) throws
        /// Keeps the parameters of the best validation.
        func saveBest(_ state: TrainingState, _ learner: any LanguageModelLearner) throws
        /// Whether the weights of a step are kept already.
        func isKept(_ state: KeptState) -> Bool
        /// Keeps the parameters of a step that was asked for.
        func saveKept(_ state: KeptState, _ learner: any LanguageModelLearner) throws
    }

    public let recipe: TrainingRecipe
    public let totalSteps: Int
    /// How the recipe's `prune` section removes weights; nil for a dense run. A learner with such hooks does it.
    public let pruning: ComputePhaseSchedule?
    public private(set) var state: TrainingState
    /// Windows that one pass over the training text has.
    public var windowsPerEpoch: Int { order.windowsPerEpoch }
    private let learner: any LanguageModelLearner
    private let train: TokenStream
    private let order: WindowOrder
    private let validation: [TokenBatch]
    private let rates: LearningRateSchedule
    private let store: (any CheckpointStore)?
    private let observers: [any TrainingObserver]
    private let progress: any ProgressReporter
    private let interruption: TrainingInterruption
    private let kept: KeptSteps
    private var lastCheckpoint: Int
    private var secondsSinceLog = 0.0
    private var tokensSinceLog = 0

    /// - Parameters:
    ///   - state: where to start; with the learner that belongs to it.
    ///   - store: nil keeps nothing.
    ///   - points: steps whose weights are kept in it.
    /// - Throws: `.badData` when a text is too short or has tokens that the model does not know, or the run is too short
    ///   for its pruning; `.usage` for a point behind the end of training, or that a resumed run is past.
    public init(
        _ learner: any LanguageModelLearner, recipe: TrainingRecipe, train: TokenStream, validation: TokenStream? = nil,
        state: TrainingState? = nil, store: (any CheckpointStore)? = nil, keeping points: [RewindPoint] = [],
        observers: [any TrainingObserver] = [], progress: any ProgressReporter = SilentProgress(),
        interruption: TrainingInterruption = TrainingInterruption()
    ) throws {
        let length = recipe.loop.sequenceLength
        try train.check(
            length: length, vocabularySize: learner.vocabularySize,
            source: recipe.data.train.first ?? "the training text")
        if let validation {
            // Two tokens are enough: the last window may be shorter than the others.
            try validation.check(
                length: 1, vocabularySize: learner.vocabularySize,
                source: recipe.data.validation.first ?? "the validation text")
        }
        let order = WindowOrder(tokenCount: train.tokens.count, length: length, seed: recipe.seed)
        let pruning = try recipe.pruningSchedule(windowsPerEpoch: order.windowsPerEpoch)
        let totalSteps = pruning?.totalSteps ?? recipe.denseSteps(windowsPerEpoch: order.windowsPerEpoch)
        let epochSteps = Double(order.windowsPerEpoch) / Double(recipe.loop.batchSize * recipe.loop.accumulation)
        let kept = try KeptSteps(points, totalSteps: totalSteps, epochSteps: epochSteps)
        try kept.check(resumingAt: state?.step ?? 0) { step in
            kept.state(at: step).flatMap { store?.isKept($0) } ?? true
        }
        self.learner = learner
        self.recipe = recipe
        self.train = train
        self.order = order
        self.pruning = pruning
        self.totalSteps = totalSteps
        self.kept = kept
        rates = recipe.learningRates(totalSteps: totalSteps)
        self.validation =
            validation.map { TokenBatch.covering($0, batchSize: recipe.loop.batchSize, length: length) } ?? []
        self.state = state ?? TrainingState(patience: recipe.loop.patience)
        lastCheckpoint = self.state.step
        self.store = store
        self.observers = observers
        self.progress = progress
        self.interruption = interruption
    }

    /// Trains until all steps are taken, validation stops improving or an interruption is requested. A checkpoint is
    /// written in each case.
    ///
    /// - Throws: `.badData` naming the step when the loss, the gradient or a parameter is no longer finite; the checkpoints
    ///   written before are kept. What the store and the observers throw.
    public mutating func run() throws -> TrainingOutcome {
        progress.begin("train", total: totalSteps, completed: state.step, unit: "steps")
        do {
            let outcome = try runLoop()
            try notify(.end(outcome, step: state.step, tokens: state.tokens))
            progress.end(summary(outcome))
            return outcome
        } catch {
            progress.end("")
            throw error
        }
    }

    private mutating func runLoop() throws -> TrainingOutcome {
        while true {
            if isPointDue {
                guard try recordPoint() else { return try finish(.interrupted) }
            }
            if let own = kept.state(at: state.step), let store, !store.isKept(own) { try store.saveKept(own, learner) }
            if state.stopping.shouldStop { return try finish(.stoppedEarly) }
            if state.step >= totalSteps { return try finish(.completed) }
            if interruption.isRequested { return try finish(.interrupted) }
            if state.step > lastCheckpoint, state.step % recipe.loop.checkpointEvery == 0 { try saveCheckpoint() }
            try trainStep()
        }
    }

    private mutating func finish(_ outcome: TrainingOutcome) throws -> TrainingOutcome {
        try saveCheckpoint()
        return outcome
    }

    private mutating func saveCheckpoint() throws {
        if let broken = learner.parameters().first(where: { $0.tensor.firstNonFiniteIndex != nil }) {
            throw notFinite("\(broken.name) is not finite", after: state.step)
        }
        guard let store else { return }
        try store.saveLatest(state, learner)
        lastCheckpoint = state.step
        try notify(.checkpoint(step: state.step))
    }

    // MARK: - Training

    private mutating func trainStep() throws {
        let start = DispatchTime.now().uptimeNanoseconds
        let batches = TokenBatch.training(
            train, order: order, step: state.step, batchSize: recipe.loop.batchSize,
            accumulation: recipe.loop.accumulation)
        let weight = 1 / Double(batches.count)
        var loss = 0.0
        try learner.willStep(state.step)
        for (part, batch) in batches.enumerated() {
            let seed = EpochOrder.mix(recipe.seed ^ EpochOrder.mix(UInt64(state.step * batches.count + part)))
            loss += weight * (try learner.accumulate(batch, weight: weight, randomSeed: seed))
        }
        try checkFinite(loss, "loss")
        try learner.willUpdate(state.step)
        let norm = learner.gradientNorm()
        try checkFinite(norm, "gradient norm")
        let rate = rates.rate(at: state.step)
        // The small constant keeps a gradient of zero from becoming NaN.
        let scale = recipe.optimizer.clipNorm.map { min(1, $0 / (norm + 1e-6)) } ?? 1
        try learner.update(learningRate: rate, gradientScale: scale, step: state.step)
        state.step += 1
        state.tokens += recipe.tokensPerStep
        state.lossSinceLog.add(loss)
        state.lossSincePoint.add(loss)
        secondsSinceLog += Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
        tokensSinceLog += recipe.tokensPerStep
        let best = state.stopping.bestLoss.map { "  best validation \(Self.text($0))" } ?? ""
        progress.advance(to: state.step, note: "loss \(Self.text(loss))\(best)")
        if state.step % recipe.loop.logEvery == 0 || state.step == totalSteps {
            let speed = Double(tokensSinceLog) / max(secondsSinceLog, 1e-9)
            (secondsSinceLog, tokensSinceLog) = (0, 0)
            try notify(
                .progress(
                    TrainingProgress(
                        step: state.step, tokens: state.tokens, loss: state.lossSinceLog.take(), gradientNorm: norm,
                        learningRate: rate, tokensPerSecond: speed, pruning: pruned)))
        }
    }

    /// What pruning has come to by now; nil for a dense run.
    var pruned: TrainingResult.Pruning? {
        pruning.map { schedule in
            TrainingResult.Pruning(
                schedule: schedule, steps: state.step, tokens: state.tokens, weights: learner.keptCounts,
                skippedProducts: learner.skippedProducts)
        }
    }

    private func checkFinite(_ value: Double, _ what: String) throws {
        guard !value.isFinite else { return }
        throw notFinite("the \(what) is \(value)", after: state.step + 1)
    }

    private func notFinite(_ what: String, after step: Int) -> CoppiceError {
        let kept =
            store == nil || lastCheckpoint == 0
            ? "there is no checkpoint yet" : "the checkpoint of step \(lastCheckpoint) is kept"
        return CoppiceError(
            .badData, source: recipe.source, field: "step \(step)",
            "\(what), expected a finite number; \(kept); try a lower learning_rate, more warmup_steps or clip_norm")
    }

    // MARK: - Validation

    private var isPointDue: Bool {
        state.step > 0 && state.curve.last?.step != state.step
            && (state.step % recipe.loop.validateEvery == 0 || state.step >= totalSteps)
    }

    /// Validates and adds a row to the loss curve. False when an interruption came first: then nothing has changed and
    /// the resumed run validates.
    private mutating func recordPoint() throws -> Bool {
        let start = DispatchTime.now().uptimeNanoseconds
        var validationLoss: Double?
        if !validation.isEmpty {
            guard let loss = try Self.meanLoss(of: validation, learner, unless: interruption) else { return false }
            try checkFinite(loss, "validation loss")
            validationLoss = loss
        }
        state.curve.append(
            TrainingState.CurvePoint(
                step: state.step, tokens: state.tokens, trainingLoss: state.lossSincePoint.take(),
                validationLoss: validationLoss))
        guard let validationLoss else { return true }
        // A model that has more weights than the last one is not the one that was asked for, however good.
        let isCandidate = pruning.map { state.step > $0.endStep || $0.finalSparsity == 0 } ?? true
        let isBest = isCandidate && state.stopping.record(validationLoss, step: state.step)
        if isBest { try store?.saveBest(state, learner) }
        try notify(
            .validation(
                step: state.step, tokens: state.tokens, loss: validationLoss, isBest: isBest,
                seconds: Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9))
        progress.report(
            "step \(state.step)  validation loss \(Self.text(validationLoss))  perplexity "
                + "\(ProgressEstimate.rateText(exp(validationLoss)))\(isBest ? "  best" : "")")
        return true
    }

    /// The mean loss over all targets of the batches, in nats a token; nil when interrupted.
    public static func meanLoss(
        of batches: [TokenBatch], _ learner: any LanguageModelLearner, unless interruption: TrainingInterruption? = nil
    ) throws -> Double? {
        var sum = 0.0
        var count = 0
        for batch in batches {
            if interruption?.isRequested == true { return nil }
            sum += try learner.loss(batch) * Double(batch.count)
            count += batch.count
        }
        return sum / Double(max(1, count))
    }

    // MARK: - Reports

    private func notify(_ event: TrainingEvent) throws {
        for observer in observers { try observer.observe(event) }
    }

    private func summary(_ outcome: TrainingOutcome) -> String {
        let best =
            state.stopping.bestLoss.map { loss in
                "; best validation loss \(Self.text(loss)) at step \(state.stopping.bestStep ?? 0)"
            } ?? ""
        let end =
            switch outcome {
            case .completed: "trained \(state.step) steps"
            case .stoppedEarly: "stopped at step \(state.step): validation no longer improves"
            case .interrupted: "interrupted at step \(state.step) of \(totalSteps); resume to go on"
            }
        return "\(end), \(state.tokens) tokens\(best)"
    }

    private static func text(_ loss: Double) -> String { String(format: "%.4f", loss) }
}

extension Trainer.CheckpointStore {
    public func isKept(_ state: KeptState) -> Bool { true }
    public func saveKept(_ state: KeptState, _ learner: any LanguageModelLearner) throws {}
}
