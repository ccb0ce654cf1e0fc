import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Foundation

/// The loop of a run on images: trains, validates after each epoch or part of one, keeps the best, writes checkpoints,
/// and stops when told or when validation no longer improves. The state after n steps is a function of the recipe, the
/// images and n alone.
final class ClassificationTrainer {
    /// Where metrics go, beside the log and the screen.
    typealias Record = (_ metrics: [String: Double], _ state: ClassificationState) -> Void

    let network: any SupervisedNetwork
    private(set) var state = ClassificationState()
    /// Training images a second; nil before the first step.
    var imagesPerSecond: Double? { seconds > 0 ? Double(images) / seconds : nil }
    var totalSteps: Int { training.rates.totalSteps }
    /// Steps of an epoch, not whole in general.
    let epochSteps: Double
    private let recipe: ClassificationRecipe
    private let training: SupervisedTraining
    private let batches: PrefetchingBatches
    private let validation: ImageDataSet?
    private let folder: RunFolder
    /// Steps between validations, not whole in general.
    private let validationInterval: Double
    private var optimizer: OptimizerState
    private let hooks: [any TrainingHook]
    /// Nil for a network without gates.
    private let gates: GatedNetwork?
    private let kept: KeptSteps
    private var images = 0
    /// Of this process's training, validation not counted.
    private(set) var seconds = 0.0

    /// - Parameters:
    ///   - points: steps whose weights the folder keeps.
    ///   - hooks: what acts on every step, such as what keeps a sparse network sparse.
    /// - Throws: `.badData` for a checkpoint that is damaged or belongs to another network; `.usage` for a point behind
    ///   the end of training, or that a resumed run is past.
    init(
        _ network: any SupervisedNetwork, _ recipe: ClassificationRecipe, training: ImageDataSet,
        validation: ImageDataSet?, folder: RunFolder, keeping points: [RewindPoint] = [],
        hooks: [any TrainingHook] = []
    ) throws {
        self.network = network
        self.recipe = recipe
        self.training = recipe.training(images: training.count)
        self.validation = validation
        self.folder = folder
        batches = PrefetchingBatches(
            ImageBatches(
                training, batchSize: recipe.loop.batchSize, seed: recipe.seed,
                augmentation: recipe.images.augmentation))
        epochSteps = Double(training.count) / Double(recipe.loop.batchSize)
        validationInterval = max(1, recipe.loop.validateEvery * epochSteps)
        optimizer = OptimizerState(self.training.optimizer, for: network)
        self.hooks = [DropoutSteps(network)] + hooks
        gates = network as? GatedNetwork
        kept = try KeptSteps(points, totalSteps: self.training.rates.totalSteps, epochSteps: epochSteps)
        if let (state, tensors) = try folder.latest(ClassificationState.self) {
            try restore(tensors, step: state.step)
            self.state = state
        }
        try kept.check(resumingAt: state.step, isKept: folder.isKept(step:))
    }

    /// Trains until all steps are taken, validation stops improving or an interruption is requested. A checkpoint is
    /// written in each case.
    ///
    /// - Throws: `.badData` naming the step when the loss is no longer finite; earlier checkpoints are kept.
    func run(
        log: TrainingLog, record: Record, progress: any ProgressReporter, interruption: TrainingInterruption
    ) throws -> TrainingOutcome {
        func finish(_ outcome: TrainingOutcome) throws -> TrainingOutcome {
            try save(log)
            var line = TrainingLog.Line(event: "end", step: state.step)
            line.outcome = outcome
            try log.write(line)
            return outcome
        }
        while true {
            if isPointDue {
                guard try recordPoint(log, record, progress, interruption) else { return try finish(.interrupted) }
                if state.step < totalSteps { try save(log) }
            }
            if let own = kept.state(at: state.step), !folder.isKept(own) { try folder.saveKept(own, values) }
            if let patience = recipe.loop.patience, state.validationsSinceBest >= patience {
                return try finish(.stoppedEarly)
            }
            if state.step >= totalSteps { return try finish(.completed) }
            if interruption.isRequested { return try finish(.interrupted) }
            try train(progress, interruption)
            if state.step % recipe.loop.logEvery == 0 || state.step == totalSteps { try logProgress(log, record) }
        }
    }

    // MARK: - Training

    /// Ends a stretch of steps from within.
    private struct Interruption: Error {}

