import CoppiceModels
import CoppiceTraining
import Foundation

/// Ends a search from within, with all that is done kept.
struct LotteryInterruption: Error {}

/// How far a run of searches has come: steps done of all, when to write a checkpoint, and when to stop.
final class LotteryTracker {
    let interruption: TrainingInterruption
    private let progress: any ProgressReporter
    private var completed = 0
    private var lastSaved = DispatchTime.now().uptimeNanoseconds
    /// Between checkpoints of a training.
    private static let saveInterval: UInt64 = 60_000_000_000

    init(_ progress: any ProgressReporter, _ interruption: TrainingInterruption) {
        self.progress = progress
        self.interruption = interruption
    }

    /// - Parameter completed: steps that an earlier process took.
    func begin(total: Int, completed: Int) {
        self.completed = completed
        progress.begin("lottery", total: total, completed: completed, unit: "steps")
    }

    func advance(by steps: Int = 1, note: String) {
        completed += steps
        progress.advance(to: completed, note: note)
    }

    func report(_ line: String) { progress.report(line) }
    func end() { progress.end("") }

    func check() throws {
        if interruption.isRequested { throw LotteryInterruption() }
    }

    /// Whether the training is to pause for a checkpoint.
    var isPauseDue: Bool {
        interruption.isRequested || DispatchTime.now().uptimeNanoseconds - lastSaved > Self.saveInterval
    }

    func noteSaved() { lastSaved = DispatchTime.now().uptimeNanoseconds }
}
