import CoppiceModels
import Synchronization

/// Keeps the lines that are worth keeping.
final class ProgressLines: ProgressReporter {
    private let reported = Mutex<[String]>([])
    var lines: [String] { reported.withLock { $0 } }

    func begin(_ title: String, total: Int, completed: Int, unit: String) {}
    func advance(to completed: Int, note: String) {}
    func report(_ line: String) { reported.withLock { $0.append(line) } }
    func end(_ summary: String) {}
}
