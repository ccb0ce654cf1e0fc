import CoppiceTensors
import Foundation

/// A folder of results that appears under its name only when it is complete.
///
/// Files are written into a hidden folder beside the final name; ``commit()`` makes them durable and swaps the
/// folder into place in one step. Without a commit (an error, a signal, a crash) the final name keeps what it held
/// before. A folder that Coppice wrote earlier is replaced; any other folder is not touched unless it is empty.
///
/// ```swift
/// let folder = try OutputFolder(at: "tales-int4")
/// try report.write(to: folder.path(for: "report.json"))
/// try folder.commit()
/// ```
public final class OutputFolder: @unchecked Sendable {
    /// The final path, without a slash at its end.
    public let path: String
    /// The hidden folder that files are written into until the commit.
    public let temporaryPath: String
    // Mutable state is guarded by `lock`.
    private let lock = NSLock()
    private var descriptor: Int32
    private var createdParents: [String]

    /// The file that marks a folder as written by Coppice and lists what was written.
    static let markerName = ".coppice-output"

    /// Creates the hidden folder, and the parents of `path` where they are missing.
    ///
    /// - Throws: `.cannotCreate` when `path` is a file, a folder with content that Coppice did not write, or cannot
    ///   be created.
    public init(at path: String) throws {
        let (parent, name) = PendingOutput.split(path)
        guard !name.isEmpty, name != ".", name != ".." else {
            throw CoppiceError(
                .cannotCreate, source: path.isEmpty ? "\"\"" : path, "is not the name of an output folder")
        }
        self.path = parent + name
        try Self.checkReplaceable(self.path)
        createdParents = try Self.createParents(parent)
        PendingOutput.removeStale(besides: self.path)
        temporaryPath = PendingOutput.reserve(for: self.path)
        guard mkdir(temporaryPath, 0o777) == 0 else {
            let code = errno
            PendingOutput.abandon(temporaryPath)
            for folder in createdParents.reversed() { rmdir(folder) }
            throw CoppiceError.system(.cannotCreate, path, "cannot create", code: code)
        }
        descriptor = open(temporaryPath, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if descriptor >= 0 { _ = flock(descriptor, LOCK_EX | LOCK_NB) }
    }

    deinit { discard() }

    /// Where to write a file or subfolder of the result.
    ///
    /// - Precondition: `name` is relative.
    public func path(for name: String) -> String {
        precondition(!name.isEmpty && !name.hasPrefix("/"), "\(name) is not a relative path")
        return temporaryPath + "/" + name
    }

    /// Makes everything durable and swaps the folder into place, removing the older result.
    ///
    /// - Throws: `.inputOutput`, or `.cannotCreate` when something that Coppice did not write has appeared under the
    ///   final name meanwhile; the final name then keeps what it held.
    public func commit() throws {
        lock.lock()
        defer { lock.unlock() }
        precondition(descriptor >= 0, "the folder is already committed or discarded")
        try Self.checkReplaceable(path)
        let entries = (try? FileManager.default.contentsOfDirectory(atPath: temporaryPath)) ?? []
        try AtomicFile.write(
            entries.sorted().joined(separator: "\n") + "\n", to: path(for: Self.markerName))
        try synchronizeTree(temporaryPath)
        try PendingOutput.complete(temporaryPath) { () throws in try moveIntoPlace() }
        Foundation.close(descriptor)
        descriptor = -1
        createdParents = []
        let parent = PendingOutput.split(path).folder
        synchronizeFolder(parent.isEmpty ? "." : parent)
    }

    /// Gives the folder up. Safe to call more than once and after ``commit()``.
    public func discard() {
        lock.lock()
        defer { lock.unlock() }
        guard descriptor >= 0 else { return }
        Foundation.close(descriptor)
        descriptor = -1
        PendingOutput.abandon(temporaryPath)
        // A parent that has content by now stays: rmdir refuses.
        for folder in createdParents.reversed() { rmdir(folder) }
    }

    /// Adds a file to a folder that was committed earlier, or replaces one of it; the folder still counts as written by
    /// Coppice.
    ///
    /// - Throws: `.cannotCreate`, `.inputOutput`.
    public static func add(_ text: String, as name: String, to folder: String) throws {
        try AtomicFile.write(text, to: folder + "/" + name)
        let marker = folder + "/" + markerName
        guard let data = FileManager.default.contents(atPath: marker) else { return }
        let entries = Set(String(decoding: data, as: UTF8.self).split(separator: "\n").map(String.init) + [name])
        try AtomicFile.write(entries.sorted().joined(separator: "\n") + "\n", to: marker)
    }

    /// Whether a folder that is written at `path` takes the place of a file or folder that is there: of one that lies
    /// in it, or that it is itself.
    public static func takesPlace(_ path: String, of input: String) -> Bool {
        guard let folder = resolved(path), let input = resolved(input) else { return false }
        return input == folder || input.hasPrefix(folder + "/")
    }

    /// Without links; nil where nothing is there.
    private static func resolved(_ path: String) -> String? {
        guard let pointer = realpath(path, nil) else { return nil }
        defer { free(pointer) }
        return String(cString: pointer)
    }

    private func moveIntoPlace() throws {
        var status = stat()
        guard lstat(path, &status) == 0 else {
            guard rename(temporaryPath, path) == 0 else {
                throw CoppiceError.system(.inputOutput, path, "cannot rename into place", code: errno)
            }
            return
        }
        // An empty folder is replaced by rename itself; a full one is exchanged, so that there is no moment at
        // which neither the old nor the new result has the name.
        if rename(temporaryPath, path) == 0 { return }
        if !exchange(temporaryPath, path) {
            let older = PendingOutput.reserve(for: path)
            guard rename(path, older) == 0, rename(temporaryPath, path) == 0 else {
                let code = errno
                if rename(older, path) == 0 { PendingOutput.abandon(older) }
                throw CoppiceError.system(.inputOutput, path, "cannot rename into place", code: code)
            }
            try? FileManager.default.removeItem(atPath: older)
            return
        }
        try? FileManager.default.removeItem(atPath: temporaryPath)
    }

    /// Throws unless `path` is free, an empty folder, or a folder whose content Coppice wrote.
    private static func checkReplaceable(_ path: String) throws {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            throw CoppiceError(.cannotCreate, source: path, "exists and is not a folder")
        }
        guard let entries = try? FileManager.default.contentsOfDirectory(atPath: path) else {
            throw CoppiceError(.cannotCreate, source: path, "cannot be read")
        }
        if entries.isEmpty { return }
        guard let marker = FileManager.default.contents(atPath: path + "/" + markerName) else {
            throw CoppiceError(
                .cannotCreate, source: path,
                "exists and was not written by Coppice; name a new or empty folder")
        }
        let written = Set(String(decoding: marker, as: UTF8.self).split(separator: "\n").map(String.init))
        if let foreign = entries.filter({ $0 != markerName && !written.contains($0) }).min() {
            throw CoppiceError(
                .cannotCreate, source: path,
                "holds \(foreign), which Coppice did not write; move it away or name another folder")
        }
    }

