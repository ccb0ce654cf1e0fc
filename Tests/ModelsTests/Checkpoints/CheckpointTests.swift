import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

@Suite struct CheckpointTests {
    let scratch: ScratchFolder

    init() throws { scratch = try ScratchFolder() }

    /// A folder of the fixtures, copied so that it can be damaged.
    private func copy(_ name: String) throws -> String {
        let path = scratch[name]
        try FileManager.default.copyItem(atPath: fixtures + "/models/" + name, toPath: path)
        try? FileManager.default.removeItem(atPath: path + "/reference.safetensors")
        return path
    }

    private func changeConfiguration(_ folder: String, _ changes: [String: JSON?]) throws {
        let path = folder + "/config.json"
        let bytes = try #require(FileManager.default.contents(atPath: path))
        var fields = try #require(try JSON(parsing: bytes, source: path).objectValue)
        for (key, value) in changes { fields[key] = value }
        try AtomicFile.write(JSON.object(fields).serialized(), to: path)
    }

    /// Rewrites the only weight file with one tensor replaced, removed or added.
    private func change(_ folder: String, _ name: String, _ tensor: Tensor?) throws {
        let path = folder + "/model.safetensors"
        let file = try SafetensorsFile(path: path)
        var tensors = try file.names.filter { $0 != name }.map { (name: $0, tensor: try file.tensor($0)) }
        if let tensor { tensors.append((name, tensor)) }
        try SafetensorsWriter.write(tensors, metadata: file.metadata, to: path)
    }

    private func openingError(_ path: String, _ kind: CoppiceError.Kind = .badData) -> String {
        refusal(kind) { _ = try Checkpoint.open(path) }
    }

    // MARK: - Good models

    @Test(arguments: [
        "llama-gqa-f32", "llama-biases-llama3-tied", "llama-yarn-multi-query", "llama-dynamic", "mistral-sliding",
        "qwen2-windows-tied", "qwen3-sharded",
    ]) func opensFolders(name: String) throws {
        let checkpoint = try Checkpoint.open(fixtures + "/models/\(name)/")
        #expect(checkpoint.path == fixtures + "/models/\(name)")
        #expect(checkpoint.weightNames == checkpoint.configuration.tensorShapes.map(\.name))
        #expect(!checkpoint.isCompressed)
        for (name, shape) in checkpoint.configuration.tensorShapes {
            let tensor = try checkpoint.tensor(name)
            #expect(tensor.shape == shape)
            #expect(checkpoint.shape(of: name) == shape)
            #expect(tensor.storage.isReadOnly, "a view of the mapped file")
            guard shape.count == 2 else { continue }
            let weight = try checkpoint.weight(name)
            #expect([weight.rows, weight.columns] == shape)
            #expect(weight.dense().floats() == tensor.floats())
        }
        try checkpoint.checkFinite()
    }

