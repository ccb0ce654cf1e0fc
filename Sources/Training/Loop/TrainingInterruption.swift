import CoppiceModels
import Synchronization

/// A request to end a run after the present step, with a checkpoint.
public final class TrainingInterruption: Sendable {
    private let flag = Atomic<Bool>(false)
    /// Of the signal that asked for the end; 0 where none did.
    private let signal = Atomic<Int32>(0)

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
            signal.store(number, ordering: .relaxed)
            request()
        }
        defer { signals.stop() }
        return try body()
    }

    /// Ends the process by the signal that asked for the end, as its parent expects, so that what was to follow a run
    /// does not follow a part of it. Returns where no signal did.
    public func endProcessBySignal() {
        let number = signal.load(ordering: .relaxed)
        if number != 0 { TerminationSignals.endProcess(by: number) }
    }
}
