import ArgumentParser
import CoppiceInference
import CoppiceModels
import CoppiceServing
import CoppiceTensors
import Foundation
import Logging

/// `coppice serve`: answers over HTTP.
struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Answer over HTTP, by the protocol of OpenAI's API (see docs/server.md).",
        discussion: """
            With --mask, one dense model is served as several sparse ones beside it: requests choose by the name of the \
            mask. Matrices under a mask are kept sparse in memory, all others are there once.
            """)

    @OptionGroup var model: ModelArgument
    @Option(help: "The address to listen on.")
    var host = "127.0.0.1"
    @Option(help: "The port to listen on; 0 for any that is free.")
    var port = 8080
    @Option(help: ArgumentHelp("A file with one API key a line; without it everybody is answered.", valueName: "file"))
    var apiKeyFile: String?
    @Option(help: ArgumentHelp("The name that requests know the model by.", valueName: "name"))
    var modelName: String?
    @Option(
        name: .customLong("mask"),
        help: ArgumentHelp(
            "Serve the model under this mask too; its name is that of the file. May be given several times.",
            valueName: "file or name=file"))
    var masks: [ServedMask] = []
    @Option(help: ArgumentHelp("Requests that are computed together.", valueName: "n"))
    var parallel = 16
    @Option(help: ArgumentHelp("Requests that may wait for their turn.", valueName: "n"))
    var queue = 256
    @Flag(help: "Log every request on standard error.")
    var verbose = false
    @OptionGroup var execution: ExecutionArguments
    @OptionGroup var cache: CacheArguments
    @OptionGroup var visible: WindowArguments
    @OptionGroup var common: CommonOptions

    mutating func validate() throws {
        guard (0...65535).contains(port) else { throw ValidationError("--port: expected 0 to 65535, found \(port)") }
        guard parallel > 0, queue >= 0 else {
            throw ValidationError("--parallel: expected at least 1; --queue: at least 0")
        }
    }

    func run() async throws {
        common.apply()
        LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
        let checkpoint = try Checkpoint.open(model.path)
        let options = try execution.apply()
        var models = [(name: modelName ?? model.displayName, model: try LanguageModel(checkpoint, execution: options))]
        for mask in masks {
            models.append((mask.name, try LanguageModel(checkpoint, mask: mask.file, execution: options)))
        }
        let engines = try models.map { name, languageModel in
            try BatchEngine(
                languageModel, modelName: name, tokenizer: checkpoint.tokenizer(),
                chatTemplate: checkpoint.chatTemplate.map { try ChatTemplate($0) },
                limits: EngineLimits(runningRequests: parallel, waitingRequests: queue), cacheElement: cache.type,
                window: visible.streamingWindow(of: languageModel))
        }
        var configuration = ServerConfiguration()
        configuration.host = host
        configuration.port = port
        configuration.apiKeys = try apiKeyFile.map { try APIKeys(contentsOfFile: $0) }
        configuration.logsRequests = verbose
        let server = try CoppiceServer(engines: engines, configuration: configuration)
        let announcement = Task {
            let address = try await server.address()
            if common.json {
                try Output.json(
                    .object([
                        "host": .string(address.host), "port": .integer(address.port),
                        "model": .string(engines[0].modelName),
                        "models": .array(engines.map { .string($0.modelName) }),
                        "cache_type": .string(cache.type.rawValue),
                    ]))
            } else {
                try Output.line("serving \(engines.map(\.modelName).joined(separator: ", ")) at http://\(address)")
            }
        }
        try await server.runUntilSignal()
        announcement.cancel()
    }
}

/// A mask that a model is served under, by its name.
struct ServedMask: ExpressibleByArgument {
    var name: String
    var file: String

    /// `file`, known by its name without the extension, or `name=file`.
    init?(argument: String) {
        if let equals = argument.firstIndex(of: "="), !FileManager.default.fileExists(atPath: argument) {
            (name, file) = (String(argument[..<equals]), String(argument[argument.index(after: equals)...]))
        } else {
            file = argument
            name = URL(fileURLWithPath: argument).deletingPathExtension().lastPathComponent
        }
        if name.isEmpty || file.isEmpty { return nil }
    }
}
