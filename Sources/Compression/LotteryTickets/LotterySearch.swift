import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// One search for tickets in its folder: whatever is there already is taken from it, whatever is not is trained and put
/// there.
final class LotterySearch {
    let task: LotteryTask
    let method: IterativePruning
    /// Where ``method`` has its step from.
    private let rewind: LotteryRewind
    let seed: UInt64
    let network: any VisionNetwork
    let prunable: PrunableNetwork
    /// The part of the folder that is this search's.
    let prefix: String
    private let folder: LotteryFolder
    private let tracker: LotteryTracker
    /// In the order of the search, and in another one.
    private let orders: [any BatchSource]

    init(
        _ task: LotteryTask, method: IterativePruning, rewind: LotteryRewind, seed: UInt64, folder: LotteryFolder,
        prefix: String, tracker: LotteryTracker
    ) throws {
        self.rewind = rewind
        (self.task, self.method, self.seed, self.folder) = (task, method, seed, folder)
        (self.prefix, self.tracker) = (prefix, tracker)
        network = try task.makeNetwork(seed: seed)
        prunable = try task.prunable(network)
        orders = [task.batches(seed: seed), task.batches(seed: Self.otherSeed(seed))]
    }

    /// The seed of other weights or another order than a seed's.
    static func otherSeed(_ seed: UInt64) -> UInt64 { seed ^ 0x9E37_79B9_7F4A_7C15 }

    func path(_ piece: String) -> String { prefix + "/" + piece }

    // MARK: Pieces

    /// W_k.
    func rewound() throws -> Snapshot {
        if !folder.has(path("rewound")), let kept = rewind.checkpoint {
            try tracker.check()
            prunable.setMasks(prunable.unpruned)
            try kept.load(into: network)
            try write(path("rewound"), nil)
        } else if !folder.has(path("rewound")) {
            let start = Snapshot(of: try task.makeNetwork(seed: seed))
            let plan = BranchTraining(
                initial: start, denseSteps: 0..<method.rewindStep, masks: prunable.unpruned, training: method.training,
                steps: method.rewindStep..<method.rewindStep)
            try train(plan, as: "rewound", note: "to step \(method.rewindStep)", measures: false)
        }
        return try snapshot("rewound")
    }

    /// The trained dense network.
    func dense(_ rewound: Snapshot) throws -> LotteryMeasure {
        let plan = BranchTraining(
            initial: rewound, masks: prunable.unpruned, training: method.training,
            steps: method.rewindStep..<method.training.rates.totalSteps)
        return try trained(plan, as: "dense", note: "dense")
    }

    /// The ticket of a level; that of the level before is trained.
    func ticket(_ level: Int, after earlier: LotteryTicket?, rewound: Snapshot) throws -> LotteryTicket {
        try tracker.check()
        let source = try snapshot(level == 1 ? "dense" : "level-\(level - 1)/trained")
        let (file, piece) = (path("level-\(level)/mask.safetensors"), path("level-\(level)/ticket"))
        var masks: [WeightMask]
        if folder.has(file) {
            let stored = try MaskFile.read(folder.path + "/" + file)
            try stored.check(against: .open(folder.path + "/" + path("rewound")), source: folder.path + "/" + file)
            masks = stored.entries.map(\.mask)
            guard stored.entries.map(\.name) == prunable.weights.map(\.name) else {
                throw CoppiceError(.badData, source: folder.path + "/" + file, "is not of the weights that are pruned")
            }
        } else {
            prunable.setMasks(prunable.unpruned)
            source.restore(network)
            prunable.setMasks(earlier?.masks ?? prunable.unpruned)
            _ = try task.settings.removing.removeNext(from: prunable)
            masks = prunable.masks
        }
        if !folder.has(file) || !folder.has(piece) {
            prunable.setMasks(prunable.unpruned)
            rewound.restore(network)
            prunable.setMasks(masks)
            try write(piece, nil)
            let names = prunable.weights.map(\.name)
            try MaskFile(
                zip(names, masks).map { MaskFile.Entry(name: $0, mask: $1) },
                modelDigest: StoredWeights.open(folder.path + "/" + path("rewound")).digest(of: names)
            ).write(to: folder.path + "/" + file)
        }
        return LotteryTicket(masks: masks, rewound: rewound, source: source)
    }

    /// A ticket's network trained by a branch.
    ///
    /// - Parameters:
    ///   - order: 0 for the order of the search, 1 for another one.
    ///   - piece: the name of its folder in the level's.
    func trained(
        _ ticket: LotteryTicket, by branch: TicketBranch, order: Int = 0, level: Int, as piece: String
    ) throws -> LotteryMeasure {
        let name = "level-\(level)/\(piece)"
        if folder.has(path(name)) { return try folder.measure(of: path(name)) }
        return try trained(
            try method.training(of: branch, ticket, in: prunable), as: name, order: order,
            note: "level \(level) \(piece == "trained" ? "ticket" : piece)")
    }

