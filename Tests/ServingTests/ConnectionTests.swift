import CoppiceInference
import CoppiceModels
import Foundation
import Testing

/// Clients that leave, stall, drip, flood or speak nonsense.
@Suite struct ConnectionTests {
    private static let endless: @Sendable (GenerationRequest) -> String = { _ in String(repeating: "a", count: 900) }

    @Test(arguments: [true, false], [1, 3])
    func aClientThatLeavesStopsItsSequences(streams: Bool, count: Int) async throws {
        let engine = ScriptedEngine(tokenDelay: .milliseconds(50), script: Self.endless)
        try await withServer([engine]) { server in
            let port = server.port
            try await onThread {
                let socket = try Socket(port: port)
                try socket.send(
                    RunningServer.post(
                        "/v1/completions", #"{"prompt": "a", "max_tokens": 900, "n": \#(count), "stream": \#(streams)}"#
                    ))
                if streams {
                    _ = try socket.read(through: "data: ")
                } else {
                    while engine.record.running < count { usleep(1000) }
                }
                socket.close()
            }
            #expect(await eventually { engine.record.running == 0 })
            #expect(engine.record.cancelled == count)
            // The server counts a sequence after the engine has let go of it.
            let line = "coppice_sequences_cancelled_total{model=\"scripted\"} \(count)\n"
            #expect(try await eventually { try await server.get("/metrics").text.contains(line) })
        }
    }

