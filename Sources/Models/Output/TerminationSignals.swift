import Foundation
import Synchronization

/// Tells of SIGINT, SIGTERM and SIGHUP on a thread of its own, instead of ending the process, for as long as it is asked
/// to.
///
/// The thread that asks, and the workers of the thread pool, do not take these signals: a handler runs on the stack of
/// the thread that it interrupts, and a matrix product of oneDNN has its stack pointer in a block of the heap while it
/// runs (seen with 2.6), where a handler's frame overwrites what lies beside the block.
package final class TerminationSignals: @unchecked Sendable {
    private static let numbers = [SIGINT, SIGTERM, SIGHUP]

    // Written by `init` and `stop` alone.
    private var earlierActions: [sigaction] = []
    private var earlierMask = sigset_t()
    private var earlierPipe: Int32 = -1
    private var pipeEnds: [Int32] = [-1, -1]

    /// - Parameter notify: called with a signal's number, one call at a time.
    package init(_ notify: @escaping @Sendable (_ number: Int32) -> Void) {
        guard pipe(&pipeEnds) == 0 else { return }
        for end in pipeEnds { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        earlierPipe = signalPipe.exchange(pipeEnds[1], ordering: .sequentiallyConsistent)
        let readEnd = pipeEnds[0]
        let thread = Thread {
            Self.setTaken(SIG_UNBLOCK)
            var number: UInt8 = 0
            while read(readEnd, &number, 1) == 1 { notify(Int32(number)) }
            close(readEnd)
        }
        thread.name = "coppice.signals"
        thread.start()
        for number in Self.numbers {
            var action = sigaction()
            // Only what a handler may do.
            action.__sigaction_handler.sa_handler = { number in
                var byte = UInt8(truncatingIfNeeded: number)
                let earlierError = errno
                _ = write(signalPipe.load(ordering: .relaxed), &byte, 1)
                errno = earlierError
            }
            action.sa_flags = SA_RESTART
            var earlier = sigaction()
            sigaction(number, &action, &earlier)
            earlierActions.append(earlier)
        }
        earlierMask = Self.setTaken(SIG_BLOCK)
    }

    /// Signals do again what they did before. To be called on the thread that asked.
    package func stop() {
        guard !earlierActions.isEmpty else { return }
        for (number, action) in zip(Self.numbers, earlierActions) {
            var action = action
            sigaction(number, &action, nil)
        }
        earlierActions = []
        pthread_sigmask(SIG_SETMASK, &earlierMask, nil)
        signalPipe.store(earlierPipe, ordering: .sequentiallyConsistent)
        close(pipeEnds[1])
    }

    /// Ends the process by a signal, as its parent expects.
    package static func endProcess(by number: Int32) -> Never {
        signal(number, SIG_DFL)
        setTaken(SIG_UNBLOCK)
        raise(number)
        exit(128 + number)
    }

    /// Blocks or unblocks the signals for the calling thread.
    ///
    /// - Returns: the thread's mask before.
    @discardableResult
    private static func setTaken(_ how: some BinaryInteger) -> sigset_t {
        var (set, earlier) = (sigset_t(), sigset_t())
        sigemptyset(&set)
        for number in numbers { sigaddset(&set, number) }
        pthread_sigmask(Int32(how), &set, &earlier)
        return earlier
    }
}

/// Where the handler writes a signal's number. Global because a handler captures nothing.
private let signalPipe = Atomic<Int32>(-1)
