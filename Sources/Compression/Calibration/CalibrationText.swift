import CoppiceTensors
import Foundation

/// A text that calibration runs through the model.
public struct CalibrationText: Sendable, Hashable {
    public var text: String
    /// Where it comes from, for error messages.
    public var source: String

    public init(_ text: String, source: String = "calibration text") {
        self.text = text
        self.source = source
    }

    /// Texts are read whole; beyond this size a part does as well.
    static let largestSize = 256 << 20

    /// Reads a UTF-8 file.
    ///
    /// - Throws: `.noInput` when it cannot be read, `.badData` when it is empty, not text, or larger than 256 MiB.
    public static func load(_ path: String) throws -> CalibrationText {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), !isFolder.boolValue else {
            throw CoppiceError(
                .noInput, source: path, isFolder.boolValue ? "is a folder, expected a text file" : "does not exist")
        }
        let size = (try? FileManager.default.attributesOfItem(atPath: path)[.size] as? Int) ?? 0
        guard size <= largestSize else {
            throw CoppiceError(
                .badData, source: path, "is larger than \(largestSize >> 20) MiB; cut a part of it for calibration")
        }
        guard let data = FileManager.default.contents(atPath: path) else {
            throw CoppiceError(.noInput, source: path, "cannot be read")
        }
        guard let text = String(data: data, encoding: .utf8) else {
            throw CoppiceError(.badData, source: path, "is not UTF-8 text")
        }
        guard text.contains(where: { !$0.isWhitespace }) else {
            throw CoppiceError(.badData, source: path, "is empty, expected a calibration text")
        }
        return CalibrationText(text, source: path)
    }
}