    @Test func aClientThatStopsReadingBlocksNobodyAndIsDropped() async throws {
        // Far more text than the kernel buffers between two sockets with small windows.
        let engine = ScriptedEngine(context: 200_000, script: { _ in String(repeating: "a", count: 150_000) })
        try await withServer([engine], configure: { $0.writeTimeout = .seconds(1) }) { server in
            let port = server.port
            let stalled = try await onThread { () -> UncheckedSocket in
                let socket = try Socket(port: port, receiveBuffer: 4096)
                try socket.send(
                    RunningServer.post("/v1/completions", #"{"prompt": "a", "max_tokens": 150000, "stream": true}"#))
                _ = try socket.read(through: "data: ")
                return UncheckedSocket(socket)
            }
            let other = try await server.post("/v1/completions", #"{"prompt": "a", "max_tokens": 3}"#)
            #expect(other.status == 200)
            // The engine is done at once; the answer is not, until the server gives it up.
            let line = "coppice_http_requests_in_flight 1\n"
            #expect(try await eventually { try await server.get("/metrics").text.contains(line) })
            let rest = try await onThread { stalled.socket.readToEnd() }
            #expect(!rest.contains("[DONE]"))
        }
    }

    @Test func manyClientsAreServedAtOnce() async throws {
        let engine = ScriptedEngine(
            tokenDelay: .milliseconds(20),
            script: { request in
                "answer to \(ByteTokenizer().decode(request.promptTokens, skippingSpecialTokens: true))"
            })
        try await withServer([engine]) { server in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for index in 0..<24 {
                    group.addTask {
                        let streams = index.isMultiple(of: 2)
                        let reply = try await server.post(
                            "/v1/completions", #"{"prompt": "\#(index)", "max_tokens": 50, "stream": \#(streams)}"#)
                        let text =
                            streams
                            ? try reply.chunks.compactMap { $0["choices"]?[0]?["text"]?.stringValue }.joined()
                            : try reply.json["choices"]?[0]?["text"]?.stringValue
                        #expect(text == "answer to \(index)")
                    }
                }
                try await group.waitForAll()
            }
        }
        #expect(engine.record.mostRunning > 8)
        #expect(engine.record.completed == 24)
    }

    @Test func streamsArriveAsTheyAreWritten() async throws {
        let engine = ScriptedEngine(tokenDelay: .milliseconds(100), script: Self.endless)
        try await withServer([engine]) { server in
            let port = server.port
            let tokens = try await onThread {
                let socket = try Socket(port: port)
                try socket.send(
                    RunningServer.post("/v1/completions", #"{"prompt": "a", "max_tokens": 900, "stream": true}"#))
                _ = try socket.read(through: "\"text\":\"a\"")
                return engine.record.tokens
            }
            #expect(tokens < 100)
        }
    }

    @Test func connectionsAreKept() async throws {
        try await withServer([ScriptedEngine()]) { server in
            let port = server.port
            let statuses = try await onThread {
                let socket = try Socket(port: port)
                var statuses: [Int] = []
                for path in ["/v1/completions", "/v1/nothing", "/v1/completions"] {
                    try socket.send(RunningServer.post(path, #"{"prompt": "a", "stream": true}"#))
                    statuses.append(try socket.readReply().status)
                }
                // Two at once, answered in order.
                let one = RunningServer.post("/v1/completions", #"{"prompt": "a"}"#)
                try socket.send(one + RunningServer.head("GET", "/health", length: nil) + one)
                for _ in 0..<3 { statuses.append(try socket.readReply().status) }
                return statuses
            }
            #expect(statuses == [200, 404, 200, 200, 200, 200])
        }
    }

    @Test func bodiesOverTheLimit() async throws {
        try await withServer([ScriptedEngine()], configure: { $0.maximumBodyBytes = 1000 }) { server in
            let prompt = #"{"prompt": "\#(String(repeating: "a", count: 980))"}"#
            #expect(prompt.utf8.count <= 1000)
            #expect(try await server.post("/v1/completions", prompt).status == 200)
            let declared = try await server.post("/v1/completions", prompt + String(repeating: " ", count: 100))
            #expect(declared.status == 413)
            #expect(declared.code == "body_too_large")
            #expect(declared.message == "the request body is larger than the limit of 1000 bytes")
            let port = server.port
            // In chunks, so that its size is not known, and without an end: the answer must come all the same.
            let (reply, rest) = try await onThread {
                let socket = try Socket(port: port)
                try socket.send("POST /v1/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                for _ in 0..<5 { try socket.send("100\r\n" + String(repeating: " ", count: 256) + "\r\n") }
                let reply = try socket.readReply()
                return (reply, socket.readToEnd())
            }
            #expect(reply.status == 413)
            #expect(reply.headers["connection"] == "close")
            #expect(rest.isEmpty)
        }
    }

    @Test func clientsThatAskFirstAreInvited() async throws {
        try await withServer([ScriptedEngine()], configure: { $0.maximumBodyBytes = 1000 }) { server in
            let port = server.port
            let invited = try await onThread {
                let socket = try Socket(port: port)
                let body = #"{"prompt": "a"}"#
                try socket.send(
                    RunningServer.head("POST", "/v1/completions", ["Expect": "100-continue"], length: body.utf8.count))
                _ = try socket.read(through: "100 Continue\r\n\r\n")
                try socket.send(body)
                return try socket.readReply()
            }
            #expect(invited.status == 200)
            let refused = try await onThread {
                let socket = try Socket(port: port)
                try socket.send(RunningServer.head("POST", "/v1/completions", ["Expect": "100-continue"], length: 5000))
                return try socket.readReply()
            }
            #expect(refused.status == 413)
            #expect(refused.informational == 0)
        }
    }

    @Test func slowRequestsAreCutOff() async throws {
        try await withServer(
            [ScriptedEngine()],
            configure: {
                $0.idleTimeout = .seconds(1)
                $0.bodyTimeout = .seconds(1)
            }
        ) { server in
            let port = server.port
            // A head that never ends, a body that never ends though it keeps coming, and no request at all.
            async let head = onThread {
                let socket = try Socket(port: port)
                try socket.send("POST /v1/completions HTTP/1.1\r\nHost: a\r\n")
                return socket.readToEnd()
            }
            async let body = onThread {
                let socket = try Socket(port: port)
                try socket.send(RunningServer.head("POST", "/v1/completions", length: 1000))
                for _ in 0..<40 {
                    do { try socket.send(" ") } catch { break }
                    usleep(100_000)
                }
                return socket.readToEnd()
            }
            async let nothing = onThread { try Socket(port: port).readToEnd() }
            let answers = try await [head, body, nothing]
            #expect(answers == ["", "", ""])
            #expect(try await server.get("/health").status == 200)
        }
    }

    @Test func connectionsAreLimited() async throws {
        try await withServer([ScriptedEngine()], configure: { $0.maximumConnections = 2 }) { server in
            let port = server.port
            let held = try await onThread {
                let sockets = [try Socket(port: port), try Socket(port: port)]
                for socket in sockets {
                    try socket.send(RunningServer.head("GET", "/health", length: nil))
                    _ = try socket.readReply()
                }
                return sockets.map(UncheckedSocket.init)
            }
            // The third waits until one of the two leaves.
            let waiting = Task { try await server.get("/health").status }
            try await Task.sleep(for: .milliseconds(300))
            held[0].close()
            #expect(try await waiting.value == 200)
            held[1].close()
        }
    }

    @Test func nonsenseIsRefused() async throws {
        try await withServer([ScriptedEngine()], configure: { $0.maximumHeaderBytes = 8000 }) { server in
            let port = server.port
            for text in [
                "nonsense\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}",
                "POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
                "POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n",
                "GET /health HTTP/1.1\r\nHost: a\r\nX: \(String(repeating: "a", count: 20_000))\r\n\r\n",
                "POST /v1/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                "POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\n{",
            ] {
                let answer = try await onThread {
                    let socket = try Socket(port: port)
                    try socket.send(text)
                    socket.closeWriting()
                    return socket.readToEnd()
                }
                #expect(answer.isEmpty || answer.hasPrefix("HTTP/1.1 4"), "\(text.prefix(80)) → \(answer)")
                #expect(answer.components(separatedBy: "HTTP/1.1 ").count <= 2, "one answer at most: \(answer)")
            }
            #expect(try await server.get("/health").status == 200)
        }
    }

    @Test func randomRequestsNeverBreakTheServer() async throws {
        let engine = ScriptedEngine(context: 64)
        try await withServer([engine]) { server in
            var random = SplitMix(state: 20_260_101)
            let seeds = [
                #"{"model": "scripted", "prompt": "a", "max_tokens": 5, "stream": true, "stop": ["x"], "n": 2}"#,
                #"{"messages": [{"role": "user", "content": [{"type": "text", "text": "é"}]}], "logprobs": true}"#,
                #"{"prompt": [[1, 2], [3]], "temperature": 0.5, "seed": 7, "best_of": 3, "logit_bias": {}}"#,
                #"{"tokens": [1, 2, 3]}"#,
            ]
            let paths = ["/v1/completions", "/v1/chat/completions", "/tokenize", "/detokenize"]
            for _ in 0..<400 {
                var body = Array(seeds[random.below(seeds.count)].utf8)
                for _ in 0..<random.below(4) {
                    let position = random.below(body.count)
                    switch random.below(5) {
                    case 0: body[position] = UInt8(random.below(256))
                    case 1: body.remove(at: position)
                    case 2: body.insert(contentsOf: Array("-1e999".utf8), at: position)
                    case 3: body.insert(contentsOf: body[..<position], at: position)
                    default: body.removeSubrange(position...)
                    }
                    if body.isEmpty { body = [123] }
                }
                let reply = try await server.request("POST", paths[random.below(paths.count)], body: body)
                #expect(
                    [200, 400, 404].contains(reply.status), "\(String(decoding: body, as: UTF8.self)): \(reply.text)")
                if reply.status != 200 { #expect(!reply.message.isEmpty && !reply.message.contains("\n")) }
            }
            #expect(await eventually { engine.record.running == 0 })
            let line = "coppice_http_requests_in_flight 1\n"
            #expect(try await eventually { try await server.get("/metrics").text.contains(line) })
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): a seed gives the same sequence everywhere.
struct SplitMix {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }

    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
}
