import CoppiceModels
import CoppiceTensors
import Foundation

/// What the program prints: answers on standard output, everything else on standard error.
enum Output {
    /// Writes text without a line's end.
    static func write(_ text: String) throws {
        do {
            try FileHandle.standardOutput.write(contentsOf: Data(text.utf8))
        } catch {
            throw CoppiceError(.inputOutput, source: "standard output", "cannot be written")
        }
    }

    static func line(_ text: String) throws { try write(text + "\n") }

    /// One JSON object.
    static func json(_ value: JSON) throws { try line(value.serialized()) }

    /// Prints an error as one line and ends the program with its exit status.
    static func fail(_ error: CoppiceError) -> Never {
        try? FileHandle.standardError.write(contentsOf: Data("coppice: \(error)\n".utf8))
        exit(error.kind.exitStatus)
    }

    /// 1234567 as "1.23 MB".
    static func bytes(_ count: Int) -> String {
        let units = ["B", "kB", "MB", "GB", "TB"]
        var value = Double(count)
        var unit = 0
        while value >= 1000, unit < units.count - 1 { (value, unit) = (value / 1000, unit + 1) }
        return unit == 0 ? "\(count) B" : String(format: "%.2f %@", value, units[unit])
    }

    /// Finds out before any work whether a folder can be written.
    ///
    /// - Parameters:
    ///   - folder: nil where nothing is written.
    ///   - inputs: files and folders that the command reads.
    /// - Throws: as ``check(_:spares:)``; `.cannotCreate` where the folder cannot be written.
    static func check(folder: String?, spares inputs: String?...) throws {
        guard let folder else { return }
        for input in inputs { try check(folder, spares: input) }
        try OutputFolder(at: folder).discard()
    }

    /// - Throws: `.usage` where a file or folder that is to be written would take the place of an input.
    static func check(_ output: String, spares input: String?) throws {
        guard let input, OutputFolder.takesPlace(output, of: input) else { return }
        throw CoppiceError(
            .usage, field: "--output", "\(output) would take the place of \(input), which is read; name another")
    }

    static func number(_ value: Double, digits: Int = 2) -> String { String(format: "%.\(digits)f", value) }
}
