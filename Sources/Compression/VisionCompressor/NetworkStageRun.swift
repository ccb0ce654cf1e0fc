import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation

/// One `prune` stage on its way through a network in memory: schedule, criterion and recovery.
struct NetworkStageRun {
    let stage: PruneStage
    let recipe: Recipe
    /// All prunable weights, with the masks of all stages.
    let whole: PrunableNetwork
    /// The weights that the stage works on.
    let part: PrunableNetwork
    let images: CompressionImages?
    /// The shape of one example.
    let inputShape: [Int]
    /// The network as it was before anything was removed, for distillation.
    let teacher: () throws -> any SupervisedNetwork
    let progress: any ProgressReporter

    /// Prunes, and recovers; the network is in use (not in training) afterwards.
    ///
    /// - Throws: `.usage` for a sparsity below what is there; `.badData` for weights, gradients and losses that are not
    ///   finite; what the stage's method throws.
    func run() throws {
        part.adoptMasks(of: whole)
        let network = whole.network
        network.setTraining(false)
        defer { network.setTraining(false) }
        if stage.method == .mask { return try takeMasks() }
        // Asked for less than is gone: nothing is trained before that is said.
        guard ExactSelection.removedCount(part.count, sparsity: stage.sparsity) >= part.removedCount || isPattern else {
            throw CoppiceError(
                .usage, field: "sparsity",
                "\(stage.sparsity) is below the \(part.sparsity) that is already pruned; removed weights do not return")
        }
        switch stage.network.schedule {
        case .oneShot(let rounds): try pruneAtOnce(rounds: rounds)
        case .gradual(let begin, let end, let every): try pruneGradually(begin: begin, end: end, every: every)
        case .iterative(let levels, let rewind): try pruneIteratively(levels: levels, rewind: rewind)
        }
        whole.adoptMasks(of: part)
        try recover()
    }

    private var isPattern: Bool {
        if case .semiStructured = stage.pattern { return true }
        return false
    }

    private func takeMasks() throws {
        guard let path = stage.network.masks else { return }
        let masks = try part.masks(fromZerosOf: path)
        part.setMasks(zip(part.masks, masks).map { $0.intersection($1) })
        whole.adoptMasks(of: part)
        try recover()
    }

    // MARK: - Schedules

    private func pruneAtOnce(rounds: Int) throws {
        let start = part.sparsity
        if stage.network.recovery == .surgeon, let curvature = stage.curvature {
            let surgeon = SurgeonPruning(
                curvature, allocation: stage.sharing, recomputations: rounds, updatesWeights: true)
            progress.begin("prune", total: rounds, unit: "rounds")
            try surgeon.prune(part, to: stage.sparsity, batches: batches()) { step, _ in
                progress.advance(to: step, note: "")
            }
            progress.end("")
            return
        }
        let samples = try batches()
        progress.begin("prune", total: rounds, unit: "rounds")
        for round in 1...rounds {
            let goal = GeometricRamp.sparsity(from: start, to: stage.sparsity, part: Double(round) / Double(rounds))
            try pruneFurther(to: goal, samples)
            progress.advance(to: round, note: "")
        }
        progress.end("")
    }

    private func pruneGradually(begin: Double, end: Double, every: Int) throws {
        let (training, source) = try loop()
        func step(_ epoch: Double) -> Int {
            min(Int((epoch * Double(source.batchesPerEpoch)).rounded()), training.rates.totalSteps)
        }
        let first = step(begin)
        let schedule = try CubicSchedule(
            from: part.sparsity, to: max(stage.sparsity, part.sparsity), begin: first,
            end: max(step(end), first + 1), interval: every)
        let samples = try batches()
        let hook = GradualPruning(
            part, schedule: schedule, criterion: try criterion(), granularity: stage.granularity,
            allocation: stage.sharing
        ) { _ in samples }
        try train("prune", training, source, hooks: [hook])
        try pruneFurther(to: stage.sparsity, samples)
    }

