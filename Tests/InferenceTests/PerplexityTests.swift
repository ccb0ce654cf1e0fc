import CoppiceInference
import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

@Suite("Perplexity")
struct PerplexityTests {
    private static func references() throws -> [JSON] {
        let path = Fixtures.folder + "/perplexity/reference.json"
        let json = try JSON(text: String(contentsOfFile: path, encoding: .utf8), source: path)
        return json.arrayValue ?? []
    }

    @Test("Equals the loop of transformers", arguments: 0..<6)
    func parity(index: Int) throws {
        let references = try Self.references()
        #expect(references.count == 6)
        let reference = references[index]
        let model = try LanguageModel(Checkpoint.open(Fixtures.path(#require(reference["model"]?.stringValue))))
        let ids = try #require(reference["ids"]?.arrayValue).compactMap(\.intValue)
        let evaluator = try PerplexityEvaluator(
            model, context: reference["context"]?.intValue, stride: reference["stride"]?.intValue)
        var reports: [Int] = []
        let result = try evaluator.evaluate(ids) { done, total in
            #expect(total == ids.count - 1)
            reports.append(done)
        }
        #expect(result.predictedTokens == reference["tokens"]?.intValue)
        let expected = try #require(reference["mean_loss"]?.doubleValue)
        #expect(abs(result.meanLoss - expected) < 1e-4)
        #expect(result.perplexity == exp(result.meanLoss))
        #expect(reports.last == result.predictedTokens && reports == reports.sorted())
    }

    @Test("Windows cover every token but the first once")
    func windows() throws {
        let model = try LanguageModel.random(context: 64)
        for (context, stride, count) in [(8, 3, 50), (8, 8, 50), (64, 1, 65), (2, 1, 2), (10, 9, 10)] {
            let evaluator = try PerplexityEvaluator(model, context: context, stride: stride)
            var targets: [Int] = []
            for window in evaluator.windows(count) {
                #expect(window.range.count <= context)
                targets += window.firstTarget..<window.range.upperBound
            }
            #expect(targets == targets.sorted() && Set(targets).count == targets.count)
            if stride < context { #expect(targets == Array(1..<count)) }
        }
    }

    @Test("Bits per byte count the bytes of the text")
    func bitsPerByte() throws {
        let model = try LanguageModel.random(vocabulary: 256)
        let text = String(repeating: "Once upon a time. ", count: 20)
        let result = try PerplexityEvaluator(model, context: 64).evaluate(
            text, tokenizer: ByteTokenizer(vocabularySize: 256))
        // One token a byte: bits per byte are bits per token.
        let bits = try #require(result.bitsPerByte)
        #expect(abs(bits - result.meanLoss / log(2)) < 1e-12)
        #expect(result.tokens == text.utf8.count && result.tokensPerSecond > 0)
    }

    @Test("Empty and too short texts and impossible windows are refused")
    func refusals() throws {
        let model = try LanguageModel.random(vocabulary: 256, context: 32)
        let tokenizer = ByteTokenizer(vocabularySize: 256)
        let evaluator = try PerplexityEvaluator(model)
        for (text, expected) in [
            ("", "tale.txt: the text is empty"), ("a", "tale.txt: expected a text of at least 2 tokens, found 1"),
        ] {
            let error = #expect(throws: CoppiceError.self) {
                try evaluator.evaluate(text, tokenizer: tokenizer, source: "tale.txt")
            }
            #expect(error?.kind == .badData && error?.description == expected)
        }
        for (context, stride) in [(1, 1), (33, 1), (16, 0), (16, 17)] {
            let error = #expect(throws: CoppiceError.self) {
                try PerplexityEvaluator(model, context: context, stride: stride)
            }
            #expect(error?.kind == .usage)
        }
    }
}
