import CoppiceInference
import CoppiceModels
import CoppiceServing
import CoppiceTensors
import Foundation
import ServiceLifecycle
import Testing

@Suite(.serialized) struct LifecycleTests {
    private static let endless: @Sendable (GenerationRequest) -> String = { _ in String(repeating: "a", count: 900) }

    /// Starts a stream and waits for its first token.
    private static func stream(_ port: Int, maximumTokens: Int) async throws -> UncheckedSocket {
        try await onThread {
            let socket = try Socket(port: port)
            try socket.send(
                RunningServer.post(
                    "/v1/completions", #"{"prompt": "a", "max_tokens": \#(maximumTokens), "stream": true}"#))
            _ = try socket.read(through: "data: ")
            return UncheckedSocket(socket)
        }
    }

    @Test func runningRequestsFinishWhenTheServerShutsDown() async throws {
        let engine = ScriptedEngine(tokenDelay: .milliseconds(20), script: Self.endless)
        try await withServer([engine]) { server in
            let port = server.port
            let socket = try await Self.stream(port, maximumTokens: 40)
            server.server.shutDown()
            // New connections are refused while the stream goes on to its end.
            var refused = false
            for _ in 0..<200 where !refused {
                refused = (try? await server.get("/health")) == nil
                if !refused { try await Task.sleep(for: .milliseconds(10)) }
            }
            #expect(refused)
            let rest = try await onThread { socket.socket.readToEnd() }
            #expect(rest.contains(#""finish_reason":"length""#))
            #expect(rest.contains("data: [DONE]"))
        }
        #expect(engine.record.tokens == 40)
        #expect(engine.record.isShutDown)
    }

    @Test func requestsThatTakeTooLongAreEndedWithAnError() async throws {
        let engine = ScriptedEngine(tokenDelay: .milliseconds(50), script: Self.endless)
        try await withServer([engine], configure: { $0.shutdownDeadline = .milliseconds(300) }) { server in
            let port = server.port
            let socket = try await Self.stream(port, maximumTokens: 900)
            async let whole = server.post("/v1/completions", #"{"prompt": "a", "max_tokens": 900}"#)
            #expect(await eventually { engine.record.running == 2 })
            server.server.shutDown()
            let rest = try await onThread { socket.socket.readToEnd() }
            #expect(rest.contains(#""code":"shutting_down""#))
            let reply = try await whole
            #expect(reply.status == 503)
            #expect(reply.code == "shutting_down")
        }
        #expect(engine.record.cancelled == 2)
    }

    @Test func loadBalancersCanSeeItComing() async throws {
        try await withServer([ScriptedEngine()], configure: { $0.drainDelay = .seconds(2) }) { server in
            #expect(try await server.get("/health").json["status"]?.stringValue == "ok")
            server.server.shutDown()
            server.server.shutDown()
            let health = try await server.get("/health")
            #expect(health.status == 503)
            #expect(health.headers["retry-after"] == "5")
            let work = try await server.post("/v1/completions", #"{"prompt": "a"}"#)
            #expect(work.status == 503)
            #expect(work.code == "shutting_down")
            #expect(try await server.get("/metrics").status == 200)
        }
    }

    @Test func stalledConnectionsDoNotHoldUpTheShutdown() async throws {
        try await withServer([ScriptedEngine()], configure: { $0.shutdownDeadline = .milliseconds(200) }) { server in
            let port = server.port
            let half = try await onThread { () -> UncheckedSocket in
                let socket = try Socket(port: port)
                try socket.send(RunningServer.head("POST", "/v1/completions", length: 1000) + "{")
                return UncheckedSocket(socket)
            }
            try await Task.sleep(for: .milliseconds(200))
            // `withServer` shuts down and waits: it would hang here.
            _ = half
        }
    }

    @Test func aPortInUseIsOneClearLine() async throws {
        try await withServer([ScriptedEngine()]) { server in
            var configuration = ServerConfiguration()
            configuration.port = server.port
            let second = try CoppiceServer(engines: [ScriptedEngine()], configuration: configuration)
            let error = await #expect(throws: CoppiceError.self) { try await second.run() }
            #expect(error?.kind == .unavailable)
            #expect(
                error?.description
                    == "127.0.0.1:\(server.port): the address is in use; choose another port, or 0 for any")
            await #expect(throws: CoppiceError.self) { try await second.address() }
        }
    }

    @Test func anUnknownHostIsOneClearLine() async throws {
        var configuration = ServerConfiguration()
        configuration.host = "no.such.host.invalid"
        let server = try CoppiceServer(engines: [ScriptedEngine()], configuration: configuration)
        let error = await #expect(throws: CoppiceError.self) { try await server.run() }
        #expect(error?.kind == .unavailable)
        #expect(error?.description.hasPrefix("no.such.host.invalid:8080: cannot listen") == true)
    }

    @Test func configurationsAreChecked() throws {
        var configuration = ServerConfiguration()
        configuration.port = 70_000
        let port = #expect(throws: CoppiceError.self) {
            try CoppiceServer(engines: [ScriptedEngine()], configuration: configuration)
        }
        #expect(port?.description == "server: port: expected 0…65535, found 70000")
        let none = #expect(throws: CoppiceError.self) { try CoppiceServer(engines: []) }
        #expect(none?.kind == .usage)
        let twice = #expect(throws: CoppiceError.self) {
            try CoppiceServer(engines: [ScriptedEngine(), ScriptedEngine()])
        }
        #expect(twice?.message == "two models have the name scripted")
    }

    @Test func aServerThatIsShutDownEarlyNeverServes() async throws {
        var configuration = ServerConfiguration()
        configuration.port = 0
        let server = try CoppiceServer(engines: [ScriptedEngine()], configuration: configuration)
        server.shutDown()
        try await server.run()
    }

    @Test func stopsWithItsServiceGroupAndWithItsTask() async throws {
        for cancels in [false, true] {
            let engine = ScriptedEngine()
            var configuration = ServerConfiguration()
            configuration.port = 0
            let server = try CoppiceServer(engines: [engine], configuration: configuration)
            let group = ServiceGroup(
                configuration: .init(
                    services: [.init(service: server, successTerminationBehavior: .gracefullyShutdownGroup)],
                    logger: .init(label: "test")))
            let run = Task { try await group.run() }
            #expect(try await server.address().port > 0)
            if cancels { run.cancel() } else { await group.triggerGracefulShutdown() }
            _ = await run.result
            #expect(engine.record.isShutDown)
        }
    }

    @Test(arguments: [SIGTERM, SIGINT])
    func stopsOnASignal(signal: Int32) async throws {
        let engine = ScriptedEngine(tokenDelay: .milliseconds(10), script: Self.endless)
        var configuration = ServerConfiguration()
        configuration.port = 0
        let server = try CoppiceServer(engines: [engine], configuration: configuration)
        let run = Task { try await server.runUntilSignal() }
        let socket = try await Self.stream(try await server.address().port, maximumTokens: 30)
        kill(getpid(), signal)
        let rest = try await onThread { socket.socket.readToEnd() }
        #expect(rest.contains("data: [DONE]"))
        try await run.value
        #expect(engine.record.isShutDown)
        #expect(engine.record.completed == 1)
    }
}
