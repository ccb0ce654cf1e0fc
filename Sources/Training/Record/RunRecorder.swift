import CoppiceModels

/// Writes the events of one run into a ``RunHistory``.
///
/// A history that fails under way (a full disk, a lock held for long) must not end a run of hours: the failure is
/// reported, and the run goes on.
public struct RunRecorder: TrainingObserver {
    public let history: RunHistory
    /// The run's identifier in the history.
    public let run: String
    private let progress: any ProgressReporter

    public init(history: RunHistory, run: String, progress: any ProgressReporter = SilentProgress()) {
        self.history = history
        self.run = run
        self.progress = progress
    }

    public func observe(_ event: TrainingEvent) {
        do {
            try record(event)
        } catch {
            progress.report("warning: \(error)")
        }
    }

    private func record(_ event: TrainingEvent) throws {
        switch event {
        case .progress(let now):
            var metrics = [
                "loss": now.loss, "learning_rate": now.learningRate, "gradient_norm": now.gradientNorm,
                "tokens_per_second": now.tokensPerSecond,
            ]
            metrics["density"] = now.pruning?.density
            metrics["average_density"] = now.pruning?.averageDensity
            metrics["average_parameters"] = now.pruning?.averageCount
            metrics["ideal_flops"] = now.pruning?.idealOperations
            metrics["actual_flops"] = now.pruning?.actualOperations
            try history.update(run, metrics: metrics) { ($0.step, $0.tokens) = (now.step, now.tokens) }
        case .validation(let step, let tokens, let loss, let isBest, _):
            try history.update(run, metrics: ["validation_loss": loss]) { run in
                (run.step, run.tokens) = (step, tokens)
                if isBest { (run.bestValidationLoss, run.bestStep) = (loss, step) }
            }
        case .checkpoint: break
        case .end(let outcome, let step, let tokens):
            try history.update(run) { run in
                (run.step, run.tokens) = (step, tokens)
                run.status = outcome.rawValue
            }
        }
    }

    /// Notes that the run ended by an error.
    public func fail() {
        do {
            try history.update(run) { $0.status = "failed" }
        } catch {
            progress.report("warning: \(error)")
        }
    }
}
