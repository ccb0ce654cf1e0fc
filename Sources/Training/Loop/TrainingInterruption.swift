import Dispatch
import Foundation
import Synchronization

/// A request to end a run after the present step, with a checkpoint.
public final class TrainingInterruption: Sendable {
    private let flag = Atomic<Bool>(false)

    public init() {}

    /// Asks for the end.
    public func request() { flag.store(true, ordering: .relaxed) }

    /// Whether the end was asked for.
    public var isRequested: Bool { flag.load(ordering: .relaxed) }

    /// From now on until ``Handlers/remove()``, the first SIGTERM, SIGINT or SIGHUP requests the end of the run; the
    /// next one ends the process at once.
    public func requestOnSignals() -> Handlers { Handlers(self) }

    /// Signal handlers that are in place.
    public final class Handlers: Sendable {
        private let sources: Mutex<[any DispatchSourceSignal]>

        fileprivate init(_ interruption: TrainingInterruption) {
            sources = Mutex([])
            for number in [SIGTERM, SIGINT, SIGHUP] {
                signal(number, SIG_IGN)
                sources.withLock { sources in
                    let source = DispatchSource.makeSignalSource(signal: number, queue: .global(qos: .userInitiated))
                    source.setEventHandler {
                        interruption.request()
                        signal(number, SIG_DFL)
                    }
                    source.resume()
                    sources.append(source)
                }
            }
        }

        /// Gives the signals back their default actions.
        public func remove() {
            sources.withLock { sources in
                for source in sources { source.cancel() }
                sources = []
            }
            for number in [SIGTERM, SIGINT, SIGHUP] { signal(number, SIG_DFL) }
        }

        deinit { remove() }
    }
}
