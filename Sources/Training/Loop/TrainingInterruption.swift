import CoppiceModels
import Synchronization

/// A request to end a run after the present step, with a checkpoint.
public final class TrainingInterruption: Sendable {
    private let flag = Atomic<Bool>(false)

    public init() {}

    /// Asks for the end.
    public func request() { flag.store(true, ordering: .relaxed) }

    /// Whether the end was asked for.
    public var isRequested: Bool { flag.load(ordering: .relaxed) }

    /// Runs `body` while the first SIGTERM, SIGINT or SIGHUP requests the end of the run, and the next one ends the
    /// process at once. Afterwards signals do what they did before.
    ///
    /// For a program's main command: signals belong to the whole process.
    public func listeningToSignals<Result>(_ body: () throws -> Result) rethrows -> Result {
        let signals = TerminationSignals { [self] number in
            if isRequested { TerminationSignals.endProcess(by: number) }
            request()
        }
        defer { signals.stop() }
        return try body()
    }
}
