import CoppiceTensors
import Foundation

/// Keeps a run's folder to one process: held while this object lives.
package final class RunLock {
    private let handle: FileHandle

    /// - Throws: `.cannotCreate` for a folder that cannot be written, or that another process holds.
    package init(_ folder: String) throws {
        let descriptor = open(folder + "/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else {
            throw CoppiceError(.cannotCreate, source: folder, "cannot write into the folder of the run")
        }
        handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            throw CoppiceError(.cannotCreate, source: folder, "is in use by another training process")
        }
    }
}
