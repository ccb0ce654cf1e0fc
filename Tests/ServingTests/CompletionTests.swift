import CoppiceInference
import CoppiceModels
import Testing

@Suite struct CompletionTests {
    @Test func answersAPrompt() async throws {
        let engine = ScriptedEngine()
        let reply = try await withServer([engine]) { server in
            try await server.post(
                "/v1/completions",
                """
                {"model": "scripted", "prompt": "Hi", "max_tokens": 100, "temperature": 0.5, "top_p": 0.9, "top_k": 7,
                 "min_p": 0.1, "frequency_penalty": -1, "presence_penalty": 0.25, "repetition_penalty": 1.5, "seed": -1,
                 "user": "someone", "some_unknown_field": {"a": [1]}, "echo": null}
                """)
        }
        #expect(reply.status == 200)
        #expect(reply.headers["content-type"] == "application/json")
        let json = try reply.json
        #expect(json["object"]?.stringValue == "text_completion")
        #expect(json["id"]?.stringValue?.hasPrefix("cmpl-") == true)
        #expect(json["model"]?.stringValue == "scripted")
        #expect((json["created"]?.intValue ?? 0) > 1_700_000_000)
        let choice = json["choices"]?[0]
        #expect(choice?["text"]?.stringValue == "Once upon a time")
        #expect(choice?["index"]?.intValue == 0)
        #expect(choice?["finish_reason"]?.stringValue == "stop")
        #expect(choice?["logprobs"] == .null)
        // "<s>Hi", then sixteen letters and the end token.
        #expect(json["usage"]?["prompt_tokens"]?.intValue == 3)
        #expect(json["usage"]?["completion_tokens"]?.intValue == 17)
        #expect(json["usage"]?["total_tokens"]?.intValue == 20)
        let request = try #require(engine.record.requests.first)
        #expect(request.promptTokens == [256, 72, 105])
        #expect(request.maximumTokens == 100)
        #expect(
            request.sampling
                == SamplingOptions(
                    temperature: 0.5, topK: 7, topP: 0.9, minP: 0.1, repetitionPenalty: 1.5, presencePenalty: 0.25,
                    frequencyPenalty: -1, seed: .max))
        #expect(request.topLogProbabilities == nil)
    }

    @Test func hasOpenAIDefaults() async throws {
        let engine = ScriptedEngine(script: { _ in String(repeating: "a", count: 100) })
        let reply = try await withServer([engine]) { try await $0.post("/v1/completions", #"{"prompt": "x"}"#) }
        let choice = try reply.json["choices"]?[0]
        #expect(choice?["text"]?.stringValue == String(repeating: "a", count: 16))
        #expect(choice?["finish_reason"]?.stringValue == "length")
        #expect(engine.record.requests.first?.sampling == SamplingOptions())
    }

    @Test func neverAsksForMoreThanTheContextHolds() async throws {
        let engine = ScriptedEngine(context: 10)
        _ = try await withServer([engine]) {
            try await $0.post("/v1/completions", #"{"prompt": "abc", "max_tokens": 1000000000000}"#)
        }
        #expect(engine.record.requests.first?.maximumTokens == 6)
    }

    @Test func answersSeveralPromptsInOrder() async throws {
        let engine = ScriptedEngine(script: { request in
            "<\(ByteTokenizer().decode(request.promptTokens, skippingSpecialTokens: true))>"
        })
        try await withServer([engine]) { server in
            let texts = try await server.post("/v1/completions", #"{"prompt": ["a", "b"], "n": 2, "seed": 5}"#).json
            let choices = texts["choices"]?.arrayValue ?? []
            #expect(choices.map { $0["text"]?.stringValue } == ["<a>", "<a>", "<b>", "<b>"])
            #expect(choices.map { $0["index"]?.intValue } == [0, 1, 2, 3])
            #expect(texts["usage"]?["prompt_tokens"]?.intValue == 4)
            #expect(engine.record.requests.compactMap(\.sampling.seed).sorted() == [5, 5, 6, 6])
            let one = try await server.post("/v1/completions", #"{"prompt": [104, 105]}"#).json
            #expect(one["choices"]?[0]?["text"]?.stringValue == "<hi>")
            let two = try await server.post("/v1/completions", #"{"prompt": [[104], [105]]}"#).json
            #expect(two["choices"]?.arrayValue?.map { $0["text"]?.stringValue } == ["<h>", "<i>"])
        }
    }

    @Test func stopsAtStopStringsAndEchoes() async throws {
        try await withServer([ScriptedEngine()]) { server in
            let one = try await server.post(
                "/v1/completions", #"{"prompt": "So: ", "stop": " a", "echo": true, "max_tokens": 50}"#
            ).json
            #expect(one["choices"]?[0]?["text"]?.stringValue == "So: Once upon")
            #expect(one["choices"]?[0]?["finish_reason"]?.stringValue == "stop")
            let none = try await server.post("/v1/completions", #"{"prompt": "So", "echo": true, "max_tokens": 0}"#)
                .json
            #expect(none["choices"]?[0]?["text"]?.stringValue == "So")
            #expect(none["choices"]?[0]?["finish_reason"]?.stringValue == "length")
            #expect(none["usage"]?["completion_tokens"]?.intValue == 0)
        }
    }

    @Test func returnsTheLikeliestOfSeveral() async throws {
        // A shorter text has the better mean here: token k scores -k/8.
        let engine = ScriptedEngine(script: { request in
            String(repeating: "ab", count: 6 - Int(request.sampling.seed ?? 0))
        })
        let json = try await withServer([engine]) { server in
            try await server.post("/v1/completions", #"{"prompt": "x", "seed": 0, "n": 2, "best_of": 4}"#).json
        }
        #expect(json["choices"]?.arrayValue?.map { $0["text"]?.stringValue } == ["ababab", "abababab"])
        #expect(json["choices"]?[0]?["logprobs"] == .null)
        #expect(json["usage"]?["completion_tokens"]?.intValue == 7 + 9 + 11 + 13)
    }

    @Test func reportsLogProbabilities() async throws {
        let engine = ScriptedEngine(script: { _ in "ab" })
        let json = try await withServer([engine]) {
            try await $0.post("/v1/completions", #"{"prompt": "x", "logprobs": 4}"#).json
        }
        let scores = json["choices"]?[0]?["logprobs"]
        // The end token is not part of the answer.
        #expect(scores?["tokens"]?.arrayValue?.map(\.stringValue) == ["a", "b"])
        #expect(scores?["token_logprobs"]?.arrayValue?.map(\.doubleValue) == [-0.125, -0.25])
        #expect(scores?["text_offset"]?.arrayValue?.map(\.intValue) == [0, 1])
        #expect(scores?["top_logprobs"]?[0]?["b"]?.doubleValue == -0.125)
        #expect(scores?["top_logprobs"]?[0]?["d"]?.doubleValue == -9999)
        #expect(engine.record.requests.first?.topLogProbabilities == 4)
    }

    @Test func writesBytesOfTokensThatAreNoText() async throws {
        let json = try await withServer([ScriptedEngine(script: { _ in "é" })]) {
            try await $0.post("/v1/completions", #"{"prompt": "x", "logprobs": 0}"#).json
        }
        let tokens = json["choices"]?[0]?["logprobs"]?["tokens"]?.arrayValue?.map(\.stringValue)
        #expect(tokens == [#"bytes:\xc3"#, #"bytes:\xa9"#])
    }

    @Test func streams() async throws {
        try await withServer([ScriptedEngine(script: { _ in "abc" })]) { server in
            let reply = try await server.post(
                "/v1/completions",
                #"{"prompt": "x", "stream": true, "logprobs": 1, "stream_options": {"include_usage": true}}"#)
            #expect(reply.status == 200)
            #expect(reply.headers["content-type"] == "text/event-stream; charset=utf-8")
            let chunks = try reply.chunks
            #expect(chunks.allSatisfy { $0["object"]?.stringValue == "text_completion" })
            #expect(Set(chunks.map { $0["id"]?.stringValue }).count == 1)
            let choices = chunks.compactMap { $0["choices"]?[0] }
            #expect(choices.map { $0["text"]?.stringValue } == ["a", "b", "c", ""])
            #expect(choices.map { $0["finish_reason"]?.stringValue } == [nil, nil, nil, "stop"])
            #expect(choices.dropLast().map { $0["logprobs"]?["text_offset"]?[0]?.intValue } == [0, 1, 2])
            #expect(chunks.dropLast().allSatisfy { $0["usage"] == .null })
            #expect(chunks.last?["choices"]?.arrayValue?.isEmpty == true)
            #expect(chunks.last?["usage"]?["completion_tokens"]?.intValue == 4)

            let plain = try await server.post(
                "/v1/completions", #"{"prompt": ["x", "y"], "stream": true, "echo": true}"#)
            var texts = ["", ""]
            for chunk in try plain.chunks {
                #expect(chunk["usage"] == nil)
                let choice = try #require(chunk["choices"]?[0])
                texts[try #require(choice["index"]?.intValue)] += choice["text"]?.stringValue ?? ""
            }
            #expect(texts == ["xabc", "yabc"])

            let empty = try await server.post("/v1/completions", #"{"prompt": "x", "stream": true, "max_tokens": 0}"#)
            #expect(try empty.chunks.map { $0["choices"]?[0]?["finish_reason"]?.stringValue } == ["length"])
        }
    }

    @Test func tokenizesAndBack() async throws {
        try await withServer([ScriptedEngine()]) { server in
            let tokens = try await server.post("/tokenize", #"{"model": "scripted", "prompt": "Hé"}"#).json
            #expect(tokens["tokens"]?.arrayValue?.compactMap(\.intValue) == [256, 72, 195, 169])
            #expect(tokens["count"]?.intValue == 4)
            #expect(tokens["max_model_len"]?.intValue == 1024)
            let plain = try await server.post("/tokenize", #"{"prompt": "H", "add_special_tokens": false}"#).json
            #expect(plain["tokens"]?.arrayValue?.compactMap(\.intValue) == [72])
            let text = try await server.post("/detokenize", #"{"tokens": [72, 195, 169]}"#).json
            #expect(text["prompt"]?.stringValue == "Hé")
            let unknown = try await server.post("/detokenize", #"{"tokens": [72, 258]}"#)
            #expect(unknown.status == 400)
            #expect(unknown.message == "tokens[1]: expected a token id below 258, found 258")
        }
    }
}
