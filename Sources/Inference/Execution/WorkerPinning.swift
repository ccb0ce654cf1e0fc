import CKernels
import CoppiceTensors
import Foundation

/// Keeps each worker thread of the pool on a processor of its own: one for each but the first, which is for the thread
/// that computes beside them and stays free to move.
///
/// For machines that are used for nothing else, where the system's scheduler would move threads about. Results are the
/// same. Holds for the whole process.
public enum WorkerPinning {
    /// Pins the workers, and those that begin later.
    ///
    /// - Throws: `usage` where there are more threads than processors, `unavailable` where the system does not let threads
    ///   be pinned. Threads then run as before.
    public static func pin() throws {
        let failure = coppice_set_pinning(1)
        switch failure {
        case 0: return
        case EINVAL:
            throw CoppiceError(
                .usage, field: "pin", "\(coppice_thread_count()) threads cannot have a processor each: there are fewer")
        default:
            throw CoppiceError(
                .unavailable, field: "pin", "threads cannot be pinned here: \(String(cString: strerror(failure)))")
        }
    }

    /// Lets them move again.
    ///
    /// - Throws: `unavailable` where the system refuses.
    public static func unpin() throws {
        let failure = coppice_set_pinning(0)
        guard failure != 0 else { return }
        throw CoppiceError(
            .unavailable, field: "pin", "threads stay pinned: \(String(cString: strerror(failure)))")
    }
}
