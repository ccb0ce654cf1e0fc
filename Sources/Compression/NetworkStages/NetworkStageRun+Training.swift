import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation

/// How the network of a stage trains: as the recipe says, with masks held; once, in levels, and after pruning.
extension NetworkStageRun {
    /// The recipe's training and its batches.
    ///
    /// - Parameters:
    ///   - epochs: of training; nil: the recipe's.
    ///   - seed: of the order of examples; nil: the recipe's.
    func loop(epochs: Double? = nil, seed: UInt64? = nil) throws -> (SupervisedTraining, any BatchSource) {
        guard let data else {
            throw CoppiceError(.usage, field: "training", "needs data to train on, and there are none")
        }
        var own = recipe.training
        if let epochs { own.loop.epochs = epochs }
        return try data.loop(own, seed: seed ?? recipe.seed)
    }

    /// The step of a training at which an epoch begins; its end at most.
    func step(at epoch: Double, _ training: SupervisedTraining, _ source: any BatchSource) -> Int {
        min(Int((epoch * Double(source.batchesPerEpoch)).rounded()), training.rates.totalSteps)
    }

    /// Trains with masks held.
    ///
    /// - Parameter held: the weights whose masks are; nil: all, with the masks of all stages.
    func train(
        _ title: String, _ training: SupervisedTraining, _ source: any BatchSource, steps: Range<Int>? = nil,
        hooks: [any TrainingHook], held: [PrunableNetwork]? = nil
    ) throws {
        let network = whole.network
        let steps = steps ?? 0..<training.rates.totalSteps
        var all: [any TrainingHook] = [DropoutSteps(network)]
        all += hooks
        all += (held ?? [whole]).map { MaskedTraining($0) }
        try follow(title, training, steps) { told in
            var state = OptimizerState(training.optimizer, for: network)
            try training.run(network, on: source, steps: steps, state: &state, hooks: all, progress: told)
        }
    }

    /// Reports on a training while it goes on.
    ///
    /// - Parameter run: trains through the steps, and tells of each.
    private func follow(
        _ title: String, _ training: SupervisedTraining, _ steps: Range<Int>,
        run: (_ told: (_ step: Int, _ loss: Double) throws -> Void) throws -> Void
    ) throws {
        let memory = try training.optimizer.windowSummary(for: whole.network, source: recipe.source)
        if let memory, !hasToldWindow {
            progress.report(memory)
            hasToldWindow = true
        }
        progress.begin(title, total: steps.count, unit: "steps")
        try run { step, loss in
            progress.advance(to: step + 1 - steps.lowerBound, note: String(format: "loss %.4f", loss))
        }
        progress.end("")
    }

    /// Trains again and again, each time from the weights of an epoch or on from the last.
    ///
    /// - Parameters:
    ///   - count: trainings, at most.
    ///   - prune: what happens after each; false ends it.
    func trainInLevels(
        rewind: Double?, count: Int, title: String, prune: (_ level: Int) throws -> Bool
    ) throws {
        let (training, source) = try loop()
        let rewindStep = rewind.map { step(at: $0, training, source) } ?? 0
        let steps = min(rewindStep, training.rates.totalSteps - 1)..<training.rates.totalSteps
        if !(0..<steps.lowerBound).isEmpty {
            try train("train", training, source, steps: 0..<steps.lowerBound, hooks: [])
        }
        let early = rewind.map { _ in Snapshot(of: whole.network) }
        for level in 0..<count {
            early?.restore(whole.network)
            whole.applyMasks()
            try train("\(title) \(level)", training, source, steps: steps, hooks: [])
            guard try prune(level) else { return }
        }
    }

    // MARK: - Recovery

    /// Lets the kept weights make up for what went, as the stage says.
    func recover() throws {
        if [.none, .surgeon, .reconstruct].contains(stage.network.recovery) { return }
        let (training, source) = try loop()
        let trained = try stage.network.trains.map { patterns in
            try WeightPattern.names(
                matching: patterns, among: whole.network.parameters.map(\.name), aliases: aliases,
                what: "parameter of the network")
        }
        let trains = trained.map { names in { (name: String) in names.contains(name) } }
        let recovery: any Recovery
        if case .distill(let temperature, let share) = stage.network.recovery {
            recovery = Distillation(
                training, teacher: try original(), temperature: temperature, teacherShare: share, trains: trains)
        } else {
            recovery = FineTuning(training, trains: trains)
        }
        // The memory that is told of is that of what trains.
        try whole.network.withTrainable(trains) {
            try follow("recover", training, 0..<training.rates.totalSteps) { told in
                try recovery.recover(whole, on: source, progress: told)
            }
        }
    }

    /// What the checkpoint's files call parameters, where that is not their name.
    private var aliases: [String: String] {
        get throws {
            guard case .vision(let checkpoint) = checkpoint else { return [:] }
            return try checkpoint.aliases
        }
    }

    /// The network as it was.
    private func original() throws -> any SupervisedNetwork {
        switch teacher ?? checkpoint {
        case .vision(let checkpoint): try checkpoint.network()
        case .languageModel(let checkpoint): try NarrowedCheckpoint(checkpoint).network { _ in nil }
        case .encoder(let checkpoint): try checkpoint.network()
        }
    }
}
