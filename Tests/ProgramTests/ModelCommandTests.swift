import CoppiceModels
import Foundation
import Testing

/// Commands that read the built-in model.
@Suite(.serialized) struct ModelCommandTests {
    @Test func evaluateMeasuresTheSampleTales() throws {
        let json = try Program.run("evaluate", "tales", "--json").json()
        let perplexity = try #require(json["perplexity"]?.doubleValue)
        // An untrained model has 4096.
        #expect(perplexity > 2 && perplexity < 150)
        let bits = try #require(json["bits_per_byte"]?.doubleValue)
        #expect(bits > 0.5 && bits < 3)
        #expect((json["tokens"]?.intValue ?? 0) > 1000)
        #expect(json["tokens_per_second"]?.doubleValue != nil)
    }

    @Test func generationIsRepeatableWithASeed() throws {
        let arguments = ["--prompt", "Once upon a time", "--max-tokens", "24", "--json", "--seed"]
        func text(_ seed: String) throws -> String {
            let run = try Program.run(
                "generate", "tales", arguments[0], arguments[1], arguments[2], arguments[3],
                arguments[4], arguments[5], seed)
            #expect(run.status == 0, "\(run.errors)")
            return try #require(try run.json()["text"]?.stringValue)
        }
        let first = try text("5")
        #expect(first == (try text("5")))
        #expect(first != (try text("6")))
    }

    @Test func generationStopsAtATextAndAtTheLimit() throws {
        let plain = try Program.run(
            "generate", "tales", "--prompt", "Once upon a time", "--max-tokens", "40", "--temperature", "0", "--json"
        ).json()
        #expect(plain["generated_tokens"]?.intValue == 40)
        #expect(plain["finish_reason"]?.stringValue == "length")
        let text = try #require(plain["text"]?.stringValue)
        let word = try #require(text.split(separator: " ").dropFirst(3).first)
        let stopped = try Program.run(
            "generate", "tales", "--prompt", "Once upon a time", "--max-tokens", "40", "--temperature", "0", "--stop",
            String(word), "--json"
        ).json()
        #expect(stopped["finish_reason"]?.stringValue == "stop")
        #expect(stopped["text"]?.stringValue?.contains(word) == false)
    }

    @Test func inspectListsEveryTensor() throws {
        let json = try Program.run("inspect", "tales", "--json").json()
        let tensors = try #require(json["tensors"]?.arrayValue)
        #expect(tensors.count == 2 + 6 * 9)
        for tensor in tensors {
            for key in ["name", "shape", "format", "bytes", "bits_per_weight", "sparsity"] {
                #expect(tensor[key] != nil, "\(key)")
            }
        }
    }

    @Test func tokenizeGoesThereAndBack() throws {
        let text = "The fox said, “Good-night!”"
        let ids = try #require(try Program.run("tokenize", "tales", "--text", text, "--json").json()["ids"]?.arrayValue)
        let list = ids.compactMap(\.intValue).map(String.init).joined(separator: ",")
        let back = try Program.run("tokenize", "tales", "--ids", list, "--json").json()
        #expect(back["text"]?.stringValue == text)
        #expect(back["pieces"]?.arrayValue?.count == ids.count)
    }

    @Test func logitsHaveARowForEveryPosition() throws {
        let rows = try #require(
            try Program.run("logits", "tales", "--ids", "5,6,7", "--json").json()["logits"]?.arrayValue)
        #expect(rows.count == 3)
        #expect(rows.allSatisfy { $0.arrayValue?.count == 4096 })
    }

    @Test func answersDoNotDependOnTheNumberOfThreads() throws {
        let one = try Program.run("logits", "tales", "--ids", "5,6,7,8,9", "--json", "--threads", "1")
        let three = try Program.run("logits", "tales", "--ids", "5,6,7,8,9", "--json", "--threads", "3")
        #expect(one.output == three.output)
    }

    @Test func doctorAndMethodsAnswer() throws {
        let doctor = try Program.run("doctor", "--json").json()
        #expect((doctor["threads"]?.intValue ?? 0) >= 1)
        let methods = try #require(try Program.run("methods", "--json").json()["methods"]?.arrayValue)
        #expect(methods.count >= 3)
    }
}
