import CoppiceInference
import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

@Suite("Texts beyond the context", .serialized)
struct StreamingWindowTests {
    /// Logits of all tokens of a text in a cache with a window.
    private func logits(
        _ model: LanguageModel, _ tokens: [Int], _ window: StreamingWindow, chunks: [Int],
        element: KeyValueCache.Element = .f32
    ) throws -> [[Float]] {
        let cache = model.makeCache(capacity: 4096, element: element, window: window)
        let sequence = SequenceID(0)
        try cache.add(sequence, reserving: tokens.count)
        cache.plan(sequence, length: tokens.count)
        var result: [[Float]] = []
        for chunk in chunks where result.count < tokens.count {
            let range = result.count..<min(tokens.count, result.count + chunk)
            result += try model.forward(
                [Row(sequence: sequence, start: range.lowerBound, count: range.count)], tokens: Array(tokens[range]),
                cache: cache, logits: .all
            ).copy()
        }
        return result
    }

    @Test(
        "A token sees sinks and recent tokens as if they were the whole text",
        arguments: [(4, 28), (0, 32), (1, 31), (20, 12), (70, 90)])
    func definition(sinks: Int, recent: Int) throws {
        // In a model of one layer, keys and values depend on their own token alone: the short text of what is visible,
        // at positions from 0 on, has the same answer (StreamingLLM, section 3.2).
        for isInterleaved in [false, true] {
            let model = try LanguageModel.random(context: sinks + recent) {
                $0.layerCount = 1
                $0.rotary = RotaryConfiguration(base: 100, isInterleaved: isInterleaved)
            }
            let tokens = (0..<400).map { ($0 * $0 * 7 + $0) % 96 }
            let window = try model.streamingWindow(recent: recent, sinks: sinks)
            let found = try logits(model, tokens, window, chunks: [150, 1, 1, 100, 200])
            for position in stride(from: 0, to: 400, by: 7) {
                var visible = Array(tokens[...position])
                if position >= sinks + recent { visible.removeSubrange(sinks...position - recent) }
                let expected = try model.logits(visible, chunks: [visible.count])
                #expect(largestDifference(found[position], expected[visible.count - 1]) < 2e-4, "position \(position)")
            }
        }
    }

    @Test("Chunks do not change a text, and nothing changes before the window is full")
    func chunks() throws {
        let model = try LanguageModel.random(context: 128)
        let tokens = (0..<500).map { ($0 * 31 + $0 / 9) % 96 }
        let window = try model.streamingWindow(recent: 90, sinks: 6)
        let whole = try logits(model, tokens, window, chunks: [500])
        for size in [1, 17, 64, 130] {
            let parts = try logits(model, tokens, window, chunks: Array(repeating: size, count: 500))
            #expect(largestDifference(parts, whole) < 2e-4, "chunks of \(size)")
        }
        let plain = try model.logits(Array(tokens[..<96]), chunks: [96])
        #expect(largestDifference(Array(whole[..<96]), plain) < 2e-4)
        let int8 = try logits(model, tokens, window, chunks: [100, 400], element: .int8)
        #expect(largestDifference(int8, whole) < 0.3)
    }

    @Test("Layers whose own window is short keep it")
    func ownWindows() throws {
        let model = try LanguageModel.random(context: 128) { $0.slidingWindow = 20 }
        let tokens = (0..<300).map { ($0 * 31 + $0 / 9) % 96 }
        let window = try model.streamingWindow(recent: 60, sinks: 4)
        let found = try logits(model, tokens, window, chunks: [300])
        let longer = try LanguageModel.random(context: 512) { $0.slidingWindow = 20 }
        #expect(largestDifference(found, try longer.logits(tokens, chunks: [300])) < 2e-4)
    }

    @Test("Dynamic scaling stays with what is visible")
    func dynamic() throws {
        let model = try LanguageModel.random(context: 32) {
            $0.layerCount = 1
            $0.rotary = RotaryConfiguration(base: 100, scaling: .dynamic(factor: 4))
        }
        let tokens = (0..<200).map { $0 * 7 % 96 }
        let window = try model.streamingWindow(recent: 60, sinks: 4)
        let found = try logits(model, tokens, window, chunks: [100, 100])
        let visible = Array(tokens[..<4] + tokens[140...])
        #expect(largestDifference(found[199], try model.logits(visible, chunks: [64])[63]) < 2e-4)
    }

    @Test("A text goes on far beyond the context in bounded memory")
    func generation() throws {
        let model = try LanguageModel.random(context: 64)
        let tokenizer = ByteTokenizer(vocabularySize: 96)
        let window = try model.streamingWindow(recent: 40, sinks: 4)
        func generator() -> TextGenerator {
            TextGenerator(model, tokenizer: tokenizer, cacheElement: .int8, window: window)
        }
        let long = (0..<1500).map { $0 * 7 % 95 }
        let first = generator()
        let request = GenerationRequest(
            promptTokens: long, maximumTokens: 300, sampling: .greedy, ignoresEndToken: true)
        let result = try first.generate(request)
        #expect(result.tokens.count == 300 && result.finishReason == .length)
        let bytes = model.makeCache(capacity: 64, element: .int8).bytesPerPosition
        #expect(first.cacheByteCount <= bytes * 64 * 12)

        // What an earlier turn saw has been given back: it is computed again, and the answer is the same.
        let earlier = GenerationRequest(
            promptTokens: Array(long[..<700]), maximumTokens: 20, sampling: .greedy, ignoresEndToken: true)
        let again = try first.generate(earlier)
        #expect(again.reusedPromptTokens == 0)
        #expect(try generator().generate(earlier).tokens == again.tokens)
        // The next turn goes on where this one ended.
        let next = GenerationRequest(
            promptTokens: earlier.promptTokens + again.tokens + [3, 4], maximumTokens: 20, sampling: .greedy,
            ignoresEndToken: true)
        let turn = try first.generate(next)
        #expect(turn.reusedPromptTokens == 719)
        #expect(try generator().generate(next).tokens == turn.tokens)
    }

    @Test("Perplexity of one text beyond the context")
    func perplexity() throws {
        let model = try LanguageModel.random(context: 64)
        let tokens = (0..<300).map { ($0 * 31 + $0 / 9) % 96 }
        let window = try model.streamingWindow(recent: 50, sinks: 4)
        let result = try PerplexityEvaluator(model, context: 300, cacheElement: .f16, visible: window).evaluate(tokens)
        #expect(result.predictedTokens == 299)
        let all = try logits(model, tokens, window, chunks: [300])
        var loss = 0.0
        for position in 1..<300 {
            let row = all[position - 1].map { Double($0) }
            let highest = row.max() ?? 0
            let total = row.reduce(0.0) { $0 + exp($1 - highest) }
            loss += highest + log(total) - row[tokens[position]]
        }
        #expect(abs(result.meanLoss - loss / 299) < 5e-3)
    }

    @Test("Windows that do not fit are refused with the context's size")
    func refusals() throws {
        let model = try LanguageModel.random(context: 64)
        for (recent, sinks, field) in [(0, 4, "window"), (10, -1, "sinks"), (61, 4, "window"), (Int.max, 4, "window")] {
            let error = #expect(throws: CoppiceError.self) {
                try model.streamingWindow(recent: recent, sinks: sinks)
            }
            #expect(error?.kind == .usage && error?.field == field)
        }
        #expect(throws: CoppiceError.self) { try PerplexityEvaluator(model, context: 65) }
    }
}
