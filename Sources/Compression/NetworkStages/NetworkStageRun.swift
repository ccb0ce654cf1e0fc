import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// One `prune` stage on its way through a network in memory: schedule, criterion and recovery.
final class NetworkStageRun {
    let stage: PruneStage
    let recipe: Recipe
    /// The network; a narrower one once channels have gone.
    var network: any SupervisedNetwork
    /// All prunable weights, with the masks of all stages.
    var whole: PrunableNetwork
    /// The weights that the stage works on.
    var part: PrunableNetwork
    /// What criteria look at and training runs through.
    var data: (any StageData)?
    /// The model as it was before anything was removed: for distillation, and what mask files belong to.
    let checkpoint: AnyCheckpoint
    /// Whose answers are distilled, where that is another model.
    var teacher: AnyCheckpoint?
    let progress: any ProgressReporter
    /// What went of whole channels.
    var cut: (groups: ChannelGroups, kept: KeptChannels)?
    /// What there is to tell.
    var report: StageReport
    /// The part of the stage's weights that is gone in the end, and how it is shared out on the way there.
    var path: (sparsity: Double, allocation: any Allocation)
    /// Curves of the last allocation by rate and distortion.
    var curves: [DistortionCurve] = []
    /// Whether the memory of the optimizer's gradients was told.
    var hasToldWindow = false
    /// The masks of a method that scores matrices with more than a network's own criteria look at.
    var matrixMasks: (() throws -> [WeightMask])?
    /// What measures curves of the stage's weights where that takes no pass of the whole network for each rate.
    var matrixCurves: (() throws -> [DistortionCurve])?

    /// - Parameter names: of the weights that the stage works on.
    init(
        _ stage: PruneStage, number: Int, of recipe: Recipe, on names: [String], in whole: PrunableNetwork,
        network: any SupervisedNetwork, data: (any StageData)?, progress: any ProgressReporter,
        checkpoint: AnyCheckpoint
    ) throws {
        self.stage = stage
        self.recipe = recipe
        self.network = network
        self.whole = whole
        self.data = data
        self.checkpoint = checkpoint
        self.progress = progress
        part = try PrunableNetwork(network, named: Set(names))
        report = StageReport(stage: number)
        path = (stage.sparsity, stage.sharing)
    }

    /// The shape of one example; nil for language models and encoders, whose texts have any length.
    var inputShape: [Int]? { (network as? any VisionNetwork)?.configuration.inputShape }

    /// Prunes, and recovers; the network is in use (not in training) afterwards.
    ///
    /// - Throws: `.usage` for a sparsity below what is there; `.badData` for weights, gradients and losses that are not
    ///   finite; what the stage's method throws. All name the stage.
    func run() throws {
        do {
            try runStage()
        } catch var error as CoppiceError {
            if error.source == nil {
                error.source = recipe.source
                error.field = (["stages[\(report.stage)].prune"] + (error.field.map { [$0] } ?? [])).joined(
                    separator: ": ")
            }
            throw error
        }
    }

    private func runStage() throws {
        part.adoptMasks(of: whole)
        network.setTraining(false)
        defer { network.setTraining(false) }
        try prune()
        network.setTraining(false)
        try recover()
    }

    private func prune() throws {
        if let matrixMasks { return try take(matrixMasks()) }
        switch (stage.method, stage.unit) {
        case (.mask, _): return try takeMasks()
        case (.searched, _): return try searchMasks()
        case (.bip, _): return try learnMasks()
        case (_, .filter), (_, .channel): return try pruneChannels()
        default: break
        }
        if case .adaptive(let options) = stage.network.schedule { return try pruneAdaptively(options) }
        let removed = part.masks.map(\.removedCount)
        // Asked for less than is gone: nothing is trained before that is said.
        if !stage.isSemiStructured {
            try stage.sharing.check(part.weights, sparsity: stage.sparsity, removed: removed)
        }
        path = try stage.sharing.path(
            to: stage.sparsity, of: part.weights, from: removed, along: stage.network.schedule.ramp)
        switch stage.network.schedule {
        case .oneShot(let rounds): try pruneAtOnce(rounds: rounds)
        case .gradual(let begin, let end, let every, let ramp):
            if stage.method == .movement {
                try pruneByMovement(begin: begin, end: end, every: every, ramp)
            } else {
                try pruneGradually(begin: begin, end: end, every: every, ramp)
            }
        case .iterative(let levels, let rewind): try pruneIteratively(levels: levels, rewind: rewind)
        case .dynamic(let options): try pruneDynamically(options)
        case .adaptive: break
        }
        whole.adoptMasks(of: part)
        reportRates()
    }

    private func takeMasks() throws {
        guard let path = stage.network.masks else { return }
        guard MaskFile.isMaskFile(path) else { return try take(part.masks(fromZerosOf: path)) }
        let file = try MaskFile.read(path)
        try file.check(against: StoredWeights(checkpoint), source: path)
        let masks = try part.masks(of: file, source: path)
        try file.restoreStatistics(network, source: path)
        take(masks)
    }

