import CoppiceInference
import CoppiceModels
import CoppiceServing
import Testing

/// Requests that cannot be served, and what the client is told.
@Suite struct ErrorTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var body: String
        var parameter: String?
        var message: String
        var testDescription: String { body }

        init(_ body: String, _ parameter: String?, _ message: String) {
            self.body = body
            self.parameter = parameter
            self.message = message
        }
    }

    static let completions = [
        Case("", nil, "the body is empty; expected a JSON object"),
        Case("[1]", nil, "expected a JSON object, found an array"),
        Case("{}", "prompt", "prompt: required"),
        Case(#"{"prompt": null}"#, "prompt", "prompt: required"),
        Case(
            #"{"prompt": 3}"#, "prompt",
            "prompt: expected a string, an array of strings, or an array of token ids, found the number 3"),
        Case(#"{"prompt": []}"#, "prompt", "prompt: must not be empty"),
        Case(#"{"prompt": ["a", 1]}"#, "prompt[1]", "prompt[1]: expected a string, found the number 1"),
        Case(#"{"prompt": [1, "a"]}"#, "prompt[1]", "prompt[1]: expected a token id, found a string"),
        Case(#"{"prompt": [-1]}"#, "prompt[0]", "prompt[0]: expected a token id, found the number -1"),
        Case(#"{"prompt": [1.5]}"#, "prompt[0]", "prompt[0]: expected a token id, found the number 1.5"),
        Case(
            #"{"prompt": [[1], []]}"#, "prompt[1]",
            "prompt[1]: must not be empty: this model has no token that begins a text"),
        Case(
            #"{"prompt": [[1], 2]}"#, "prompt[1]",
            "prompt[1]: expected a string or an array of token ids, found the number 2"),
        Case(#"{"prompt": [[1], [258]]}"#, "prompt[1][0]", "prompt[1][0]: expected a token id below 258, found 258"),
        Case(
            #"{"prompt": [{}]}"#, "prompt[0]",
            "prompt[0]: expected a string or an array of token ids, found an object"),
        Case(#"{"prompt": "a", "model": 1}"#, "model", "model: expected a string, found the number 1"),
        Case(#"{"prompt": "a", "max_tokens": -5}"#, "max_tokens", "max_tokens: expected at least 0, found -5"),
        Case(#"{"prompt": "a", "max_tokens": "5"}"#, "max_tokens", "max_tokens: expected an integer, found a string"),
        Case(
            #"{"prompt": "a", "max_tokens": 1.5}"#, "max_tokens",
            "max_tokens: expected an integer, found the number 1.5"),
        Case(
            #"{"prompt": "a", "max_tokens": 1e300}"#, "max_tokens",
            "max_tokens: expected an integer, found the number 1e+300"),
        Case(#"{"prompt": "a", "n": 1000000000}"#, "n", "n: expected an integer from 1 to 64, found 1000000000"),
        Case(#"{"prompt": "a", "n": 0}"#, "n", "n: expected an integer from 1 to 64, found 0"),
        Case(#"{"prompt": "a", "n": 3, "best_of": 2}"#, "best_of", "best_of: expected at least n = 3, found 2"),
        Case(
            #"{"prompt": "a", "best_of": 2, "stream": true}"#, "best_of",
            "best_of: cannot be streamed, as the best is only known at the end"),
        Case(
            #"{"prompt": ["a", "b", "c"], "n": 32}"#, "prompt",
            "prompt: 3 prompts × 32 sequences are more than the limit of 64"),
        Case(
            #"{"prompt": "a", "temperature": 2.5}"#, "temperature",
            "temperature: expected a number from 0.0 to 2.0, found 2.5"),
        Case(
            #"{"prompt": "a", "temperature": true}"#, "temperature", "temperature: expected a number, found a boolean"),
        Case(#"{"prompt": "a", "top_p": -0.1}"#, "top_p", "top_p: expected a number from 0.0 to 1.0, found -0.1"),
        Case(#"{"prompt": "a", "top_k": -2}"#, "top_k", "top_k: expected at least -1, found -2"),
        Case(#"{"prompt": "a", "min_p": 2}"#, "min_p", "min_p: expected a number from 0.0 to 1.0, found 2.0"),
        Case(
            #"{"prompt": "a", "frequency_penalty": 3}"#, "frequency_penalty",
            "frequency_penalty: expected a number from -2.0 to 2.0, found 3.0"),
        Case(
            #"{"prompt": "a", "repetition_penalty": 0}"#, "repetition_penalty",
            "repetition_penalty: expected a number from 0.01 to 100.0, found 0.0"),
        Case(#"{"prompt": "a", "seed": "x"}"#, "seed", "seed: expected an integer, found a string"),
        Case(
            #"{"prompt": "a", "stop": 1}"#, "stop", "stop: expected a string or an array of strings, found the number 1"
        ),
        Case(#"{"prompt": "a", "stop": ""}"#, "stop", "stop: must not be empty"),
        Case(
            #"{"prompt": "a", "stop": ["a", ""]}"#, "stop[1]",
            "stop[1]: expected a string that is not empty, found an empty one"),
        Case(
            #"{"prompt": "a", "stop": ["","","","","","","","","","","","","","","","",""]}"#, "stop",
            "stop: expected at most 16 strings, found 17"),
        Case(#"{"prompt": "a", "echo": 1}"#, "echo", "echo: expected true or false, found the number 1"),
        Case(#"{"prompt": "a", "stream": "yes"}"#, "stream", "stream: expected true or false, found a string"),
        Case(
            #"{"prompt": "a", "stream_options": {}}"#, "stream_options",
            "stream_options: only allowed with stream: true"),
        Case(
            #"{"prompt": "a", "stream": true, "stream_options": {"include_usage": 1}}"#, "stream_options.include_usage",
            "stream_options.include_usage: expected true or false, found the number 1"),
        Case(#"{"prompt": "a", "logprobs": 21}"#, "logprobs", "logprobs: expected an integer from 0 to 20, found 21"),
        Case(
            #"{"prompt": "a", "logprobs": 1, "echo": true}"#, "logprobs", "logprobs: not supported together with echo"),
        Case(#"{"prompt": "a", "logit_bias": {"5": 1}}"#, "logit_bias", "logit_bias: not supported"),
        Case(
            #"{"prompt": "a", "suffix": "b"}"#, "suffix",
            "suffix: not supported: the models served here continue text, they do not fill it in"),
    ]

    @Test func completionsNameTheField() async throws {
        let engine = ScriptedEngine()
        try await withServer([engine]) { server in
            for wrong in Self.completions {
                let reply = try await server.post("/v1/completions", wrong.body)
                #expect(reply.status == 400, "\(wrong.body)")
                #expect(reply.message == wrong.message)
                #expect(reply.parameter == wrong.parameter)
                #expect(try reply.json["error"]?["type"]?.stringValue == "invalid_request_error")
            }
        }
        #expect(engine.record.requests.isEmpty)
    }

    static let chats = [
        Case("{}", "messages", "messages: required"),
        Case(#"{"messages": []}"#, "messages", "messages: must not be empty"),
        Case(#"{"messages": "hi"}"#, "messages", "messages: expected an array, found a string"),
        Case(#"{"messages": ["hi"]}"#, "messages[0]", "messages[0]: expected an object, found a string"),
        Case(#"{"messages": [{"content": "a"}]}"#, "messages[0].role", "messages[0].role: required"),
        Case(
            #"{"messages": [{"role": "robot", "content": "a"}]}"#, "messages[0].role",
            "messages[0].role: expected one of system, developer, user, assistant, tool, found 'robot'"),
        Case(#"{"messages": [{"role": "user"}]}"#, "messages[0].content", "messages[0].content: required"),
        Case(
            #"{"messages": [{"role": "user", "content": 7}]}"#, "messages[0].content",
            "messages[0].content: expected a string or an array of text parts, found the number 7"),
        Case(
            #"{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}"#, "messages[0].content[0].type",
            "messages[0].content[0].type: expected text, found 'image_url'"),
        Case(
            #"{"messages": [{"role": "user", "content": [{"type": "text"}]}]}"#, "messages[0].content[0].text",
            "messages[0].content[0].text: required"),
        Case(
            #"{"messages": [{"role": "assistant", "content": null, "tool_calls": [{}]}]}"#, "messages[0].tool_calls",
            "messages[0].tool_calls: not supported: this server has no tool calls"),
        Case(
            #"{"messages": [{"role": "user", "content": "a"}], "max_tokens": 0}"#, "max_tokens",
            "max_tokens: expected at least 1, found 0"),
        Case(
            #"{"messages": [{"role": "user", "content": "a"}], "tools": [{}]}"#, "tools",
            "tools: not supported: this server has no tool calls"),
        Case(
            #"{"messages": [{"role": "user", "content": "a"}], "response_format": {"type": "json_object"}}"#,
            "response_format.type", "response_format.type: expected text, found json_object"),
        Case(
            #"{"messages": [{"role": "user", "content": "a"}], "top_logprobs": 2}"#, "top_logprobs",
            "top_logprobs: only allowed with logprobs: true"),
        Case(
            #"{"messages": [{"role": "user", "content": "a"}], "logprobs": 2}"#, "logprobs",
            "logprobs: expected true or false, found the number 2"),
    ]

    @Test func chatsNameTheField() async throws {
        try await withServer([ScriptedEngine()]) { server in
            for wrong in Self.chats {
                let reply = try await server.post("/v1/chat/completions", wrong.body)
                #expect(reply.status == 400, "\(wrong.body)")
                #expect(reply.message == wrong.message)
                #expect(reply.parameter == wrong.parameter)
            }
        }
    }

    @Test(arguments: [
        "{", #"{"prompt": "a"} x"#, #"{"prompt": NaN}"#, #"{"prompt": "a", "temperature": Infinity}"#, "nul",
        #"{"a":}"#,
        #"{"prompt": "\ud800"#, "{\"prompt\": \"\u{1}\"}", "not json at all",
    ])
    func malformedJSON(body: String) async throws {
        let reply = try await withServer([ScriptedEngine()]) { try await $0.post("/v1/completions", body) }
        #expect(reply.status == 400)
        #expect(reply.code == "malformed_json")
        #expect(reply.message.hasPrefix("request body"))
    }

    @Test func absurdNumbersAreRefused() async throws {
        try await withServer([ScriptedEngine()]) { server in
            for number in ["1e999", "-1e999", "99999999999999999999999999"] {
                for field in ["temperature", "max_tokens", "n"] {
                    let reply = try await server.post("/v1/completions", #"{"prompt": "a", "\#(field)": \#(number)}"#)
                    #expect(field == "max_tokens" && number.hasPrefix("9") || reply.status == 400, "\(field) \(number)")
                }
            }
        }
    }

    @Test func hostileBytes() async throws {
        try await withServer([ScriptedEngine()]) { server in
            let text = Array(#"{"prompt": "a"#.utf8) + [0xFF, 0xC0] + Array(#""}"#.utf8)
            let invalid = try await server.request("POST", "/v1/completions", body: text)
            #expect(invalid.status == 400)
            #expect(invalid.code == "malformed_json")
            for deep in [String(repeating: "[", count: 1_000_000), String(repeating: #"{"a":"#, count: 300_000)] {
                let reply = try await server.post("/v1/completions", deep)
                #expect(reply.status == 400)
                #expect(reply.code == "malformed_json")
            }
            #expect(try await server.get("/health").status == 200)
        }
    }

    @Test func promptLongerThanTheContext() async throws {
        try await withServer([ScriptedEngine(context: 8)]) { server in
            let long = try await server.post("/v1/completions", #"{"prompt": "0123456789"}"#)
            #expect(long.status == 400)
            #expect(long.code == "context_length_exceeded")
            #expect(long.message == "prompt: this model's context holds 8 tokens, and the prompt has 11")
            let full = try await server.post("/v1/completions", #"{"prompt": ["a", "0123456"]}"#)
            #expect(full.parameter == "prompt[1]")
            #expect(full.message.hasSuffix("and the prompt has 8, which leaves none for the answer"))
            let chat = try await server.post(
                "/v1/chat/completions", #"{"messages": [{"role": "user", "content": "0123456789"}]}"#)
            #expect(chat.status == 400)
            #expect(chat.parameter == "messages")
        }
    }

    @Test func unknownModelsRoutesAndMethods() async throws {
        try await withServer([ScriptedEngine(name: "one"), ScriptedEngine(name: "org/two")]) { server in
            let list = try await server.get("/v1/models").json
            #expect(list["data"]?.arrayValue?.map { $0["id"]?.stringValue } == ["one", "org/two"])
            for path in ["/v1/models/org/two", "/v1/models/org%2Ftwo"] {
                #expect(try await server.get(path).json["id"]?.stringValue == "org/two")
            }
            let unknown = try await server.get("/v1/models/three")
            #expect(unknown.status == 404)
            #expect(unknown.code == "model_not_found")
            let model = try await server.post("/v1/completions", #"{"model": "three", "prompt": "a"}"#)
            #expect(model.status == 404)
            #expect(model.message == "the model 'three' does not exist; this server has: one, org/two")
            let two = try await server.post("/v1/completions", #"{"model": "org/two", "prompt": "a"}"#)
            #expect(try two.json["model"]?.stringValue == "org/two")
            let unnamed = try await server.post("/v1/completions", #"{"prompt": "a"}"#)
            #expect(unnamed.status == 400)
            #expect(unnamed.message == "model: required, one of: one, org/two")
            let route = try await server.get("/v1/nothing")
            #expect(route.status == 404)
            #expect(route.code == "unknown_route")
            let method = try await server.get("/v1/completions")
            #expect(method.status == 405)
            #expect(method.headers["allow"] == "POST")
            #expect(try await server.post("/v1/models", "{}").headers["allow"] == "GET, HEAD")
            #expect(try await server.request("HEAD", "/health").status == 200)
        }
    }

    @Test func failuresOfTheEngineShowNoDetails() async throws {
        try await withServer([ScriptedEngine(failure: 3)]) { server in
            let whole = try await server.post("/v1/completions", #"{"prompt": "a"}"#)
            #expect(whole.status == 500)
            #expect(try whole.json["error"]?["type"]?.stringValue == "server_error")
            #expect(!whole.text.contains("secret"))
            let stream = try await server.post("/v1/completions", #"{"prompt": "a", "stream": true}"#)
            #expect(stream.status == 200)
            let chunks = try stream.chunks
            #expect(chunks.count == 4)
            #expect(chunks.last?["error"]?["code"]?.stringValue == "internal_error")
            #expect(!stream.text.contains("secret"))
        }
    }

    @Test func fullQueueAsksForPatience() async throws {
        let engine = ScriptedEngine(tokenDelay: .seconds(30), capacity: 1)
        try await withServer([engine]) { server in
            let port = server.port
            let running = try await onThread { () -> UncheckedSocket in
                let socket = try Socket(port: port)
                try socket.send(RunningServer.post("/v1/completions", #"{"prompt": "a", "stream": true}"#))
                _ = try socket.read(through: "\r\n\r\n")
                return UncheckedSocket(socket)
            }
            let reply = try await server.post("/v1/completions", #"{"prompt": "a"}"#)
            #expect(reply.status == 429)
            #expect(reply.headers["retry-after"] == "1")
            #expect(reply.code == "queue_full")
            // Two sequences do not fit either; the one that was accepted first must not linger.
            running.close()
            #expect(await eventually { engine.record.running == 0 })
            #expect(try await server.post("/v1/completions", #"{"prompt": ["a", "b"]}"#).status == 429)
            #expect(await eventually { engine.record.running == 0 })
        }
    }
}

/// A socket that is handed from one thread to another, one after the other.
final class UncheckedSocket: @unchecked Sendable {
    let socket: Socket

    init(_ socket: Socket) { self.socket = socket }

    func close() { socket.close() }
}
