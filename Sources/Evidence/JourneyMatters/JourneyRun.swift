import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Synchronization

/// A model that is trained for the experiment, dense or pruned on the way.
struct JourneyArm: Sendable, Hashable {
    /// Which phases of compute a sparse model is pruned in.
    enum Window: String, Sendable, Hashable, CaseIterable {
        case middle = "25–75"
        case early = "2–25"
        case late = "70–97"

        var fractions: ComputePhaseSchedule.Window {
            switch self {
            case .middle: .init(start: 0.25, end: 0.75)
            case .early: .init(start: 0.02, end: 0.25)
            case .late: .init(start: 0.7, end: 0.97)
            }
        }
    }

    enum Kind: Sendable, Hashable {
        case dense(ModelShape, steps: Int)
        case sparse(sparsity: Double, Window)
        case baseline(sparsity: Double, JourneyBaseline)
    }

    var kind: Kind
    var seed: UInt64

    var name: String {
        switch kind {
        case .dense(let shape, let steps): "dense, \(shape.prunableCount) weights, \(steps) steps"
        case .sparse(let sparsity, let window): "\(MarkupText.percent(sparsity, places: 0)), \(window.rawValue) %"
        case .baseline(let sparsity, let way): "\(MarkupText.percent(sparsity, places: 0)), \(way.rawValue)"
        }
    }

    /// How it is pruned on a ramp; nil for dense models and those without a ramp.
    var ramp: TrainingRecipe.Pruning? {
        var section: TrainingRecipe.Pruning
        switch kind {
        case .sparse(let sparsity, let window):
            section = .init(finalSparsity: sparsity)
            section.window = window.fractions
        case .baseline(let sparsity, .cubic):
            section = .init(finalSparsity: sparsity)
            section.ramp = .cubic
        case .dense, .baseline: return nil
        }
        return section
    }

    /// Steps that the compute of an experiment allows.
    ///
    /// - Throws: `.usage` for a compute that is too small for a ramp.
    func steps(_ size: JourneyMatters.Size) throws -> Int {
        if case .dense(_, let steps) = kind { return steps }
        if case .baseline(let sparsity, let way) = kind,
            let phases = way.steps(sparsity: sparsity, compute: size.denseSteps)
        {
            return phases.all
        }
        guard let ramp else { return size.denseSteps }
        return try ComputePhaseSchedule(
            denseSteps: size.denseSteps, finalSparsity: ramp.finalSparsity, window: ramp.window, ramp: ramp.ramp
        ).totalSteps
    }
}

/// What training an arm came to.
struct JourneyRun: Sendable {
    var arm: JourneyArm
    /// Steps that were taken.
    var steps: Int
    var tokens: Int
    /// N̄: prunable weights in use, averaged over the steps.
    var averageCount: Double
    /// Prunable weights that are left.
    var finalCount: Int
    /// On held-out text, in nats a character.
    var loss: Double
    /// Of the batches.
    var losses: LossCurve
    /// The share that is left of each prunable weight, by its name; empty of a dense model.
    var layers: [(name: String, share: Double)]
    /// Of the dense model of the initial size: what pruning after its training leaves.
    var pruned: [TrainedPruning.Outcome] = []

