import CoppiceTensors
import Foundation

/// Where a recipe's texts and images are.
enum DataPath {
    /// The path itself where it exists or is absolute, else the one in a folder of data.
    ///
    /// - Parameter expected: what should be there, for the error message.
    /// - Throws: `.noInput` where there is neither.
    static func locate(_ path: String, folder: String?, expected: String) throws -> String {
        let candidates = path.hasPrefix("/") ? [path] : [path] + (folder.map { [$0 + "/" + path] } ?? [])
        if let found = candidates.first(where: FileManager.default.fileExists) { return found }
        let place = folder.map { " (nor in \($0))" } ?? ""
        throw CoppiceError(.noInput, source: path, "no such file or folder\(place), expected \(expected)")
    }
}