    /// What a control starts from.
    func branch(_ branch: LotterySettings.Branch) throws -> TicketBranch {
        switch branch {
        case .reinit: .reinitialized(Snapshot(of: try task.makeOtherNetwork(seed: Self.otherSeed(seed))))
        case .shuffle: .shuffled(seed: seed)
        case .finetune: .fineTuned
        case .learningRateRewind: .learningRateRewound
        case .oneShot: .oneShot(dense: try snapshot("dense"), perLayer: task.settings.scope == .layer)
        }
    }

    /// The values of a network of this search. The search's own network has them afterwards.
    func snapshot(_ piece: String) throws -> Snapshot {
        prunable.setMasks(prunable.unpruned)
        try folder.load(path(piece), into: network)
        return Snapshot(of: network)
    }

    private func write(_ piece: String, _ measure: LotteryMeasure?) throws {
        try folder.write(
            network, prunable, to: piece, normalization: task.images.training.normalization, measure: measure)
    }

    // MARK: Training

    private func trained(
        _ plan: BranchTraining, as piece: String, order: Int = 0, note: String
    ) throws -> LotteryMeasure {
        if !folder.has(path(piece)) { try train(plan, as: piece, order: order, note: note) }
        return try folder.measure(of: path(piece))
    }

    /// Ends a stretch of steps from within.
    private struct Pause: Error {}

    /// Trains a network and puts it into the folder; goes on where it was interrupted.
    private func train(
        _ plan: BranchTraining, as piece: String, order: Int = 0, note: String, measures: Bool = true
    ) throws {
        try tracker.check()
        prunable.setMasks(prunable.unpruned)
        plan.initial.restore(network)
        var optimizer = OptimizerState(plan.training.optimizer, for: network)
        var (phase, next) = (0, plan.denseSteps.lowerBound)
        if let saved = try folder.resume(path(piece), network, plan.training.optimizer, &optimizer) {
            (phase, next) = (saved.phase, saved.step)
            let steps = phase == 0 ? plan.denseSteps : plan.steps
            guard (0...2).contains(phase), (steps.lowerBound...steps.upperBound).contains(next) else {
                throw CoppiceError(
                    .badData, source: folder.path + "/training/state.json", field: "step",
                    "\(next) of phase \(phase), expected \(steps.lowerBound) to \(steps.upperBound)")
            }
        }
        if phase == 0 {
            try run(plan, phase: 0, plan.denseSteps, &next, &optimizer, piece, order, note)
            optimizer = OptimizerState(plan.training.optimizer, for: network)
            (phase, next) = (1, plan.steps.lowerBound)
        }
        prunable.setMasks(plan.masks)
        if phase == 1 { try run(plan, phase: 1, plan.steps, &next, &optimizer, piece, order, note) }
        var measure: LotteryMeasure?
        if measures {
            measure = task.measure(network, tracker.interruption)
            guard measure != nil else {
                try save(plan, 2, next, optimizer, piece)
                throw LotteryInterruption()
            }
        }
        try write(path(piece), measure)
        folder.clearProgress()
        if let measure { tracker.report("\(label(note))accuracy \(Self.fixed(measure.accuracy))") }
    }

    private func label(_ note: String) -> String {
        let density = 1 - prunable.sparsity
        return "\(prefix)  \(note)" + (density < 1 ? "  density \(Self.fixed(100 * density, 2)) %" : "") + "  "
    }

    private func run(
        _ plan: BranchTraining, phase: Int, _ steps: Range<Int>, _ next: inout Int, _ optimizer: inout OptimizerState,
        _ piece: String, _ order: Int, _ note: String
    ) throws {
        var hooks: [any TrainingHook] = [DropoutSteps(network)]
        if phase == 1 { hooks.append(MaskedTraining(prunable)) }
        while next < steps.upperBound {
            var reached = next
            do {
                try plan.training.run(
                    network, on: orders[order], steps: next..<steps.upperBound, state: &optimizer, hooks: hooks
                ) { step, loss in
                    reached = step + 1
                    tracker.advance(note: "\(prefix) \(note)  loss \(Self.fixed(loss))")
                    if tracker.isPauseDue { throw Pause() }
                }
                next = reached
            } catch is Pause {
                next = reached
                try save(plan, phase, next, optimizer, piece)
                try tracker.check()
            } catch var error as CoppiceError {
                error.source = error.source ?? task.recipe.source
                error.message = "\(prefix) \(note): " + error.message
                throw error
            }
        }
    }

    private func save(
        _ plan: BranchTraining, _ phase: Int, _ next: Int, _ optimizer: OptimizerState, _ piece: String
    ) throws {
        let taken =
            phase == 0 ? next - plan.denseSteps.lowerBound : plan.denseSteps.count + next - plan.steps.lowerBound
        try folder.save(
            .init(piece: path(piece), phase: phase, step: next, taken: taken, optimizerStep: optimizer.step), network,
            optimizer)
        tracker.noteSaved()
    }

    private static func fixed(_ value: Double, _ places: Int = 4) -> String {
        let scale = (0..<places).reduce(1.0) { product, _ in product * 10 }
        return "\((value * scale).rounded() / scale)"
    }
}