    private func pruneIteratively(levels: Int, rewind: Double?) throws {
        let (training, source) = try loop()
        let rewindStep = rewind.map { Int(($0 * Double(source.batchesPerEpoch)).rounded()) } ?? 0
        let steps = min(rewindStep, training.rates.totalSteps - 1)..<training.rates.totalSteps
        if !(0..<steps.lowerBound).isEmpty {
            try train("train", training, source, steps: 0..<steps.lowerBound, hooks: [])
        }
        let early = rewind.map { _ in Snapshot(of: whole.network) }
        let samples = try batches()
        let start = part.sparsity
        for level in 0...levels {
            if level > 0 {
                let part = Double(level) / Double(levels)
                whole.network.setTraining(false)
                try pruneFurther(to: GeometricRamp.sparsity(from: start, to: stage.sparsity, part: part), samples)
                whole.adoptMasks(of: self.part)
            }
            early?.restore(whole.network)
            whole.applyMasks()
            try train("level \(level)", training, source, steps: steps, hooks: [])
        }
    }

    // MARK: - Recovery

    private func recover() throws {
        var hooks: [any TrainingHook] = []
        switch stage.network.recovery {
        case .none, .surgeon: return
        case .fineTune: break
        case .distill(let temperature, let share):
            hooks.append(TeacherLoss(try teacher(), temperature: temperature, share: share))
        }
        let (training, source) = try loop()
        try train("recover", training, source, hooks: hooks)
    }

    // MARK: - Parts

    private func criterion() throws -> any NetworkCriterion {
        guard let criterion = stage.networkCriterion(seed: recipe.seed, inputShape: inputShape) else {
            throw CoppiceError(.internal, field: stage.method.rawValue, "scores no network")
        }
        return criterion
    }

    /// Prunes to a sparsity, or as far as whole weights and groups have come beyond it already.
    private func pruneFurther(to sparsity: Double, _ samples: [LabeledBatch]) throws {
        let isReached = ExactSelection.removedCount(part.count, sparsity: sparsity) <= part.removedCount
        guard !isReached || isPattern else { return }
        try part.prune(
            by: criterion(), granularity: stage.granularity, allocation: stage.sharing,
            to: max(sparsity, part.sparsity), batches: samples)
    }

    /// What the criterion looks at; empty where it needs none.
    private func batches() throws -> [LabeledBatch] {
        guard try criterion().needsData, let images else { return [] }
        if stage.method.isOfCurvature {
            let sampling = stage.network.sampling
            return try images.batches(
                sampling.count * sampling.batchSize, of: sampling.batchSize, seed: recipe.seed)
        }
        return try images.batches(recipe.images.count, of: recipe.images.batchSize, seed: recipe.seed)
    }

    /// The recipe's training and its batches.
    private func loop() throws -> (SupervisedTraining, any BatchSource) {
        guard let training = images?.training else {
            throw CoppiceError(.usage, field: "training", "needs images with labels, and there are none")
        }
        let batches = ImageBatches(
            training, batchSize: recipe.training.loop.batchSize, seed: recipe.seed,
            augmentation: recipe.training.images.augmentation)
        return (recipe.training.training(images: training.count), PrefetchingBatches(batches))
    }

    /// Trains with the masks of all stages held.
    private func train(
        _ title: String, _ training: SupervisedTraining, _ source: any BatchSource, steps: Range<Int>? = nil,
        hooks: [any TrainingHook]
    ) throws {
        let network = whole.network
        let steps = steps ?? 0..<training.rates.totalSteps
        progress.begin(title, total: steps.count, unit: "steps")
        var state = OptimizerState(training.optimizer, for: network)
        var all: [any TrainingHook] = [DropoutSteps(network)]
        all += hooks
        all.append(MaskedTraining(whole))
        try training.run(network, on: source, steps: steps, state: &state, hooks: all) { step, loss in
            progress.advance(to: step + 1 - steps.lowerBound, note: String(format: "loss %.4f", loss))
        }
        progress.end("")
    }
}
