import CoppiceTensors
import Foundation

extension CoppiceError {
    /// The error for a system call that failed: what was attempted and the system's own words for `errno`.
    static func system(_ kind: Kind, _ path: String, _ attempt: String, code: Int32) -> CoppiceError {
        CoppiceError(kind, source: path, "\(attempt): \(String(cString: strerror(code)))")
    }
}

/// Writes all bytes to an open file, however many calls that takes.
///
/// - Throws: `CoppiceError` of kind `.inputOutput` naming `path`, on a full disk for one.
package func writeAll(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32, path: String) throws {
    // Linux moves at most 2 GiB in one call; smaller pieces also keep dirty pages flowing to the disk.
    let largestPiece = 1 << 26
    var position = 0
    while position < bytes.count {
        guard let base = bytes.baseAddress else { return }
        let written = write(descriptor, base + position, min(bytes.count - position, largestPiece))
        if written < 0 {
            if errno == EINTR { continue }
            throw CoppiceError.system(.inputOutput, path, "cannot write", code: errno)
        }
        position += written
    }
}

/// Makes the entries of a folder durable. Best effort: some file systems refuse to synchronize folders.
func synchronizeFolder(_ path: String) {
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    _ = fsync(descriptor)
    close(descriptor)
}
