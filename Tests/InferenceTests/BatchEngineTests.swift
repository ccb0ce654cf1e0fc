import CoppiceInference
import CoppiceModels
import CoppiceTensors
import Testing

@Suite("The batch engine")
struct BatchEngineTests {
    private static let tokenizer = ByteTokenizer(vocabularySize: 96)

    private func engine(
        context: Int = 256, _ limits: EngineLimits = EngineLimits()
    ) throws -> (BatchEngine, LanguageModel) {
        let model = try LanguageModel.random(context: context)
        return (BatchEngine(model, modelName: "random", tokenizer: Self.tokenizer, limits: limits), model)
    }

    private func collect(_ stream: AsyncThrowingStream<GenerationEvent, any Error>) async throws -> [GenerationEvent] {
        var events: [GenerationEvent] = []
        for try await event in stream { events.append(event) }
        return events
    }

    private func requests(_ count: Int) -> [GenerationRequest] {
        (0..<count).map { index in
            GenerationRequest(
                promptTokens: (0..<(5 + 17 * index % 60)).map { ($0 * 13 + index) % 95 }, maximumTokens: 10 + index % 7,
                sampling: SamplingOptions(topP: 0.9, seed: UInt64(index)), ignoresEndToken: index % 2 == 0,
                topLogProbabilities: index % 3 == 0 ? 2 : nil)
        }
    }

    @Test("Many requests at once each get the text that they get alone")
    func batching() async throws {
        let (engine, model) = try engine(EngineLimits(runningRequests: 5, tokensPerPass: 32))
        let requests = requests(14)
        let streams = try requests.map { try engine.submit($0) }
        let generator = TextGenerator(model, tokenizer: Self.tokenizer)
        var generated = 0
        for (request, stream) in zip(requests, streams) {
            let events = try await collect(stream)
            let alone = try generator.generate(request)
            #expect(events.map(\.token) == alone.tokens)
            #expect(events.map(\.text).joined() == alone.text)
            #expect(events.last?.finishReason == alone.finishReason)
            #expect(events.dropLast().allSatisfy { $0.finishReason == nil })
            #expect(events.allSatisfy { ($0.logProbability != nil) == (request.topLogProbabilities != nil) })
            generated += events.count
        }
        await engine.shutdown()
        let statistics = engine.statistics()
        #expect(statistics.finishedRequests == 14 && statistics.cancelledRequests == 0)
        #expect(statistics.generatedTokens == generated)
        #expect(statistics.promptTokens == requests.reduce(0) { $0 + $1.promptTokens.count })
        #expect(statistics.runningRequests == 0 && statistics.waitingRequests == 0 && statistics.cacheTokensUsed == 0)
        // Batched: fewer passes than tokens.
        #expect(statistics.forwardPasses < generated)
    }

    @Test("With a window texts go on beyond the context, in no more cache than the window takes")
    func windows() async throws {
        let model = try LanguageModel.random(context: 64)
        let window = try model.streamingWindow(recent: 40, sinks: 4)
        let engine = BatchEngine(
            model, modelName: "random", tokenizer: Self.tokenizer, limits: EngineLimits(runningRequests: 3),
            cacheElement: .f16, window: window)
        #expect(engine.maximumContext == Int(Int32.max) && engine.longestUnlimitedAnswer == 64)
        let requests = (0..<5).map { index in
            GenerationRequest(
                promptTokens: (0..<(30 + 170 * index)).map { ($0 * 13 + index) % 95 }, maximumTokens: 150,
                sampling: .greedy, ignoresEndToken: true)
        }
        let streams = try requests.map { try engine.submit($0) }
        for (request, stream) in zip(requests, streams) {
            let events = try await collect(stream)
            let alone = try TextGenerator(model, tokenizer: Self.tokenizer, cacheElement: .f16, window: window)
                .generate(request)
            #expect(events.map(\.token) == alone.tokens && events.count == 150)
        }
        await engine.shutdown()
        let statistics = engine.statistics()
        #expect(statistics.finishedRequests == 5 && statistics.cacheTokensUsed == 0)
        let position = model.makeCache(capacity: 1, element: .f16).bytesPerPosition
        #expect(statistics.cacheBytes <= statistics.cacheTokensCapacity * position)
        // Three running texts of 13 blocks at most, whatever their length.
        #expect(statistics.cacheTokensCapacity == 3 * 13 * 64)
    }

    @Test("A cache without room for a whole window bounds the text")
    func smallCacheWithWindow() async throws {
        let model = try LanguageModel.random(context: 64)
        let engine = BatchEngine(
            model, modelName: "random", tokenizer: Self.tokenizer, limits: EngineLimits(cachePositions: 128),
            window: try model.streamingWindow(recent: 40))
        #expect(engine.maximumContext == 128)
        let request = GenerationRequest(
            promptTokens: [1, 2, 3], maximumTokens: 500, sampling: .greedy, ignoresEndToken: true)
        #expect(try await collect(engine.submit(request)).count == 125)
        await engine.shutdown()
    }

