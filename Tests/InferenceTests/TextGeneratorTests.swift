import CoppiceInference
import CoppiceModels
import CoppiceTensors
import Testing

@Suite("Generating one text")
struct TextGeneratorTests {
    private func generator(context: Int = 256) throws -> TextGenerator {
        TextGenerator(
            try LanguageModel.random(context: context), tokenizer: ByteTokenizer(vocabularySize: 96), chunk: 16)
    }

    @Test("A conversation reuses what it has in common with the last turn and answers the same")
    func reuse() throws {
        let generator = try generator()
        let sampling = SamplingOptions(temperature: 0)
        let prompt = (0..<40).map { $0 * 7 % 95 }
        let first = try generator.generate(
            GenerationRequest(promptTokens: prompt, maximumTokens: 10, sampling: sampling, ignoresEndToken: true))
        #expect(first.reusedPromptTokens == 0 && first.computedPromptTokens == 40)
        let next = GenerationRequest(
            promptTokens: prompt + first.tokens + [5, 6, 7], maximumTokens: 10, sampling: sampling,
            ignoresEndToken: true)
        let second = try generator.generate(next)
        // The last answer's last token was never computed.
        #expect(second.reusedPromptTokens == 49 && second.computedPromptTokens == 4)
        #expect(try self.generator().generate(next).tokens == second.tokens)
        // The same prompt again: only its last token is computed.
        #expect(try generator.generate(next).computedPromptTokens == 1)
        #expect(try generator.generate(next).tokens == second.tokens)
    }

    @Test("Ends at the context, at the end token and where the reader says so")
    func ends() throws {
        let generator = try generator(context: 24)
        let prompt = [1, 2, 3, 4]
        let full = try generator.generate(
            GenerationRequest(promptTokens: prompt, maximumTokens: 1000, ignoresEndToken: true))
        #expect(full.tokens.count == 20 && full.finishReason == .length)

        // A large penalty on nothing but a small vocabulary: sample until the end token comes.
        var sawEnd = false
        for seed in 0..<200 where !sawEnd {
            let result = try generator.generate(
                GenerationRequest(
                    promptTokens: prompt, maximumTokens: 20,
                    sampling: SamplingOptions(temperature: 3, seed: UInt64(seed))))
            if result.finishReason == .stop {
                sawEnd = true
                #expect(result.tokens.last == 95 && result.text.count == result.tokens.count - 1)
            }
        }
        #expect(sawEnd)

        var count = 0
        let cut = try generator.generate(
            GenerationRequest(promptTokens: prompt, maximumTokens: 20, ignoresEndToken: true)
        ) { _ in
            count += 1
            return count < 3
        }
        #expect(cut.tokens.count == 3 && cut.finishReason == .cancelled)
    }

    @Test("A prompt that is too long or empty is refused with the context's size")
    func refusals() throws {
        let generator = try generator(context: 24)
        let long = #expect(throws: CoppiceError.self) {
            try generator.generate(GenerationRequest(promptTokens: Array(repeating: 1, count: 24), maximumTokens: 1))
        }
        #expect(long?.description == "prompt: 24 tokens do not fit the model's context of 24 with room for an answer")
        #expect(throws: CoppiceError.self) {
            try generator.generate(GenerationRequest(promptTokens: [], maximumTokens: 1))
        }
    }

    @Test("The benchmark reports rates, bytes and a share of the bandwidth that fit together")
    func benchmark() throws {
        let model = try LanguageModel.random()
        let result = try ThroughputBenchmark(promptTokens: 40, generatedTokens: 8, repetitions: 2).run(model)
        let cacheBytes = model.makeCache(capacity: 64).bytesPerPosition * 44
        #expect(result.bytesPerToken == model.weightBytesPerToken + cacheBytes)
        #expect(result.prefillTokensPerSecond > 0 && result.readBandwidth > 0)
        let fraction = result.decodeTokensPerSecond * Double(result.bytesPerToken) / result.readBandwidth
        #expect(abs(result.rooflineFraction - fraction) < 1e-9)
        let error = #expect(throws: CoppiceError.self) {
            try ThroughputBenchmark(promptTokens: 250, generatedTokens: 7).run(model)
        }
        #expect(error?.kind == .usage)
    }
}
