import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Schedules whose masks move, and those that find what goes themselves.
extension NetworkStageRun {
    /// The weights that the stage does not work on, with their masks; nil where there are none.
    func others() throws -> PrunableNetwork? {
        let own = Set(part.weights.map(\.name))
        let names = Set(whole.weights.map(\.name)).subtracting(own)
        guard !names.isEmpty else { return nil }
        let others = try PrunableNetwork(network, named: names)
        others.adoptMasks(of: whole)
        return others
    }

    /// - Throws: `.usage` where weights are removed already that the method would decide about again.
    func refuseRemoved() throws {
        guard part.removedCount > 0 else { return }
        throw CoppiceError(
            .usage, field: "method",
            "\(stage.method.rawValue) decides about all its weights anew, and \(part.removedCount) of them are removed "
                + "already; start from a dense network or exclude them")
    }

    /// Pruning on a ramp whose kept weights make up for removed ones each time.
    func pruneGradually(
        by curvature: any CurvatureCriterion, _ schedule: RampSchedule, _ training: SupervisedTraining,
        _ source: any BatchSource
    ) throws {
        let surgeon = SurgeonPruning(curvature, allocation: path.allocation, recomputations: 1)
        let samples = try batches()
        try surgeon.checkMemory(of: part, batches: samples)
        let hook = GradualPruning(part, schedule: schedule, surgeon: surgeon) { _ in samples }
        try train("prune", training, source, hooks: [hook])
        report.saliencies = hook.saliencies
        // A ramp that ends with training leaves its last removal.
        if ExactSelection.removedCount(part.count, sparsity: path.sparsity) > part.removedCount {
            report.saliencies = try surgeon.prune(part, to: path.sparsity, batches: samples)
        }
    }

    /// Movement pruning on a ramp.
    func pruneByMovement(begin: Double, end: Double, every: Int, _ ramp: SparsityRamp) throws {
        try refuseRemoved()
        let (training, source) = try loop()
        let last = max(1, training.rates.totalSteps - 1)
        let first = min(step(at: begin, training, source), last - 1)
        let schedule = try RampSchedule(
            ramp, to: path.sparsity, begin: first, end: max(min(step(at: end, training, source), last), first + 1),
            interval: every)
        let hook = MovementPruning(
            part, schedule: schedule, granularity: stage.granularity, allocation: path.allocation)
        try train("prune", training, source, hooks: [hook], held: try others().map { [$0] } ?? [])
        if training.rates.totalSteps == 1 { try hook.prune(to: path.sparsity) }
    }

    /// Prunes at once, and trains what is left with connections that move.
    ///
    /// - Throws: `.usage` where training is too short for any move.
    func pruneDynamically(_ options: DynamicOptions) throws {
        let (training, source) = try loop()
        let last = step(at: options.end, training, source)
        guard options.every < last else {
            let isEarly = last <= 1
            throw CoppiceError(
                .usage, field: "schedule: \(isEarly ? "end" : "every")",
                (isEarly ? "epoch \(options.end)" : "\(options.every) steps")
                    + ", and connections stay from step \(last) of \(training.rates.totalSteps) on, so that none moves;"
                    + " expected \(isEarly ? "a later epoch" : "fewer than \(last) steps"), or a longer training")
        }
        try pruneFurther(to: path.sparsity, batches())
        let growth: DynamicSparseTraining.Growth = options.rule == .rigl ? .gradient : .random(seed: recipe.seed)
        let hook = DynamicSparseTraining(
            part, growth: growth, dropFraction: options.drop, interval: options.every, lastStep: last)
        try train("train", training, source, hooks: [hook], held: try others().map { [$0] } ?? [])
    }

    /// Rounds of training, each followed by the removal of what the PQ index allows, until nothing more can go; the last
    /// one's network is the result, or the one that held-out data choose.
    func pruneAdaptively(_ options: AdaptiveOptions) throws {
        let adaptive = try options.sparsity()
        let reported = data
        defer { data = reported }
        var choice: RoundChoice<(weights: Snapshot, masks: [WeightMask])>?
        if case .best(let tolerance) = options.keep {
            choice = RoundChoice(tolerance: tolerance)
            guard let rest = try data?.holdingOut(seed: recipe.seed) else {
                throw CoppiceError(.usage, field: "schedule: keep", "best needs training images, and there are none")
            }
            data = rest
        }
        var rounds: [StageReport.Round] = []
        try trainInLevels(rewind: options.rewind, count: options.rounds + 1, title: "round") { round in
            network.setTraining(false)
            var own = StageReport.Round(
                round: round, density: 1 - part.sparsity, index: try options.index.value(of: part), removed: 0,
                accuracy: reported?.accuracy(of: network))
            defer { rounds.append(own) }
            if choice != nil, let accuracy = data?.accuracy(of: network) {
                own.validation = accuracy
                choice?.add(round, accuracy: accuracy, (Snapshot(of: whole.network), part.masks))
            }
            guard round < options.rounds else { return false }
            own.removed = try adaptive.removeNext(from: part)
            guard own.removed > 0 else { return false }
            whole.adoptMasks(of: part)
            own.indexPruned = try options.index.value(of: part)
            own.accuracyPruned = reported?.accuracy(of: network)
            return true
        }
        report.rounds = rounds
        guard let (round, state) = choice?.chosen else { return }
        report.keptRound = round
        part.setMasks(state.masks)
        whole.adoptMasks(of: part)
        state.weights.restore(whole.network)
        whole.applyMasks()
    }
}