    /// Removes what masks remove.
    private func take(_ masks: [WeightMask]) {
        part.setMasks(zip(part.masks, masks).map { $0.intersection($1) })
        whole.adoptMasks(of: part)
    }

    /// Curves of the stage's weights in the network as it is.
    func measuredCurves() throws -> [DistortionCurve] {
        part.adoptMasks(of: whole)
        network.setTraining(false)
        return try matrixCurves?() ?? distortionCurves(criterion(), batches())
    }

    // MARK: - Schedules

    private func pruneAtOnce(rounds: Int) throws {
        let start = try removedPart
        if stage.network.recovery == .surgeon, let curvature = stage.curvature {
            let surgeon = SurgeonPruning(
                curvature, allocation: try measuredAllocation(batches()) ?? stage.sharing, recomputations: rounds)
            progress.begin("prune", total: rounds, unit: "rounds")
            report.saliencies = try surgeon.prune(part, to: stage.sparsity, batches: batches()) { step, _ in
                progress.advance(to: step, note: "")
            }
            progress.end("")
            return
        }
        let samples = try batches()
        progress.begin("prune", total: rounds, unit: "rounds")
        for round in 1...rounds {
            let goal = SparsityRamp.geometric.sparsity(
                at: Double(round) / Double(rounds), from: start, to: path.sparsity)
            try pruneFurther(to: goal, samples)
            progress.advance(to: round, note: "")
        }
        progress.end("")
    }

    private func pruneGradually(begin: Double, end: Double, every: Int, _ ramp: SparsityRamp) throws {
        let (training, source) = try loop()
        let first = step(at: begin, training, source)
        let schedule = try RampSchedule(
            ramp, from: part.sparsity, to: max(path.sparsity, part.sparsity), begin: first,
            end: max(step(at: end, training, source), first + 1), interval: every)
        if stage.network.recovery == .surgeon, let curvature = stage.curvature {
            return try pruneGradually(by: curvature, schedule, training, source)
        }
        let samples = try batches()
        let hook = GradualPruning(
            part, schedule: schedule, criterion: try criterion(), granularity: stage.granularity,
            allocation: path.allocation
        ) { _ in samples }
        try train("prune", training, source, hooks: [hook])
        try pruneFurther(to: path.sparsity, samples)
    }

    private func pruneIteratively(levels: Int, rewind: Double?) throws {
        let samples = try batches()
        let start = try removedPart
        try trainInLevels(rewind: rewind, count: levels + 1, title: "level") { level in
            guard level < levels else { return false }
            let part = Double(level + 1) / Double(levels)
            whole.network.setTraining(false)
            try pruneFurther(to: SparsityRamp.geometric.sparsity(at: part, from: start, to: path.sparsity), samples)
            whole.adoptMasks(of: self.part)
            return true
        }
    }

    // MARK: - Parts

    private func criterion() throws -> any NetworkCriterion { try criterion(stage.method) }

    /// The criterion of a method, with the stage's options.
    func criterion(_ method: PruneStage.Method) throws -> any NetworkCriterion {
        var own = stage
        own.method = method
        guard let criterion = own.networkCriterion(seed: recipe.seed, inputShape: inputShape ?? []) else {
            throw CoppiceError(.internal, field: method.rawValue, "scores no network")
        }
        return criterion
    }

    /// Prunes to a sparsity, or as far as whole weights and groups have come beyond it already.
    func pruneFurther(to sparsity: Double, _ samples: [LabeledBatch]) throws {
        if stage.countsMultiplications { return try pruneMultiplications(to: sparsity, samples) }
        let isReached = ExactSelection.removedCount(part.count, sparsity: sparsity) <= part.removedCount
        guard !isReached || stage.isSemiStructured else { return }
        try part.prune(
            by: criterion(), granularity: stage.granularity,
            allocation: measuredAllocation(samples) ?? path.allocation,
            to: max(sparsity, part.sparsity), batches: samples)
    }

    /// The part of the stage's weights, or of their multiplications, that is gone.
    private var removedPart: Double {
        get throws { stage.countsMultiplications ? try removedMultiplications() : part.sparsity }
    }

    /// How the sparsity is shared out by what is measured on the network as it is; nil where that is not asked for.
    private func measuredAllocation(_ samples: [LabeledBatch]) throws -> (any Allocation)? {
        guard stage.allocation == .rateDistortion else { return nil }
        curves = try stage.storedCurves(of: part.weights) ?? distortionCurves(criterion(), samples)
        return RateDistortionAllocation(curves.map { $0.interpolated() }, solver: stage.rateDistortion.solver)
    }

    /// What the criterion looks at; empty where it needs none.
    func batches() throws -> [LabeledBatch] { try batches(for: stage.method) }

    /// What a method's criterion looks at.
    func batches(for method: PruneStage.Method) throws -> [LabeledBatch] {
        guard try criterion(method).needsData, let data else { return [] }
        if method.isOfCurvature {
            return try gradientBatches(of: data)
        }
        return try data.samples(for: recipe)
    }
}
