import CoppiceTensors
import Foundation

/// A file that appears under its name only when it is complete.
///
/// Bytes go to a hidden file beside the final name; ``commit()`` makes them durable and renames. Without a commit
/// (an error, a signal, a crash) the final name keeps what it held before, and the hidden file is removed: at once,
/// or by the next process that writes the same output.
///
/// ```swift
/// let file = try AtomicFile(at: "report.html")
/// try file.write(html)
/// try file.commit()
/// ```
public final class AtomicFile: @unchecked Sendable {
    /// The final path.
    public let path: String
    private let temporaryPath: String
    // Mutable state is guarded by `lock`.
    private let lock = NSLock()
    private var descriptor: Int32

    /// Opens the hidden file.
    ///
    /// - Throws: `.cannotCreate` when the folder does not exist or may not be written, or `path` is a folder.
    public init(at path: String) throws {
        self.path = path
        var status = stat()
        guard !PendingOutput.split(path).name.isEmpty else {
            throw CoppiceError(.cannotCreate, source: path, "is not the name of a file")
        }
        if stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
            throw CoppiceError(.cannotCreate, source: path, "is a folder, expected the name of a file")
        }
        PendingOutput.removeStale(besides: path)
        temporaryPath = PendingOutput.reserve(for: path)
        descriptor = open(temporaryPath, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        if descriptor < 0 {
            let code = errno
            PendingOutput.abandon(temporaryPath)
            throw CoppiceError.system(.cannotCreate, path, "cannot create", code: code)
        }
        _ = flock(descriptor, LOCK_EX | LOCK_NB)
    }

    deinit { if descriptor >= 0 { discard() } }

    /// Appends bytes.
    ///
    /// - Throws: `.inputOutput`, on a full disk for one.
    public func write(_ bytes: UnsafeRawBufferPointer) throws {
        lock.lock()
        defer { lock.unlock() }
        precondition(descriptor >= 0, "the file is closed")
        try writeAll(bytes, to: descriptor, path: path)
    }

    /// Appends bytes.
    public func write(_ bytes: [UInt8]) throws {
        try bytes.withUnsafeBytes { buffer throws in try write(buffer) }
    }

    /// Appends text as UTF-8.
    public func write(_ text: String) throws { try write(Array(text.utf8)) }

    /// Makes the bytes durable and gives the file its name, replacing an older file.
    ///
    /// - Throws: `.inputOutput`; the final name then keeps what it held.
    public func commit() throws {
        lock.lock()
        defer { lock.unlock() }
        precondition(descriptor >= 0, "the file is closed")
        do {
            guard fsync(descriptor) == 0 || errno == EINVAL else {
                throw CoppiceError.system(.inputOutput, path, "cannot write", code: errno)
            }
            try PendingOutput.complete(temporaryPath) { () throws in
                guard rename(temporaryPath, path) == 0 else {
                    throw CoppiceError.system(.inputOutput, path, "cannot rename into place", code: errno)
                }
            }
        } catch {
            close()
            PendingOutput.abandon(temporaryPath)
            throw error
        }
        close()
        synchronizeFolder(PendingOutput.split(path).folder.isEmpty ? "." : PendingOutput.split(path).folder)
    }

    /// Gives the file up. Safe to call more than once and after ``commit()``.
    public func discard() {
        lock.lock()
        defer { lock.unlock() }
        guard descriptor >= 0 else { return }
        close()
        PendingOutput.abandon(temporaryPath)
    }

    private func close() {
        Foundation.close(descriptor)
        descriptor = -1
    }

    /// Writes a whole file at once.
    public static func write(_ text: String, to path: String) throws {
        let file = try AtomicFile(at: path)
        try file.write(text)
        try file.commit()
    }
}
