import CoppiceModels
import CoppiceTensors
import Foundation

/// The text of one or more files, split into documents.
///
/// A document ends at a line that equals the separator, and at the end of a file; the separator line belongs to no
/// document. White space around a document is dropped, and empty documents with it.
public struct TrainingText: Sendable {
    /// The documents in the order of the files.
    public let documents: [String]
    /// UTF-8 bytes of all documents.
    public let byteCount: Int
    /// SHA-256 of the files' text, one after the other, in hexadecimal.
    public let digest: String
    /// The files, as they were named.
    public let files: [String]

    /// Splits text that is in memory.
    ///
    /// - Throws: `.badData` when there is no document.
    public init(_ text: String, separator: String, source: String = "text") throws {
        try self.init([(source, text)], separator: separator)
    }

    private init(_ texts: [(file: String, text: String)], separator: String) throws {
        var documents: [String] = []
        var hash = SHA256()
        for (file, var text) in texts {
            text.withUTF8 { hash.update(UnsafeRawBufferPointer($0)) }
            let found = Self.split(text, separator: separator)
            guard !found.isEmpty else {
                throw CoppiceError(.badData, source: file, "holds no text, expected at least one document")
            }
            documents += found
        }
        self.documents = documents
        byteCount = documents.reduce(0) { $0 + $1.utf8.count }
        digest = hash.finish()
        files = texts.map(\.file)
    }

    /// Reads files. Those whose names end in `.gz` or `.xz` are decompressed by the programs of that name.
    ///
    /// - Parameter folder: where relative paths are looked up that do not exist in the working folder.
    /// - Throws: `.noInput` when a file is missing, `.badData` when one is empty or not UTF-8.
    public static func load(_ paths: [String], separator: String, folder: String? = nil) throws -> TrainingText {
        try TrainingText(
            paths.map { path in
                let found = try locate(path, folder: folder)
                let bytes = try CompressedFile.read(found)
                guard !bytes.isEmpty else {
                    throw CoppiceError(.badData, source: path, "is empty, expected text")
                }
                guard let text = String(validating: bytes, as: UTF8.self) else {
                    throw CoppiceError(.badData, source: path, "is not UTF-8 text")
                }
                return (path, text)
            }, separator: separator)
    }

    /// The documents of a text. O(bytes).
    static func split(_ text: String, separator: String) -> [String] {
        var text = text
        return text.withUTF8 { bytes in
            let separator = Array(separator.utf8)
            var documents: [String] = []
            var documentStart = 0
            var lineStart = 0
            func close(at end: Int) {
                var (first, last) = (documentStart, end)
                while first < last, isSpace(bytes[first]) { first += 1 }
                while last > first, isSpace(bytes[last - 1]) { last -= 1 }
                if first < last { documents.append(String(decoding: bytes[first..<last], as: UTF8.self)) }
            }
            while lineStart < bytes.count {
                let lineEnd = bytes[lineStart...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
                var contentEnd = lineEnd
                while contentEnd > lineStart, isSpace(bytes[contentEnd - 1]) { contentEnd -= 1 }
                if bytes[lineStart..<contentEnd].elementsEqual(separator) {
                    close(at: lineStart)
                    documentStart = min(bytes.count, lineEnd + 1)
                }
                lineStart = lineEnd + 1
            }
            close(at: bytes.count)
            return documents
        }
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 32 || (9...13).contains(byte) }

    /// A regular file's path, looked up as ``DataPath`` does.
    private static func locate(_ path: String, folder: String?) throws -> String {
        let found = try DataPath.locate(path, folder: folder, expected: "a text file")
        var status = stat()
        let mode = stat(found, &status) == 0 ? status.st_mode & S_IFMT : 0
        guard mode != S_IFDIR else {
            throw CoppiceError(.noInput, source: found, "is a folder, expected a text file")
        }
        // A device or pipe may never end.
        guard mode == S_IFREG else {
            throw CoppiceError(.noInput, source: found, "is not a regular file, expected a text file")
        }
        return found
    }
}
