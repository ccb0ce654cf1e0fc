import CoppiceInference
import CoppiceModels
import Foundation
import Testing

@Suite("Rotary frequencies")
struct RotaryTests {
    @Test("Equal transformers' for every scaling, within a few units of f32")
    func parity() throws {
        let path = Fixtures.folder + "/models/rotary.json"
        let cases = try JSON(text: String(contentsOfFile: path, encoding: .utf8), source: path).arrayValue ?? []
        #expect(cases.count == 16)
        for reference in cases {
            let parameters = try #require(reference["rope_parameters"])
            let context = try #require(reference["max_position_embeddings"]?.intValue)
            let headSize = try #require(reference["head_dim"]?.intValue)
            var text =
                #"{"model_type": "llama", "vocab_size": 8, "hidden_size": \#(headSize), "intermediate_size": 8, "#
            text += #""num_hidden_layers": 1, "num_attention_heads": 1, "rms_norm_eps": 1e-5, "#
            text += #""architectures": ["LlamaForCausalLM"], "#
            text += #""max_position_embeddings": \#(context), "rope_parameters": \#(parameters.serialized())}"#
            let configuration = try DecoderConfiguration(json: JSON(text: text, source: "test"), source: "test")
            let table = RotaryTable(configuration.rotary, headSize: headSize, context: context)
            let found = table.frequencies(length: reference["sequence_length"]?.intValue ?? 0)
            let expected = try #require(reference["inverse_frequencies"]?.arrayValue).compactMap(\.doubleValue)
            #expect(found.count == expected.count)
            for (a, b) in zip(found, expected) {
                #expect(abs(Double(a) - b) <= 1e-6 * b, "\(parameters.serialized())")
            }
            let amplitude = try #require(reference["attention_factor"]?.doubleValue)
            #expect(abs(Double(table.amplitude) - amplitude) < 1e-6)
        }
    }

    @Test("Dynamic scaling depends on the length, and a planned prompt has its angles in chunks as in one piece")
    func dynamic() throws {
        let model = try LanguageModel.random(context: 32) {
            $0.rotary = RotaryConfiguration(base: 100, scaling: .dynamic(factor: 4))
        }
        #expect(model.maximumContext == 128)
        let tokens = (0..<90).map { $0 * 7 % 96 }
        let whole = try model.logits(tokens, chunks: [90])
        #expect(largestDifference(try model.logits(tokens, chunks: [30, 1, 20, 39]), whole) < 1e-4)
        let short = try model.logits(Array(tokens[..<20]), chunks: [20])
        #expect(largestDifference(short[19], whole[19]) > 1e-3)
    }
}
