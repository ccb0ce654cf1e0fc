import CoppiceTensors
import Foundation

/// The temporary files and folders that unfinished outputs of this process live under.
///
/// An output is written under a hidden name beside its final one. The name carries the process number and the file
/// or folder is locked while its writer lives, so a later process can tell an abandoned one (its writer was killed)
/// from one that is still being written, on the same machine or in another container on a shared volume.
package enum PendingOutput {
    private static let registry = Registry()

    /// Set of live temporary paths. A lock, not an actor: signal handling and `deinit` need it synchronously.
    private final class Registry: @unchecked Sendable {
        let lock = NSLock()
        var paths: Set<String> = []
        var serial = 0
        var isClosed = false
        var signals: TerminationSignals?
    }

    private static let marker = ".coppice-"

    /// A new hidden name beside `path` for an output that is being written, registered for removal.
    static func reserve(for path: String) -> String {
        let (folder, name) = split(path)
        return registry.lock.withLock {
            registry.serial += 1
            let temporary = folder + ".\(name)\(marker)\(getpid())-\(registry.serial)"
            registry.paths.insert(temporary)
            return temporary
        }
    }

    /// Ends an output: `finish` moves it to its final name. Not interrupted by ``removeAll()``.
    ///
    /// - Throws: what `finish` throws; `.inputOutput` when the process is terminating.
    static func complete(_ temporary: String, _ finish: () throws -> Void) throws {
        registry.lock.lock()
        defer { registry.lock.unlock() }
        guard !registry.isClosed else {
            throw CoppiceError(.inputOutput, source: temporary, "interrupted")
        }
        try finish()
        registry.paths.remove(temporary)
    }

    /// Removes an output that is given up.
    static func abandon(_ temporary: String) {
        removeTree(temporary)
        _ = registry.lock.withLock { registry.paths.remove(temporary) }
    }

    /// Removes every unfinished output of this process; none can be completed afterwards.
    static func removeAll() {
        registry.lock.lock()
        defer { registry.lock.unlock() }
        registry.isClosed = true
        for path in registry.paths { removeTree(path) }
        registry.paths.removeAll()
    }

    /// From now on SIGINT, SIGTERM and SIGHUP remove unfinished outputs before they end the process, which then
    /// ends by that signal as its parent expects. For commands that write files; a server handles signals itself.
    package static func removeOnTermination() {
        registry.lock.withLock {
            guard registry.signals == nil else { return }
            registry.signals = TerminationSignals { number in
                removeAll()
                TerminationSignals.endProcess(by: number)
            }
        }
    }

    /// Removes what dead processes left unfinished beside `path` for the same output.
    static func removeStale(besides path: String) {
        let (folder, name) = split(path)
        let prefix = ".\(name)\(marker)"
        let entries = (try? FileManager.default.contentsOfDirectory(atPath: folder.isEmpty ? "." : folder)) ?? []
        for entry in entries where entry.hasPrefix(prefix) {
            let numbers = entry.dropFirst(prefix.count).split(separator: "-")
            guard numbers.count == 2, let process = pid_t(numbers[0]), Int(numbers[1]) != nil else { continue }
            guard !isLive(folder + entry, process) else { continue }
            let descriptor = open(folder + entry, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
            guard descriptor >= 0 else { continue }
            defer { close(descriptor) }
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { removeTree(folder + entry) }
        }
    }

    /// Whether the writer of a pending output is running, as far as its process number tells. The number may have been
    /// taken again, or belong to another container: past the moment between creation and locking, the lock decides.
    private static func isLive(_ path: String, _ process: pid_t) -> Bool {
        if process == getpid() { return registry.lock.withLock { registry.paths.contains(path) } }
        if kill(process, 0) != 0, errno == ESRCH { return false }
        var status = stat()
        let lockingTakesAtMost = 60
        return lstat(path, &status) != 0 || time(nil) - status.st_ctim.tv_sec < lockingTakesAtMost
    }

    /// The folder part of a path with its final slash (empty for the working folder), and the last component.
    static func split(_ path: String) -> (folder: String, name: String) {
        var trimmed = Substring(path)
        while trimmed.count > 1, trimmed.hasSuffix("/") { trimmed.removeLast() }
        guard let slash = trimmed.lastIndex(of: "/") else { return ("", String(trimmed)) }
        return (String(trimmed[...slash]), String(trimmed[trimmed.index(after: slash)...]))
    }

    private static func removeTree(_ path: String) {
        try? FileManager.default.removeItem(atPath: path)
    }
}
