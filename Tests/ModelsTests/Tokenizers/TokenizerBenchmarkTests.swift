import CoppiceModels
import Foundation
import Testing

/// The benchmark's accounts. `COPPICE_BENCH_TOKENIZER=TOKENIZER:TEXTFILE` makes it print a line of JSON too.
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

    @Test(.enabled(if: ProcessInfo.processInfo.environment["COPPICE_BENCH_TOKENIZER"] != nil))
    func printsALine() throws {
        let wanted = (ProcessInfo.processInfo.environment["COPPICE_BENCH_TOKENIZER"] ?? "").split(separator: ":")
        #expect(wanted.count == 2)
        let tokenizer = try TokenizerLoader.load(folder: String(wanted[0]))
        let text = try String(contentsOfFile: String(wanted[1]), encoding: .utf8)
        let result = TokenizerBenchmark(passes: 3).run(tokenizer, on: text)
        print("TOKENIZER {\"tokens\": \(result.tokenCount), \"bytes_per_second\": \(result.bytesPerSecond)}")
    }
}
