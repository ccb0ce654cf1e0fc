import CoppiceInference
import CoppiceModels
import Testing

@Suite struct ChatTests {
    private static func prompt(_ engine: ScriptedEngine, _ index: Int = 0) -> String {
        ByteTokenizer().decode(engine.record.requests[index].promptTokens, skippingSpecialTokens: false)
    }

    @Test func rendersTheModelsTemplate() async throws {
        let template = try ChatTemplate(
            "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
                + "{% if add_generation_prompt %}<|assistant|>{% endif %}")
        let engine = ScriptedEngine(template: template)
        let reply = try await withServer([engine]) { server in
            try await server.post(
                "/v1/chat/completions",
                """
                {"model": "scripted", "messages": [
                  {"role": "developer", "content": "Be brief."},
                  {"role": "user", "content": [{"type": "text", "text": "Tell "}, {"type": "text", "text": "me"}],
                   "name": "x"},
                  {"role": "assistant", "content": "What?"}, {"role": "tool", "content": "42"}]}
                """)
        }
        #expect(reply.status == 200)
        #expect(
            Self.prompt(engine)
                == "<|system|>Be brief.<|end|><|user|>Tell me<|end|>"
                + "<|assistant|>What?<|end|><|tool|>42<|end|><|assistant|>"
        )
        let json = try reply.json
        #expect(json["object"]?.stringValue == "chat.completion")
        #expect(json["id"]?.stringValue?.hasPrefix("chatcmpl-") == true)
        let choice = json["choices"]?[0]
        #expect(choice?["message"]?["role"]?.stringValue == "assistant")
        #expect(choice?["message"]?["content"]?.stringValue == "Once upon a time")
        #expect(choice?["finish_reason"]?.stringValue == "stop")
        #expect(json["usage"]?["completion_tokens"]?.intValue == 17)
        // Without max_tokens the answer may fill the context.
        let request = engine.record.requests[0]
        #expect(request.maximumTokens == 1024 - request.promptTokens.count)
        #expect(request.stopStrings.isEmpty)
    }

    @Test func writesATranscriptWithoutATemplate() async throws {
        let engine = ScriptedEngine()
        _ = try await withServer([engine]) { server in
            try await server.post(
                "/v1/chat/completions",
                """
                {"messages": [{"role": "system", "content": "Short."}, {"role": "user", "content": "Hi"},
                  {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Bye"}],
                 "max_tokens": 9, "max_completion_tokens": 5, "stop": ["!"]}
                """)
        }
        #expect(Self.prompt(engine) == "<s>Short.\n\nUser: Hi\n\nAssistant: Hello\n\nUser: Bye\n\nAssistant:")
        #expect(engine.record.requests[0].stopStrings == ["!", "\nUser:"])
        #expect(engine.record.requests[0].maximumTokens == 5)
    }

    @Test func passesOnWhyATemplateRefuses() async throws {
        let engine = ScriptedEngine(template: try ChatTemplate("{{ raise_exception('roles must alternate') }}"))
        let reply = try await withServer([engine]) {
            try await $0.post("/v1/chat/completions", #"{"messages": [{"role": "user", "content": "x"}]}"#)
        }
        #expect(reply.status == 400)
        #expect(reply.parameter == "messages")
        #expect(reply.message.contains("roles must alternate"))
        #expect(engine.record.requests.isEmpty)
    }

    @Test func reportsLogProbabilities() async throws {
        let json = try await withServer([ScriptedEngine(script: { _ in "é" })]) {
            try await $0.post(
                "/v1/chat/completions",
                #"{"messages": [{"role": "user", "content": "x"}], "logprobs": true, "top_logprobs": 2}"#
            ).json
        }
        let content = try #require(json["choices"]?[0]?["logprobs"]?["content"]?.arrayValue)
        #expect(content.count == 2)
        #expect(content[0]["bytes"]?.arrayValue?.compactMap(\.intValue) == [0xC3])
        #expect(content[1]["logprob"]?.doubleValue == -0.25)
        #expect(content[0]["top_logprobs"]?.arrayValue?.count == 2)
        #expect(content[0]["top_logprobs"]?[1]?["bytes"]?.arrayValue?.compactMap(\.intValue) == [0xC4])
    }

    @Test func streams() async throws {
        let reply = try await withServer([ScriptedEngine(script: { _ in "Hello" })]) {
            try await $0.post(
                "/v1/chat/completions",
                """
                {"messages": [{"role": "user", "content": "x"}], "stream": true, "n": 2, "max_tokens": 3,
                 "stream_options": {"include_usage": true}, "tools": [], "response_format": {"type": "text"}}
                """)
        }
        let chunks = try reply.chunks
        #expect(chunks.allSatisfy { $0["object"]?.stringValue == "chat.completion.chunk" })
        for index in 0..<2 {
            let choices = chunks.compactMap { $0["choices"]?[0] }.filter { $0["index"]?.intValue == index }
            #expect(choices.first?["delta"]?["role"]?.stringValue == "assistant")
            #expect(choices.dropFirst().allSatisfy { $0["delta"]?["role"] == nil })
            #expect(choices.compactMap { $0["delta"]?["content"]?.stringValue }.joined() == "Hel")
            #expect(choices.last?["delta"]?.objectValue?.isEmpty == true)
            #expect(choices.map { $0["finish_reason"]?.stringValue } == [nil, nil, nil, nil, "length"])
        }
        #expect(chunks.last?["usage"]?["completion_tokens"]?.intValue == 6)
        #expect(chunks.last?["usage"]?["prompt_tokens"]?.intValue == "<User: x\n\nAssistant:".utf8.count)
    }
}
