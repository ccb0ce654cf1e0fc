import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

@Suite struct ConfigurationTests {
    private func load(_ name: String) throws -> DecoderConfiguration {
        let path = fixtures + "/models/\(name)/config.json"
        let bytes = try #require(FileManager.default.contents(atPath: path))
        return try DecoderConfiguration(json: JSON(parsing: bytes, source: path), source: path)
    }

    private static let names = [
        "llama-gqa-f32", "llama-biases-llama3-tied", "llama-yarn-multi-query", "llama-dynamic", "mistral-sliding",
        "qwen2-windows-tied", "qwen3-sharded",
    ]

    @Test func readsEachFamily() throws {
        let llama = try load("llama-biases-llama3-tied")
        #expect(llama.family == .llama)
        #expect(llama.hasAttentionBias && llama.hasOutputBias && llama.hasFeedForwardBias)
        #expect(llama.endTokens == [2, 5])
        #expect(llama.beginToken == 1)
        #expect(llama.tiesEmbeddings)
        #expect(llama.dataType == .bf16)
        #expect(llama.rotary.base == 500)
        #expect(
            llama.rotary.scaling
                == .llama3(factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 16))
        #expect(llama.slidingWindow(forLayer: 0) == nil)
        let yarn = try load("llama-yarn-multi-query")
        #expect(yarn.rotary.scaling == .yarn(.init(factor: 4, originalContext: 16)))
        #expect(yarn.rotary.base == 1000)
        #expect(yarn.headSize == 10)
        #expect(yarn.keyValueHeadCount == 1)
        #expect(yarn.dataType == .f16)
        #expect(try load("llama-dynamic").rotary.scaling == .dynamic(factor: 2))
        let mistral = try load("mistral-sliding")
        #expect(mistral.slidingWindow(forLayer: 0) == 7 && mistral.slidingWindow(forLayer: 1) == 7)
        #expect(!mistral.hasAttentionBias)
        let qwen2 = try load("qwen2-windows-tied")
        #expect(qwen2.slidingWindow(forLayer: 0) == nil && qwen2.slidingWindow(forLayer: 1) == 9)
        #expect(qwen2.hasAttentionBias && !qwen2.hasOutputBias)
        #expect(qwen2.rotary.scaling == .linear(factor: 2))
        #expect(qwen2.headSize == 6)
        let qwen3 = try load("qwen3-sharded")
        #expect(qwen3.hasQueryKeyNorm && !qwen3.hasAttentionBias)
        #expect(qwen3.headSize == 16)
        #expect(qwen3.slidingWindow(forLayer: 1) == nil)
    }

    @Test(arguments: names) func readsWhatItWrote(name: String) throws {
        let configuration = try load(name)
        #expect(try DecoderConfiguration(json: configuration.json, source: "again") == configuration)
    }

    @Test(arguments: names) func listsTheParametersOfTheFiles(name: String) throws {
        var stored: [String: [Int]] = [:]
        for file in try FileManager.default.contentsOfDirectory(atPath: fixtures + "/models/\(name)")
        where file.hasPrefix("model") && file.hasSuffix(".safetensors") {
            let tensors = try SafetensorsFile(path: fixtures + "/models/\(name)/\(file)")
            for tensor in tensors.names { stored[tensor] = tensors.description(of: tensor)?.shape }
        }
        let shapes = try load(name).tensorShapes
        #expect(Dictionary(uniqueKeysWithValues: shapes.map { ($0.name, $0.shape) }) == stored)
    }

    // MARK: - Variants

    private static let plain = """
        {"model_type": "llama", "vocab_size": 61, "hidden_size": 24, "intermediate_size": 36, "num_hidden_layers": 3,
        "num_attention_heads": 4, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "bos_token_id": 1}
        """

    /// The plain configuration with fields changed; a nil value removes the field.
    private func configuration(_ changes: [String: JSON?]) throws -> DecoderConfiguration {
        var fields = try #require(try JSON(text: Self.plain, source: "config.json").objectValue)
        for (key, value) in changes { fields[key] = value }
        return try DecoderConfiguration(json: .object(fields), source: "config.json")
    }

    private func window(_ family: String, _ changes: [String: JSON?]) throws -> [Int?] {
        let result = try configuration(changes.merging(["model_type": .string(family), "head_dim": 6]) { $1 })
        return (0..<3).map { result.slidingWindow(forLayer: $0) }
    }

    @Test func standardsAreThoseOfTransformers() throws {
        let llama = try configuration([:])
        #expect(llama.keyValueHeadCount == 4)
        #expect(llama.headSize == 6)
        #expect(llama.rotary == RotaryConfiguration(base: 10_000))
        #expect(llama.endTokens.isEmpty)
        #expect(llama.dataType == .f32)
        #expect(!llama.tiesEmbeddings && !llama.hasAttentionBias)
        #expect(try configuration(["model_type": "qwen3"]).headSize == 128)
        #expect(try configuration(["model_type": nil, "architectures": ["Qwen2ForCausalLM"]]).family == .qwen2)
        #expect(try window("mistral", [:]) == [4096, 4096, 4096])
        #expect(try window("mistral", ["sliding_window": .some(.null)]) == [nil, nil, nil])
        #expect(try window("qwen2", ["sliding_window": 8]) == [nil, nil, nil])
        #expect(
            try window("qwen2", ["sliding_window": 8, "use_sliding_window": true, "max_window_layers": 1])
                == [nil, 8, 8])
        #expect(try window("qwen3", ["sliding_window": 8, "use_sliding_window": true]) == [nil, nil, nil])
        let types: JSON = ["sliding_attention", "full_attention", "sliding_attention"]
        #expect(
            try window("qwen3", ["sliding_window": 8, "use_sliding_window": true, "layer_types": types]) == [8, nil, 8])
        #expect(try configuration(["bos_token_id": 61, "eos_token_id": [70, 3]]).beginToken == nil)
        #expect(try configuration(["bos_token_id": 61, "eos_token_id": [70, 3]]).endTokens == [3])
    }

    @Test func bothSpellingsOfRotaryScalingAreRead() throws {
        let newer = try configuration(["rope_parameters": ["rope_type": "linear", "rope_theta": 500, "factor": 4]])
        let older = try configuration(["rope_theta": 500, "rope_scaling": ["type": "linear", "factor": 4]])
        #expect(newer.rotary == RotaryConfiguration(base: 500, scaling: .linear(factor: 4)))
        #expect(older.rotary == newer.rotary)
        #expect(try configuration(["rope_scaling": ["rope_type": "default"]]).rotary.scaling == .none)
        #expect(
            try configuration(["rope_scaling": .some(.null), "rope_theta": 7]).rotary == RotaryConfiguration(base: 7))
    }

    /// Sub-layers that are not there, as DeciLM's configurations say it.
    @Test func missingSubLayersAreRead() throws {
        let blocks: JSON = [
            ["attention": ["no_op": true], "ffn": ["no_op": false]], [:], ["attention": [:], "ffn": ["no_op": true]],
        ]
        let read = try configuration(["block_configs": blocks])
        #expect(read.layersWithAttention == [false, true, true] && read.layersWithFeedForward == [true, true, false])
        let names = read.tensorShapes.map(\.name)
        #expect(
            !names.contains {
                $0.hasPrefix("model.layers.0.self_attn") || $0 == "model.layers.0.input_layernorm.weight"
            })
        #expect(
            !names.contains {
                $0.hasPrefix("model.layers.2.mlp") || $0 == "model.layers.2.post_attention_layernorm.weight"
            })
        #expect(names.count == (try configuration([:])).tensorShapes.count - 5 - 4)
        #expect(try DecoderConfiguration(json: read.json, source: "c") == read)
        #expect(read.json["model_type"]?.stringValue == "coppice-llama")
        let whole = try configuration(["block_configs": [[:], ["ffn": ["no_op": false]], [:]]])
        #expect(whole.hasAllSubLayers && whole.json["model_type"]?.stringValue == "llama")
        #expect(whole.json["block_configs"] == nil)
    }

    @Test func badFieldsAreNamed() throws {
        let cases: [([String: JSON?], String)] = [
            (["hidden_size": nil], "hidden_size: is missing, expected a whole number from 1 to 268435456"),
            (["hidden_size": "24"], "hidden_size: expected a whole number from 1 to 268435456, found \"24\""),
            (["hidden_size": 0], "hidden_size: expected a whole number from 1 to 268435456, found 0"),
            (["vocab_size": 1e30], "vocab_size: expected a whole number from 1 to 268435456, found 1e+30"),
            (
                ["num_hidden_layers": 1_000_000],
                "num_hidden_layers: expected a whole number from 1 to 10000, found 1000000"
            ),
            (["rms_norm_eps": nil], "rms_norm_eps: is missing, expected a number of at least 0"),
            (["model_type": "gpt2"], "model_type: expected one of llama, mistral, qwen2, qwen3, found \"gpt2\""),
            (["model_type": nil], "model_type: is missing, expected one of llama, mistral, qwen2, qwen3"),
            (["hidden_act": "gelu"], "hidden_act: expected silu, found \"gelu\""),
            (["num_attention_heads": 5], "num_attention_heads: expected a divisor of hidden_size, 24, found 5"),
            (["num_key_value_heads": 3], "num_key_value_heads: expected a divisor of num_attention_heads, 4, found 3"),
            (["head_dim": 5], "head_dim: expected heads of an even size, found 5"),
            (["num_attention_heads": 8], "num_attention_heads: expected heads of an even size, found 3"),
            (["tie_word_embeddings": 1], "tie_word_embeddings: expected true or false, found 1"),
            (["eos_token_id": "</s>"], "eos_token_id: expected a token id or a list of token ids, found \"</s>\""),
            (["torch_dtype": "int8"], "torch_dtype: expected one of float32, bfloat16, float16, found \"int8\""),
            (["rope_scaling": 4], "rope_scaling: expected an object, found 4"),
            (
                ["rope_scaling": ["type": "longrope"]],
                "rope_scaling.type: expected one of default, linear, dynamic, llama3, yarn, found \"longrope\""
            ),
            (
                ["rope_scaling": ["rope_type": "yarn"]],
                "rope_scaling.factor: is missing, expected a number greater than 0"
            ),
            (
                ["rope_parameters": ["full_attention": ["rope_type": "default"]]],
                "rope_parameters.full_attention: different rotations for kinds of layers are not supported"
            ),
            (
                ["partial_rotary_factor": 0.5],
                "partial_rotary_factor: expected 1 (heads rotated in part are not supported), found 0.5"
            ),
            (
                ["model_type": "qwen3", "use_sliding_window": true, "layer_types": ["full_attention"]],
                "layer_types: expected a list of 3 names, full_attention or sliding_attention, found [\"full_attention\"]"
            ),
            (
                ["block_configs": [["attention": ["no_op": true]]]],
                "block_configs: expected a list of 3 objects, found "
                    + "[{\"attention\":{\"no_op\":true}}]"
            ),
            (["block_configs": [[:], 4, [:]]], "block_configs: expected a list of 3 objects, found [{},4,{}]"),
            (
                ["block_configs": [[:], ["ffn": ["no_op": 1]], [:]]],
                "block_configs[1].ffn.no_op: expected true or false, found 1"
            ),
            (
                ["block_configs": [[:], [:], ["attention": ["replace_with_linear": true]]]],
                "block_configs[2].attention.replace_with_linear: expected false, found true"
            ),
            (
                ["model_type": "coppice-gpt2"],
                "model_type: expected one of llama, mistral, qwen2, qwen3, found "
                    + "\"coppice-gpt2\""
            ),
        ]
        for (changes, expected) in cases {
            #expect(refusal { _ = try configuration(changes) } == "config.json: " + expected)
        }
        #expect(
            refusal { _ = try DecoderConfiguration(json: [1, 2], source: "c") }
                == "c: expected a JSON object with the model's configuration")
    }

    // MARK: - Rotation

    @Test func rotaryFrequenciesAreThoseOfTransformers() throws {
        let path = fixtures + "/models/rotary.json"
        let cases = try #require(
            JSON(parsing: FileManager.default.contents(atPath: path) ?? Data(), source: path).arrayValue)
        #expect(cases.count == 16)
        for example in cases {
            let rotary = try configuration([
                "rope_parameters": example["rope_parameters"],
                "max_position_embeddings": example["max_position_embeddings"],
            ]).rotary
            let frequencies = rotary.frequencies(
                headSize: try #require(example["head_dim"]?.intValue),
                context: try #require(example["max_position_embeddings"]?.intValue),
                length: example["sequence_length"]?.intValue ?? 0)
            let expected = try #require(example["inverse_frequencies"]?.arrayValue).compactMap(\.doubleValue)
            #expect(frequencies.angles.count == expected.count)
            for (value, reference) in zip(frequencies.angles, expected) {
                #expect(abs(value - reference) <= 2e-6 * reference, "\(example["rope_parameters"]?.serialized() ?? "")")
            }
            let factor = try #require(example["attention_factor"]?.doubleValue)
            #expect(abs(frequencies.amplitude - factor) < 1e-6)
        }
    }
}
