import CoppiceInference
import CoppiceModels
import CoppiceServing
import Logging

/// A server on a free port for the length of a test.
struct RunningServer: Sendable {
    let server: CoppiceServer
    let port: Int

    func socket() throws -> Socket { try Socket(port: port) }

    /// Sends one request on a connection of its own.
    func request(
        _ method: String, _ path: String, headers: [String: String] = [:], body: [UInt8]? = nil
    ) async throws -> Reply {
        let port = port
        return try await onThread {
            let socket = try Socket(port: port)
            try socket.send(Self.head(method, path, headers, length: body?.count))
            if let body { try socket.send(body) }
            return try socket.readReply(hasBody: method != "HEAD")
        }
    }

    func get(_ path: String, headers: [String: String] = [:]) async throws -> Reply {
        try await request("GET", path, headers: headers)
    }

    func post(_ path: String, _ body: String, headers: [String: String] = [:]) async throws -> Reply {
        try await request("POST", path, headers: headers, body: Array(body.utf8))
    }

    static func head(_ method: String, _ path: String, _ headers: [String: String] = [:], length: Int?) -> String {
        var head = "\(method) \(path) HTTP/1.1\r\nHost: localhost\r\n"
        for (name, value) in headers { head += "\(name): \(value)\r\n" }
        if let length { head += "Content-Length: \(length)\r\n" }
        return head + "\r\n"
    }

    /// A whole request to generate.
    static func post(_ path: String, _ body: String) -> String {
        head("POST", path, length: body.utf8.count) + body
    }
}

/// Runs `body` against a server and shuts it down; what `run()` throws fails the test.
func withServer<Value: Sendable>(
    _ engines: [any TextEngine], configure: (inout ServerConfiguration) -> Void = { _ in },
    _ body: (RunningServer) async throws -> Value
) async throws -> Value {
    var configuration = ServerConfiguration()
    configuration.port = 0
    configuration.shutdownDeadline = .seconds(5)
    configure(&configuration)
    let server = try CoppiceServer(
        engines: engines, configuration: configuration, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    let run = Task { try await server.run() }
    do {
        let address = try await server.address()
        let value = try await body(RunningServer(server: server, port: address.port))
        server.shutDown()
        try await run.value
        return value
    } catch {
        server.shutDown()
        try? await run.value
        throw error
    }
}