    /// Trains an arm and measures its last state.
    init(_ arm: JourneyArm, on text: CharacterText, size: JourneyMatters.Size) throws {
        self.arm = arm
        let shape: ModelShape = if case .dense(let own, _) = arm.kind { own } else { size.shape }
        var recipe = TrainingRecipe()
        recipe.prune = arm.ramp
        // Of a ramp the compute, which it turns into steps.
        let steps = arm.ramp == nil ? try arm.steps(size) : size.denseSteps
        Self.fill(&recipe, shape, size)
        recipe.seed = arm.seed
        recipe.loop.duration = .steps(steps)
        recipe.schedule.warmupSteps = size.denseSteps / 20
        let configuration = recipe.configuration(vocabularySize: text.vocabularySize, beginToken: nil, endToken: 0)
        let network = DecoderNetwork(recipe, configuration: configuration)
        let schedule = try recipe.pruningSchedule(windowsPerEpoch: 1)
        var hooks: [any StoredTrainingHook] = []
        if let section = recipe.prune, let schedule {
            hooks = [try SparsePretraining.of(network, section, schedule)]
        }
        var density = schedule?.averageDensity ?? 1
        if case .baseline(let sparsity, let way) = arm.kind,
            let phases = way.steps(sparsity: sparsity, compute: size.denseSteps)
        {
            hooks = [try way.hook(on: network, sparsity: sparsity, steps: phases, seed: arm.seed)]
            density = (Double(phases.dense) + Double(phases.all - phases.dense) * (1 - sparsity)) / Double(phases.all)
        }
        let learner = DecoderLearner(network, recipe: recipe, hooks: hooks)
        let taken = schedule?.totalSteps ?? steps
        let recorder = LossRecorder(LossCurve(arm.name, steps: taken / recipe.loop.logEvery))
        var trainer = try Trainer(learner, recipe: recipe, train: text.train, observers: [recorder])
        _ = try trainer.run()
        self.steps = trainer.state.step
        tokens = trainer.state.tokens
        averageCount = density * Double(shape.prunableCount)
        finalCount = hooks.isEmpty ? shape.prunableCount : learner.keptCounts.reduce(0) { $0 + $1.kept }
        losses = recorder.curve
        layers = learner.keptCounts.map { ($0.name, Double($0.kept) / Double(max(1, $0.count))) }
        let batches = TokenBatch.covering(text.heldOut, batchSize: 64, length: size.context)
        loss = try Trainer.meanLoss(of: batches, learner) ?? .nan
        guard arm.kind == .dense(size.shape, steps: size.denseSteps) else { return }
        let trained = Snapshot(of: network)
        let windows = try CalibrationWindows(
            tokens: text.train.tokens.map { Int($0) }, count: TrainedPruning.windowCount, length: size.context,
            seed: arm.seed)
        for sparsity in size.sparsities {
            for way in TrainedPruning.allCases {
                trained.restore(network)
                let keptCount = try way.prune(network, to: sparsity, calibratedBy: windows)
                let loss = try Trainer.meanLoss(of: batches, learner) ?? .nan
                pruned.append(.init(way: way, sparsity: sparsity, keptCount: keptCount, loss: loss))
            }
        }
    }

    private static func fill(_ recipe: inout TrainingRecipe, _ shape: ModelShape, _ size: JourneyMatters.Size) {
        recipe.model.hiddenSize = shape.width
        recipe.model.intermediateSize = shape.intermediate
        recipe.model.layers = shape.layers
        (recipe.model.heads, recipe.model.keyValueHeads) = (ModelShape.heads, ModelShape.heads)
        recipe.model.headSize = shape.width / ModelShape.heads
        recipe.model.context = size.context
        (recipe.loop.batchSize, recipe.loop.sequenceLength) = (size.batch, size.context)
        // Narrower models take larger steps (Yang et al., "Tensor programs V", 2022: in inverse proportion).
        recipe.optimizer.learningRate = size.peakRate * Double(size.width) / Double(shape.width)
        recipe.optimizer.weightDecay = 0.05
        recipe.loop.validateEvery = 1_000_000
    }

    /// As a point of a scaling law by the average size.
    var scalingRun: ScalingRun {
        let sparsity: Double =
            switch arm.kind {
            case .dense: 0
            case .sparse(let sparsity, _), .baseline(let sparsity, _): sparsity
            }
        return ScalingRun(
            averageParameters: averageCount, tokens: Double(tokens), loss: loss, finalSparsity: sparsity)
    }
}

/// Draws the training losses that a run reports.
private final class LossRecorder: TrainingObserver {
    private let recorded: Mutex<LossCurve>

    init(_ curve: LossCurve) { recorded = Mutex(curve) }

    var curve: LossCurve { recorded.withLock { $0 } }

    func observe(_ event: TrainingEvent) {
        guard case .progress(let progress) = event else { return }
        recorded.withLock { $0.add(progress.loss, at: progress.step - 1) }
    }
}
