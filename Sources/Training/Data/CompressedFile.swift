import CoppiceTensors
import Foundation

/// The bytes of files that may be compressed.
enum CompressedFile {
    /// The endings of compressed files and the programs that decompress them.
    static let programs = [".gz": "gzip", ".xz": "xz"]

    /// A name without the ending that says how it is compressed.
    static func plainName(_ name: String) -> String {
        for ending in programs.keys where name.hasSuffix(ending) { return String(name.dropLast(ending.count)) }
        return name
    }

    /// Reads a file; those whose names end in `.gz` or `.xz` are decompressed by the programs of that name.
    ///
    /// - Parameter limit: more bytes than this are refused, so that a small compressed file cannot fill the memory.
    /// - Throws: `.noInput` when the file cannot be read or the program is missing, `.badData` when it is damaged, cut
    ///   off or larger than the limit.
    static func read(_ path: String, limit: Int = 1 << 36) throws -> Data {
        for (ending, program) in programs where path.hasSuffix(ending) {
            return try decompress(path, with: program, limit: limit)
        }
        do {
            let data = try Data(contentsOf: URL(fileURLWithPath: path), options: .mappedIfSafe)
            guard data.count <= limit else { throw tooLarge(path, limit) }
            return data
        } catch let error as CoppiceError {
            throw error
        } catch {
            throw CoppiceError(.noInput, source: path, "cannot be read")
        }
    }

    private static func decompress(_ path: String, with program: String, limit: Int) throws -> Data {
        guard let file = FileHandle(forReadingAtPath: path) else {
            throw CoppiceError(.noInput, source: path, "cannot be read")
        }
        defer { try? file.close() }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [program, "-dc"]
        process.standardInput = file
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        do {
            try process.run()
        } catch {
            throw CoppiceError(.noInput, source: path, "cannot run \(program) to decompress it")
        }
        var data = Data()
        while let part = try? output.fileHandleForReading.read(upToCount: 1 << 20), !part.isEmpty {
            data.append(part)
            guard data.count <= limit else {
                process.terminate()
                process.waitUntilExit()
                throw tooLarge(path, limit)
            }
        }
        process.waitUntilExit()
        switch process.terminationStatus {
        case 0: return data
        case 127: throw CoppiceError(.noInput, source: path, "\(program) is not installed, expected it for this file")
        default: throw CoppiceError(.badData, source: path, "\(program) cannot decompress it")
        }
    }

    private static func tooLarge(_ path: String, _ limit: Int) -> CoppiceError {
        CoppiceError(.badData, source: path, "holds more than \(limit) bytes, expected less")
    }
}