    @Test("A dropped stream cancels its request and frees its place and cache")
    func cancellation() async throws {
        let (engine, _) = try engine(context: 1 << 16, EngineLimits(runningRequests: 1))
        let endless = GenerationRequest(
            promptTokens: [1, 2, 3], maximumTokens: 65_000, sampling: SamplingOptions(seed: 1), ignoresEndToken: true)
        let first = Task {
            var count = 0
            for try await _ in try engine.submit(endless) {
                count += 1
                if count == 3 { break }
            }
            return count
        }
        #expect(try await first.value == 3)
        // The only place must become free for this one to be answered.
        let second = try await collect(
            engine.submit(GenerationRequest(promptTokens: [4], maximumTokens: 2, ignoresEndToken: true)))
        #expect(second.count == 2)
        await engine.shutdown()
        let statistics = engine.statistics()
        #expect(statistics.cancelledRequests == 1 && statistics.finishedRequests == 1)
        #expect(statistics.cacheTokensUsed == 0)
    }

    @Test("A shutdown lets running requests finish, refuses new ones and returns to every caller")
    func shutdown() async throws {
        let (engine, _) = try engine()
        let stream = try engine.submit(
            GenerationRequest(promptTokens: [1, 2], maximumTokens: 50, ignoresEndToken: true))
        async let once: Void = engine.shutdown()
        async let twice: Void = engine.shutdown()
        let events = try await collect(stream)
        _ = await (once, twice)
        #expect(events.count == 50 && events.last?.finishReason == .length)
        let error = #expect(throws: CoppiceError.self) {
            try engine.submit(GenerationRequest(promptTokens: [1], maximumTokens: 1))
        }
        #expect(error?.kind == .unavailable)
        await engine.shutdown()
    }

    @Test("At the deadline of a shutdown the rest is cut off as cancelled")
    func deadline() async throws {
        let (engine, _) = try engine(
            context: 100_000,
            EngineLimits(runningRequests: 1, cachePositions: 100_000, shutdownGrace: .milliseconds(50)))
        let endless = GenerationRequest(promptTokens: [1], maximumTokens: 99_000, ignoresEndToken: true)
        let running = try engine.submit(endless), waiting = try engine.submit(endless)
        await engine.shutdown()
        let runningEvents = try await collect(running), waitingEvents = try await collect(waiting)
        #expect(runningEvents.last?.finishReason == .cancelled && runningEvents.count < 99_000)
        #expect(waitingEvents.map(\.finishReason) == [.cancelled])
        #expect(engine.statistics().cancelledRequests == 2)
    }

    @Test("Requests beyond the queue and those that can never run are refused at once")
    func limits() async throws {
        let (engine, _) = try engine(
            context: 64, EngineLimits(runningRequests: 1, waitingRequests: 2, shutdownGrace: .zero))
        let long = GenerationRequest(promptTokens: Array(repeating: 1, count: 64), maximumTokens: 1)
        let error = #expect(throws: CoppiceError.self) { try engine.submit(long) }
        #expect(error?.kind == .usage && error?.description.contains("context of 64") == true)
        let foreign = #expect(throws: CoppiceError.self) {
            try engine.submit(GenerationRequest(promptTokens: [96], maximumTokens: 1))
        }
        #expect(foreign?.kind == .badData)

        var streams: [AsyncThrowingStream<GenerationEvent, any Error>] = []
        let refused = #expect(throws: CoppiceError.self) {
            for _ in 0..<10_000 {
                streams.append(
                    try engine.submit(
                        GenerationRequest(promptTokens: [1, 2], maximumTokens: 60, ignoresEndToken: true)))
            }
        }
        #expect(refused?.kind == .unavailable)
        #expect(streams.count >= 3)
        await engine.shutdown()
    }

    @Test("Requests wait for cache that others hold, and all are answered")
    func cacheLimit() async throws {
        let (engine, _) = try engine(context: 128, EngineLimits(runningRequests: 8, cachePositions: 128))
        #expect(engine.statistics().cacheTokensCapacity == 128)
        let streams = try (0..<6).map { index in
            try engine.submit(
                GenerationRequest(
                    promptTokens: Array(repeating: index, count: 60), maximumTokens: 40, ignoresEndToken: true))
        }
        for stream in streams { #expect(try await collect(stream).count == 40) }
        await engine.shutdown()
        #expect(engine.statistics().finishedRequests == 6)
    }

    @Test("An engine that is let go of ends what it runs")
    func release() async throws {
        var engine: BatchEngine? = try engine(context: 100_000, EngineLimits(cachePositions: 100_000)).0
        let stream = try #require(
            try engine?.submit(GenerationRequest(promptTokens: [1], maximumTokens: 99_000, ignoresEndToken: true)))
        engine = nil
        #expect(try await collect(stream).last?.finishReason == .cancelled)
    }

    @Test("Weights that are not numbers fail the request, not the engine")
    func failure() async throws {
        let model = try LanguageModel.random()
        var weights = RandomWeights(model.configuration)
        weights.tensors["lm_head.weight"] = Tensor([Float](repeating: .nan, count: 96 * 32), shape: [96, 32])
        let broken = try LanguageModel(model.configuration, weights: weights)
        let engine = BatchEngine(broken, modelName: "broken", tokenizer: Self.tokenizer)
        for _ in 0..<2 {
            let stream = try engine.submit(GenerationRequest(promptTokens: [1], maximumTokens: 1))
            let error = await #expect(throws: CoppiceError.self) { try await collect(stream) }
            #expect(error?.field == "lm_head.weight")
        }
        await engine.shutdown()
    }
}
