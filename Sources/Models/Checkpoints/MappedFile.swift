import CoppiceTensors
import Foundation

/// A file mapped into memory for reading: its pages are loaded when touched and dropped when memory is short.
public final class MappedFile: @unchecked Sendable {
    public let path: String
    public let byteCount: Int
    /// The first byte; not to be read when the file is empty.
    public let pointer: UnsafeRawPointer

    /// Maps a file. O(1) in its size.
    ///
    /// - Throws: `.noInput` when there is no such file or it may not be read, `.badData` when it is a folder,
    ///   `.inputOutput` when it cannot be mapped.
    public init(path: String) throws {
        self.path = path
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw CoppiceError.system(.noInput, path, "cannot open", code: errno) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw CoppiceError.system(.noInput, path, "cannot open", code: errno)
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw CoppiceError(.badData, source: path, "is not a regular file")
        }
        byteCount = Int(status.st_size)
        guard byteCount > 0 else {
            pointer = UnsafeRawPointer(Self.addressOfNothing)
            return
        }
        guard let address = mmap(nil, byteCount, PROT_READ, MAP_PRIVATE, descriptor, 0), address != MAP_FAILED else {
            throw CoppiceError.system(.inputOutput, path, "cannot map into memory", code: errno)
        }
        pointer = UnsafeRawPointer(address)
    }

    deinit { if byteCount > 0 { munmap(UnsafeMutableRawPointer(mutating: pointer), byteCount) } }

    /// Gives back the memory of pages that were read; they are read again when touched. O(1) a page.
    func releasePages(_ bytes: Range<Int>) {
        let page = Int(getpagesize())
        let first = bytes.lowerBound / page * page
        guard byteCount > 0, first < bytes.upperBound else { return }
        _ = madvise(UnsafeMutableRawPointer(mutating: pointer + first), bytes.upperBound - first, MADV_DONTNEED)
    }

    /// Calls `body` with the whole content.
    public func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try withExtendedLifetime(self) { try body(UnsafeRawBufferPointer(start: pointer, count: byteCount)) }
    }

    /// The whole content of a small file.
    ///
    /// - Throws: as ``init(path:)``.
    public static func contents(_ path: String) throws -> [UInt8] {
        try MappedFile(path: path).withBytes { Array($0) }
    }

    /// Something to point at when there is nothing to map.
    nonisolated(unsafe) private static let addressOfNothing = UnsafeMutableRawPointer.allocate(
        byteCount: 8, alignment: 8)
}

extension Tensor {
    /// Gives back the memory of the mapped file's pages that a view of one has read; nothing for other tensors.
    func releaseMappedPages() {
        guard let file = storage.owner as? MappedFile else { return }
        let start = UnsafeRawPointer(storage.pointer) - file.pointer
        file.releasePages(start..<(start + storage.byteCount))
    }
}