    @Test func aTiedHeadIsTheEmbeddingTable() throws {
        let checkpoint = try Checkpoint.open(fixtures + "/models/qwen2-windows-tied")
        #expect(!checkpoint.weightNames.contains("lm_head.weight"))
        #expect(
            try checkpoint.weight("lm_head.weight").dense().floats()
                == checkpoint.tensor("model.embed_tokens.weight").floats())
        let path = try copy("qwen2-windows-tied")
        try change(path, "lm_head.weight", checkpoint.tensor("model.embed_tokens.weight"))
        _ = try Checkpoint.open(path)
    }

    @Test func opensAFileBesideItsConfiguration() throws {
        let file = fixtures + "/models/llama-gqa-f32/model.safetensors"
        let checkpoint = try Checkpoint.open(file)
        #expect(checkpoint.folder == fixtures + "/models/llama-gqa-f32")
        #expect(try checkpoint.tensor("model.norm.weight").dataType == .f32)
        let path = try copy("llama-gqa-f32")
        try FileManager.default.moveItem(atPath: path + "/model.safetensors", toPath: path + "/weights.safetensors")
        _ = try Checkpoint.open(path)
    }

    @Test func endTokensOfTheGenerationConfigurationCount() throws {
        let path = try copy("llama-gqa-f32")
        #expect(try Checkpoint.open(path).configuration.endTokens == [2])
        try AtomicFile.write(#"{"eos_token_id": [7, 9, 1000]}"#, to: path + "/generation_config.json")
        #expect(try Checkpoint.open(path).configuration.endTokens == [7, 9])
        try AtomicFile.write(#"{"eos_token_id": "x"}"#, to: path + "/generation_config.json")
        #expect(openingError(path).hasPrefix("\(path)/generation_config.json: eos_token_id: expected a token id"))
    }

    @Test func chatTemplatesAreFound() throws {
        let path = try copy("llama-gqa-f32")
        #expect(try Checkpoint.open(path).chatTemplate == nil)
        try AtomicFile.write(
            #"{"chat_template": [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]}"#,
            to: path + "/tokenizer_config.json")
        #expect(try Checkpoint.open(path).chatTemplate == "D")
        try AtomicFile.write(#"{"chat_template": "{{ x }}"}"#, to: path + "/tokenizer_config.json")
        #expect(try Checkpoint.open(path).chatTemplate == "{{ x }}")
        try AtomicFile.write("{{ y }}", to: path + "/chat_template.jinja")
        #expect(try Checkpoint.open(path).chatTemplate == "{{ y }}")
    }

    // MARK: - Missing and foreign files

    @Test func missingFilesAreNamed() throws {
        #expect(openingError(scratch["none"], .noInput) == "\(scratch["none"]): no such file or folder")
        let empty = scratch["empty"]
        try FileManager.default.createDirectory(atPath: empty, withIntermediateDirectories: false)
        #expect(
            openingError(empty, .noInput) == "\(empty)/config.json: no such file, expected the model's configuration")
        let path = try copy("llama-gqa-f32")
        try FileManager.default.moveItem(atPath: path + "/model.safetensors", toPath: path + "/pytorch_model.bin")
        #expect(
            openingError(path, .noInput)
                == "\(path): holds no model.safetensors; pytorch_model.bin is of a kind that is not read")
        for name in ["a", "b"] {
            try FileManager.default.copyItem(atPath: path + "/pytorch_model.bin", toPath: path + "/\(name).safetensors")
        }
        #expect(
            openingError(path, .noInput)
                == "\(path): holds 2 safetensors files without model.safetensors.index.json; name one of them")
        let text = try scratch.write("notes.txt", "hello")
        #expect(openingError(text) == "\(text): expected a model folder, a .safetensors, .gguf or llama2.c .bin file")
    }

    @Test func damagedConfigurationsAreNamed() throws {
        let path = try copy("llama-gqa-f32")
        try changeConfiguration(path, ["hidden_size": nil])
        #expect(
            openingError(path)
                == "\(path)/config.json: hidden_size: is missing, expected a whole number from 1 to 268435456")
        try AtomicFile.write("{\"model_type\": ", to: path + "/config.json")
        #expect(openingError(path).hasPrefix("\(path)/config.json: line 1, column 16"))
        try AtomicFile.write("", to: path + "/config.json")
        #expect(openingError(path).hasPrefix("\(path)/config.json: line 1, column 1"))
    }

    // MARK: - Weights that do not fit

    @Test func weightsThatDisagreeWithTheConfigurationAreNamed() throws {
        let path = try copy("llama-gqa-f32")
        let file = path + "/model.safetensors"
        try changeConfiguration(path, ["intermediate_size": 30])
        #expect(
            openingError(path)
                == "\(file): model.layers.0.mlp.gate_proj.weight: has shape [28, 16], expected [30, 16] by config.json")
        try changeConfiguration(path, ["intermediate_size": 28, "num_hidden_layers": 3])
        #expect(
            openingError(path) == "\(file): model.layers.2.input_layernorm.weight: is missing, expected shape [16]")
        try changeConfiguration(path, ["num_hidden_layers": 1])
        let surplus =
            "model.layers.1.input_layernorm.weight: has shape [16] but a llama model of this configuration has no such "
        #expect(openingError(path) == "\(file): \(surplus)tensor (9 such tensors)")
        try changeConfiguration(path, ["num_hidden_layers": 2])
        try change(path, "model.norm.weight", Tensor([Int32](repeating: 1, count: 16)))
        #expect(openingError(path) == "\(file): model.norm.weight: has type i32, expected f32, bf16 or f16")
        try change(path, "model.norm.weight", nil)
        #expect(openingError(path) == "\(file): model.norm.weight: is missing, expected shape [16]")
        try change(path, "model.norm.weight", Tensor.ones([16]))
        try change(path, "model.layers.0.self_attn.rotary_emb.inv_freq", Tensor.ones([2]))
        let checkpoint = try Checkpoint.open(path)
        #expect(
            refusal { _ = try checkpoint.weight("model.norm.weight") }
                == "\(file): model.norm.weight: has shape [16], expected a matrix")
        #expect(refusal { _ = try checkpoint.tensor("x") } == "\(path): x: the model has no such weight")
    }

    @Test func damagedWeightFilesAreNamed() throws {
        let path = try copy("llama-gqa-f32")
        let file = path + "/model.safetensors"
        let bytes = try #require(FileManager.default.contents(atPath: file))
        try bytes.dropLast(5).write(to: URL(fileURLWithPath: file))
        #expect(openingError(path).hasPrefix(file + ": "))
        #expect(openingError(path).hasSuffix("truncated?"))
        try Data().write(to: URL(fileURLWithPath: file))
        #expect(openingError(path) == "\(file): is empty, expected a safetensors file")
    }

    @Test func damagedIndexesAreNamed() throws {
        let path = try copy("qwen3-sharded")
        let index = path + "/model.safetensors.index.json"
        let text = try #require(FileManager.default.contents(atPath: index).map { String(decoding: $0, as: UTF8.self) })
        func write(_ from: String, _ to: String) throws {
            try AtomicFile.write(text.replacingOccurrences(of: from, with: to), to: index)
        }
        try write("weight_map", "weights")
        #expect(openingError(path) == "\(index): weight_map: is missing, expected an object")
        try write(
            #""model.norm.weight": "model-00004-of-00004.safetensors""#,
            #""model.norm.weight": "../../secret.safetensors""#)
        let secret = #"expected the name of a file in the same folder, found "../../secret.safetensors""#
        #expect(openingError(path) == "\(index): weight_map.model.norm.weight: \(secret)")
        try write(
            #""model.norm.weight": "model-00004-of-00004.safetensors""#,
            #""model.norm.weight": "model-00001-of-00004.safetensors""#)
        let elsewhere = "names model-00001-of-00004.safetensors, which does not hold the tensor"
        #expect(openingError(path) == "\(index): weight_map.model.norm.weight: \(elsewhere)")
        try AtomicFile.write(text, to: index)
        _ = try Checkpoint.open(path)
        try FileManager.default.removeItem(atPath: path + "/model-00002-of-00004.safetensors")
        #expect(
            openingError(path, .noInput)
                == "\(path)/model-00002-of-00004.safetensors: cannot open: No such file or directory")
        try FileManager.default.copyItem(
            atPath: path + "/model-00001-of-00004.safetensors", toPath: path + "/model-00002-of-00004.safetensors")
        #expect(openingError(path).hasSuffix("is in \(path)/model-00001-of-00004.safetensors too, expected once"))
    }

    // MARK: - Values

    @Test func weightsThatAreNotFiniteAreNamed() throws {
        let path = try copy("llama-gqa-f32")
        let name = "model.layers.1.mlp.up_proj.weight"
        var values = try Checkpoint.open(path).tensor(name).floats()
        values[5 * 16 + 3] = .nan
        try change(path, name, Tensor(values, shape: [28, 16]))
        #expect(
            refusal { try Checkpoint.open(path).checkFinite() }
                == "\(path): \(name): is NaN at [5, 3], expected finite weights")
        values[2] = -.infinity
        try change(path, name, Tensor(values, shape: [28, 16]).converted(to: .bf16))
        #expect(
            refusal { try Checkpoint.open(path).checkFinite(name) }
                == "\(path): \(name): is infinite at [0, 2], expected finite weights")
    }

    @Test(arguments: [DataType.f32, .f64, .bf16, .f16]) func nonFiniteElementsAreFound(type: DataType) {
        for place in [0, 1, 4095, 4096, 4999] {
            for value in [Double.nan, .infinity, -.infinity] {
                var values = [Double](repeating: 1.5, count: 5000)
                #expect(Tensor(values).converted(to: type).firstNonFiniteIndex == nil)
                values[place] = value
                #expect(Tensor(values).converted(to: type).firstNonFiniteIndex == place)
            }
        }
        #expect(Tensor([0, -0.0, 1, 0, 2]).converted(to: type).zeroCount == 3)
    }
}
