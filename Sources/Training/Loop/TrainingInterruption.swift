import Foundation
import Synchronization

/// A request to end a run after the present step, with a checkpoint.
public final class TrainingInterruption: Sendable {
    private let flag = Atomic<Bool>(false)
    private let isListening = Atomic<Bool>(false)

    public init() {}

    /// Asks for the end.
    public func request() { flag.store(true, ordering: .relaxed) }

    /// Whether the end was asked for.
    public var isRequested: Bool {
        flag.load(ordering: .relaxed)
            || isListening.load(ordering: .relaxed) && terminationSignals.load(ordering: .relaxed) > 0
    }

    /// Runs `body` with handlers for SIGTERM, SIGINT and SIGHUP: the first such signal requests the end of the run, the
    /// next one ends the process at once. Afterwards the handlers that were there before are put back.
    ///
    /// For a program's main command: signals belong to the whole process.
    public func listeningToSignals<Result>(_ body: () throws -> Result) rethrows -> Result {
        terminationSignals.store(0, ordering: .relaxed)
        isListening.store(true, ordering: .relaxed)
        let numbers = [SIGTERM, SIGINT, SIGHUP]
        let earlier = numbers.map { number in
            // Only what a handler may do: an atomic addition, and the default action for the next signal.
            signal(number) { number in
                terminationSignals.add(1, ordering: .relaxed)
                signal(number, SIG_DFL)
            }
        }
        defer {
            for (number, handler) in zip(numbers, earlier) { signal(number, handler) }
            if terminationSignals.load(ordering: .relaxed) > 0 { request() }
            isListening.store(false, ordering: .relaxed)
        }
        return try body()
    }
}

/// Termination signals since somebody began to listen. Global because a signal handler captures nothing.
private let terminationSignals = Atomic<Int>(0)