    /// Trains up to the next step at which something else is due.
    private func train(_ progress: any ProgressReporter, _ interruption: TrainingInterruption) throws {
        let nextLog = (state.step / recipe.loop.logEvery + 1) * recipe.loop.logEvery
        let end = min(
            totalSteps, nextValidation(after: state.step), nextLog, kept.next(after: state.step) ?? totalSteps)
        let (first, start) = (state.step, DispatchTime.now().uptimeNanoseconds)
        let best = state.best?.accuracy.map { String(format: "  best accuracy %.4f", $0) } ?? ""
        do {
            try training.run(network, on: batches, steps: first..<end, state: &optimizer, hooks: hooks) { step, loss in
                state.step = step + 1
                state.lossSinceLog.add(loss)
                state.lossSincePoint.add(loss)
                let epoch = String(format: "epoch %.2f", Double(state.step) / epochSteps)
                progress.advance(to: state.step, note: "\(epoch)  loss \(String(format: "%.4f", loss))\(best)")
                if interruption.isRequested { throw Interruption() }
            }
        } catch is Interruption {
        } catch var error as CoppiceError {
            error.source = error.source ?? recipe.source
            throw error
        }
        images += (state.step - first) * recipe.loop.batchSize
        seconds += Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
    }

    private func logProgress(_ log: TrainingLog, _ record: Record) throws {
        var line = TrainingLog.Line(event: "progress", step: state.step)
        let (loss, rate) = (state.lossSinceLog.take(), training.rates.rate(at: state.step - 1))
        (line.loss, line.learningRate, line.imagesPerSecond) = (loss, rate, imagesPerSecond)
        var metrics = ["loss": loss, "learning_rate": rate, "images_per_second": imagesPerSecond ?? 0]
        if let report = gates?.report {
            line.add(report)
            metrics.merge([
                "gate_mean": report.mean, "gate_disagreement": report.disagreement,
                "expected_multiplications": report.expectedMultiplications,
            ]) { $1 }
        }
        try log.write(line)
        record(metrics, state)
    }

    // MARK: - Validation

    private var isPointDue: Bool {
        state.step > 0 && state.curve.last?.step != state.step
            && (state.step >= totalSteps || nextValidation(after: state.step - 1) == state.step)
    }

    /// The first step after one that completes a multiple of the interval.
    private func nextValidation(after step: Int) -> Int {
        let passed = (Double(step) / validationInterval).rounded(.down)
        let next = Int((passed * validationInterval).rounded(.up))
        return next > step ? next : Int(((passed + 1) * validationInterval).rounded(.up))
    }

    /// Validates and adds a row to the curve. False when an interruption came first: then nothing has changed and the
    /// resumed run validates.
    private func recordPoint(
        _ log: TrainingLog, _ record: Record, _ progress: any ProgressReporter, _ interruption: TrainingInterruption
    ) throws -> Bool {
        var measured: Classification?
        if let validation {
            measured = Classification.measure(network, on: validation) { _ in !interruption.isRequested }
            guard measured != nil else { return false }
        }
        let point = ClassificationState.CurvePoint(
            step: state.step, epoch: Double(state.step) / epochSteps, trainingLoss: state.lossSincePoint.take(),
            validationLoss: measured?.loss, accuracy: measured?.accuracy)
        // The first gates to be validated are all open; only the last network has come to a consensus.
        let isBest = state.record(point, competes: gates == nil)
        guard let measured else { return true }
        if isBest { try folder.saveBest(step: state.step, values) }
        var line = TrainingLog.Line(event: "validation", step: state.step)
        (line.loss, line.accuracy, line.isBest) = (measured.loss, measured.accuracy, isBest)
        try log.write(line)
        record(["validation_loss": measured.loss, "validation_accuracy": measured.accuracy], state)
        progress.report(
            String(
                format: "epoch %.2f  training loss %.4f  validation loss %.4f  accuracy %.4f%@", point.epoch,
                point.trainingLoss, measured.loss, measured.accuracy, isBest ? "  best" : ""))
        if let report = gates?.report { progress.report("gates  \(report.summary)") }
        return true
    }

    // MARK: - Checkpoints

    private var values: [NamedTensor] { TrainingTensors.values(of: network) }

    private func save(_ log: TrainingLog) throws {
        try folder.saveLatest(state, values + TrainingTensors.optimizer(optimizer, of: network))
        try log.write(TrainingLog.Line(event: "checkpoint", step: state.step))
    }

    private func restore(_ tensors: [String: Tensor], step: Int) throws {
        let restored = try TrainingTensors.optimizer(
            in: tensors, of: network, training.optimizer, step: step, source: folder.latestTensors)
        try TrainingTensors.load(tensors, into: network, source: folder.latestTensors)
        optimizer = restored
    }

    /// Puts the values of the best validation into the network; leaves it as it is where there was none.
    func takeBest() throws {
        guard state.best != nil, let best = try folder.best() else { return }
        try TrainingTensors.load(best, into: network, source: folder.path + "/best/parameters.safetensors")
    }
}
