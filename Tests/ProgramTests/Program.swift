import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

/// The program as its users run it.
struct Program {
    /// What a run gave.
    struct Run {
        var status: Int32
        var output: String
        var errors: String

        /// Standard output as one JSON object.
        func json() throws -> JSON { try JSON(text: output, source: "standard output") }
    }

    /// The program beside the tests.
    static var url: URL {
        var folder = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
        while folder.path != "/", !FileManager.default.isExecutableFile(atPath: folder.path + "/coppice") {
            folder.deleteLastPathComponent()
        }
        return folder.appendingPathComponent("coppice")
    }

    /// The repository's root.
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    static func start(
        _ arguments: [String], output: Any? = nil, errors: Any? = nil, environment: [String: String] = [:]
    ) throws -> Process {
        let process = Process()
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.executableURL = url
        process.arguments = arguments
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output ?? FileHandle.nullDevice
        process.standardError = errors ?? FileHandle.nullDevice
        try process.run()
        return process
    }

    /// Starts a server on a port that is free, and waits until it says which. Who starts it terminates it.
    static func serve(_ arguments: [String]) async throws -> (process: Process, port: Int) {
        let folder = TemporaryFolder()
        let path = folder.path + "/out"
        FileManager.default.createFile(atPath: path, contents: nil)
        let process = try start(
            ["serve"] + arguments + ["--port", "0", "--json"], output: FileHandle(forWritingAtPath: path))
        for _ in 0..<200 {
            try await Task.sleep(for: .milliseconds(50))
            let text = try String(contentsOfFile: path, encoding: .utf8)
            if let port = text.firstMatch(of: /"port":([0-9]+)/).flatMap({ Int($0.1) }) { return (process, port) }
        }
        process.terminate()
        throw CoppiceError(.unavailable, source: "serve", "said no port within ten seconds")
    }

    static func run(_ arguments: String..., environment: [String: String] = [:]) throws -> Run {
        try run(arguments: arguments, environment: environment)
    }

    static func run(arguments: [String], environment: [String: String] = [:]) throws -> Run {
        let folder = TemporaryFolder()
        FileManager.default.createFile(atPath: folder.path + "/out", contents: nil)
        FileManager.default.createFile(atPath: folder.path + "/err", contents: nil)
        let process = try start(
            arguments, output: FileHandle(forWritingAtPath: folder.path + "/out"),
            errors: FileHandle(forWritingAtPath: folder.path + "/err"), environment: environment)
        process.waitUntilExit()
        return Run(
            status: process.terminationStatus,
            output: try String(contentsOfFile: folder.path + "/out", encoding: .utf8),
            errors: try String(contentsOfFile: folder.path + "/err", encoding: .utf8))
    }

    /// What the program says in JSON; it is expected to succeed.
    static func json(_ arguments: String..., sourceLocation: SourceLocation = #_sourceLocation) throws -> JSON {
        try json(arguments: arguments, sourceLocation: sourceLocation)
    }

    static func json(arguments: [String], sourceLocation: SourceLocation = #_sourceLocation) throws -> JSON {
        let run = try run(arguments: arguments + ["--json"])
        #expect(run.status == 0, "\(arguments): \(run.errors)", sourceLocation: sourceLocation)
        return try run.json()
    }

    /// Runs the program and expects it to fail with a status and one line that contains a text.
    static func expectFailure(
        _ status: Int32, _ text: String, _ arguments: [String], sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let folder = TemporaryFolder()
        FileManager.default.createFile(atPath: folder.path + "/err", contents: nil)
        let process = try start(arguments, errors: FileHandle(forWritingAtPath: folder.path + "/err"))
        process.waitUntilExit()
        let errors = try String(contentsOfFile: folder.path + "/err", encoding: .utf8)
        #expect(process.terminationStatus == status, "\(arguments): \(errors)", sourceLocation: sourceLocation)
        #expect(errors.contains(text), "\(arguments): \(errors)", sourceLocation: sourceLocation)
        if status != 64 {
            let lines = errors.split(separator: "\n").filter { $0.hasPrefix("coppice: ") }
            #expect(lines.count == 1, "\(errors)", sourceLocation: sourceLocation)
        }
    }
}

/// A folder that goes away with the last reference to it.
final class TemporaryFolder {
    let path = NSTemporaryDirectory() + "coppice-\(UUID().uuidString)"

    init() { try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// A small LeNet-300-100 of 23,920 weights that is not trained.
    func lenet(_ name: String, seed: UInt64 = 1) throws -> String {
        try VisionCheckpoint.write(
            VisionArchitecture(named: "lenet-300-100", widthMultiplier: 0.1).makeNetwork(seed: seed),
            folder: path + "/" + name)
        return path + "/" + name
    }

    /// A file with a text.
    func file(_ name: String, _ text: String) throws -> String {
        try text.write(toFile: path + "/" + name, atomically: true, encoding: .utf8)
        return path + "/" + name
    }
}
