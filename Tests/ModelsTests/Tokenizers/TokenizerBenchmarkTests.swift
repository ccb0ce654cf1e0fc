import CoppiceModels
import Testing

/// The benchmark's accounts. `coppice tokenize TOKENIZER --file TEXT --rate` measures.
@Suite struct TokenizerBenchmarkTests {
    @Test func resultsAreThoseOfTheText() throws {
        let tokenizer = try TokenizerLoader.load(folder: Fixtures.path("gpt2.json"))
        let text = String(repeating: "The hedgehog kept the lighthouse. ", count: 20)
        let result = TokenizerBenchmark(passes: 2).run(tokenizer, on: text)
        #expect(result.byteCount == text.utf8.count)
        #expect(result.tokenCount == tokenizer.encode(text, addingSpecialTokens: false).count)
        #expect(result.seconds.count == 2)
        #expect(result.bytesPerSecond == Double(result.byteCount) / (result.seconds.min() ?? 0))
        #expect(result.bytesPerToken > 1)
    }
}