    private static func createParents(_ parent: String) throws -> [String] {
        guard !parent.isEmpty else { return [] }
        var created: [String] = []
        var prefix = parent.hasPrefix("/") ? "/" : ""
        for component in parent.split(separator: "/") {
            prefix += component + "/"
            if mkdir(prefix, 0o777) == 0 {
                created.append(prefix)
            } else if errno != EEXIST && errno != EISDIR {
                var status = stat()
                let code = errno
                if stat(prefix, &status) == 0 { continue }
                for folder in created.reversed() { rmdir(folder) }
                throw CoppiceError.system(.cannotCreate, prefix, "cannot create", code: code)
            }
        }
        return created
    }
}

/// Makes all files under a folder durable.
private func synchronizeTree(_ folder: String) throws {
    guard let enumerator = FileManager.default.enumerator(atPath: folder) else { return }
    var folders = [folder]
    while let entry = enumerator.nextObject() as? String {
        let path = folder + "/" + entry
        var status = stat()
        guard lstat(path, &status) == 0 else { continue }
        if status.st_mode & S_IFMT == S_IFDIR { folders.append(path) }
        guard status.st_mode & S_IFMT == S_IFREG else { continue }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { continue }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 || errno == EINVAL else {
            throw CoppiceError.system(.inputOutput, path, "cannot write", code: errno)
        }
    }
    for folder in folders.reversed() { synchronizeFolder(folder) }
}

/// Exchanges two paths in one step. False where the system or file system cannot.
private func exchange(_ first: String, _ second: String) -> Bool {
    // The C library's declaration is not visible to Swift, and old or small C libraries lack the function.
    typealias RenameAt2 = @convention(c) (Int32, UnsafePointer<CChar>, Int32, UnsafePointer<CChar>, UInt32) -> Int32
    guard let symbol = dlsym(nil, "renameat2") else { return false }
    let exchangeFlag: UInt32 = 2
    return unsafeBitCast(symbol, to: RenameAt2.self)(AT_FDCWD, first, AT_FDCWD, second, exchangeFlag) == 0
}
