import Foundation

/// Real data sets that tests check when `COPPICE_DATA` names their folder.
enum ReferenceData {
    static let folder = ProcessInfo.processInfo.environment["COPPICE_DATA"]

    static func path(_ name: String) -> String { (folder ?? "") + "/" + name }

    static func text(_ name: String) throws -> String { try String(contentsOfFile: path(name), encoding: .utf8) }
}

/// The committed fixtures under `Tests/Fixtures/tokenizers`.
enum Fixtures {
    static func path(_ name: String, _ file: String = #filePath) -> String {
        let tests = URL(fileURLWithPath: file).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return tests.appendingPathComponent("Fixtures/tokenizers/" + name).path
    }

    static func bytes(_ name: String) throws -> [UInt8] {
        Array(try Data(contentsOf: URL(fileURLWithPath: path(name))))
    }

    static func text(_ name: String) throws -> String { try String(contentsOfFile: path(name), encoding: .utf8) }
}
