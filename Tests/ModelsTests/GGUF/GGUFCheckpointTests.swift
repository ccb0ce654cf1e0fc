import CoppiceFormats
import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

/// Models in GGUF: those that the reference implementation wrote, and our own, back and forth.
@Suite struct GGUFCheckpointTests {
    let scratch: ScratchFolder

    init() throws { scratch = try ScratchFolder() }

    private func folder(_ name: String) throws -> Checkpoint { try Checkpoint.open(fixtures + "/models/" + name) }

    /// Whether two models have the same configuration but for what GGUF has no words for, and the same weights.
    private func expectSame(
        _ found: Checkpoint, _ expected: Checkpoint, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        var (a, b) = (found.configuration, expected.configuration)
        if case .llama3 = a.rotary.scaling, case .llama3 = b.rotary.scaling {
            let (x, y) = (a.rotary, b.rotary)
            let angles = zip(
                x.frequencies(headSize: a.headSize, context: 64, length: 0).angles,
                y.frequencies(headSize: b.headSize, context: 64, length: 0).angles)
            #expect(angles.allSatisfy { abs($0 / $1 - 1) < 1e-6 }, sourceLocation: sourceLocation)
            a.rotary.scaling = .none
            b.rotary.scaling = .none
        }
        a.dataType = b.dataType
        #expect(a == b, sourceLocation: sourceLocation)
        #expect(found.weightNames == expected.weightNames, sourceLocation: sourceLocation)
        for name in expected.weightNames {
            #expect(
                try found.tensor(name).converted(to: .f32).floats()
                    == expected.tensor(name).converted(to: .f32).floats(),
                "\(name)", sourceLocation: sourceLocation)
        }
    }

    @Test func readsModelsOfTheReferenceImplementation() throws {
        for name in ["llama-biases-llama3-tied", "qwen2-windows-tied", "qwen3-sharded"] {
            let found = try Checkpoint.open(fixtures + "/gguf/\(name).gguf")
            let expected = try folder(name)
            // Neither windows nor further end tokens are written there.
            var configuration = expected.configuration
            configuration.slidingWindow = nil
            configuration.layersWithWindow = nil
            configuration.endTokens = []
            #expect(found.configuration.endTokens.isEmpty)
            var same = found.configuration
            same.rotary.scaling = configuration.rotary.scaling
            same.dataType = configuration.dataType
            #expect(same == configuration)
            #expect(!found.isCompressed)
            #expect(try found.tensor("model.embed_tokens.weight").storage.isReadOnly, "a view of the mapped file")
            for weight in expected.weightNames {
                #expect(
                    try found.tensor(weight).converted(to: .f32).floats()
                        == expected.tensor(weight).converted(to: .f32).floats(), "\(name): \(weight)")
            }
        }
        let llama3 = try Checkpoint.open(fixtures + "/gguf/llama-biases-llama3-tied.gguf").configuration.rotary
        let given = try folder("llama-biases-llama3-tied").configuration.rotary
        for (x, y) in zip(
            llama3.frequencies(headSize: 6, context: 64, length: 0).angles,
            given.frequencies(headSize: 6, context: 64, length: 0).angles)
        { #expect(abs(x / y - 1) < 1e-6) }
        let linear = try Checkpoint.open(fixtures + "/gguf/qwen2-windows-tied.gguf").configuration.rotary
        #expect(linear.scaling == .linear(factor: 2))
    }

    @Test(arguments: [
        "llama-gqa-f32", "llama-biases-llama3-tied", "llama-yarn-multi-query", "mistral-sliding", "qwen2-windows-tied",
        "qwen3-sharded",
    ]) func modelsComeBack(name: String) throws {
        let original = try folder(name)
        let path = scratch[name + ".gguf"]
        try original.convert(toGGUF: path)
        let found = try Checkpoint.open(path)
        try expectSame(found, original)
        #expect(found.configuration.dataType == original.configuration.dataType)
        for name in original.weightNames where original.shape(of: name)?.count == 1 {
            #expect(try found.tensor(name).dataType == .f32, "vectors are f32")
        }
        // And as a folder again.
        try found.convert(to: scratch["back"])
        try expectSame(try Checkpoint.open(scratch["back"]), original)
    }

    /// A model whose rows are whole blocks of 256.
    private func wide(_ family: DecoderConfiguration.Family = .llama, ties: Bool = false) throws -> Checkpoint {
        let configuration = DecoderConfiguration(
            family: family, vocabularySize: 40, hiddenSize: 256, intermediateSize: 288, layerCount: 1, headCount: 4,
            keyValueHeadCount: 2, maximumPositions: 128, tiesEmbeddings: ties, beginToken: 1, endTokens: [2],
            dataType: .f32)
        let writer = try CheckpointWriter(
            path: scratch["wide-\(family.rawValue)-\(ties)"], configuration: configuration)
        var generator = SplitMix(state: 5)
        for (name, shape) in configuration.tensorShapes {
            let values = (0..<shape.reduce(1, *)).map { _ in
                (Float(generator.next() >> 40) + Float(generator.next() >> 40)) / Float(1 << 24) - 1
            }
            try writer.add(name, Tensor(values, shape: shape))
        }
        try writer.finish()
        return try Checkpoint.open(scratch["wide-\(family.rawValue)-\(ties)"])
    }

    @Test(arguments: GGUFWeightType.allCases) func matricesTakeTheTypeAskedFor(type: GGUFWeightType) throws {
        for (family, ties) in [(DecoderConfiguration.Family.llama, false), (.qwen2, true)] {
            let original = try wide(family, ties: ties)
            let path = scratch["\(family.rawValue).gguf"]
            try original.convert(toGGUF: path, type: type)
            let file = try GGUFFile(path: path)
            let blocks = type.rawValue.hasPrefix("q")
            let own = type == .q4_k_m ? "q4_k" : type.rawValue
            #expect(file.tensors["blk.0.ffn_up.weight"]?.type.description == own)
            #expect(file.tensors["blk.0.attn_norm.weight"]?.type == .dense(.f32))
            // Rows of 288 are whole blocks of 32, not of 256.
            let down = type == .q4_k ? "q4_0" : type == .q6_k || type == .q4_k_m ? "q8_0" : type.rawValue
            #expect(file.tensors["blk.0.ffn_down.weight"]?.type.description == down)
            let head = type == .q4_0 || own == "q4_k" ? "q6_k" : type.rawValue
            #expect(file.tensors[ties ? "token_embd.weight" : "output.weight"]?.type.description == head)
            #expect((file.tensors["output.weight"] == nil) == ties)

            let found = try Checkpoint.open(path)
            #expect(found.isCompressed == blocks)
            let bound: [GGUFWeightType: Float] = [.f32: 0, .f16: 1e-3, .bf16: 5e-3, .q8_0: 5e-3, .q6_k: 0.05]
            for name in original.weightNames {
                let x = try original.tensor(name).floats(), y = try found.tensor(name).converted(to: .f32).floats()
                let worst = zip(x, y).reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
                #expect(worst <= bound[type] ?? 0.2, "\(name) as \(type)")
                guard found.shape(of: name)?.count == 2 else { continue }
                #expect(try found.weight(name).dense().floats() == y)
            }
            // Blocks stay as they are, there and back.
            try found.convert(toGGUF: scratch["again.gguf"])
            let again = try GGUFFile(path: scratch["again.gguf"])
            for (name, info) in file.tensors {
                #expect(again.tensors[name]?.type == info.type)
                let x = try file.tensor(name), y = try again.tensor(name)
                let same = x.byteCount == y.byteCount && memcmp(x.basePointer, y.basePointer, x.byteCount) == 0
                #expect(same, "\(name)")
            }
        }
    }

    /// Which layers of 24 have more bits in llama.cpp's Q4_K_M, by its own quantizer.
    @Test func mixturesFollowLlamaCpp() {
        func type(_ name: String, layer: Int, head: Bool = false) -> String {
            GGUFWeightType.q4_k_m.type(
                of: "model.layers.\(layer).\(name).weight", isHead: head, columns: 512, layers: 24
            ).description
        }
        let more = [0, 1, 2, 5, 8, 11, 14, 17, 20, 21, 22, 23]
        for name in ["self_attn.v_proj", "mlp.down_proj"] {
            #expect((0..<24).filter { type(name, layer: $0) == "q6_k" } == more)
        }
        for name in ["self_attn.q_proj", "self_attn.o_proj", "mlp.up_proj", "mlp.gate_proj"] {
            #expect((0..<24).allSatisfy { type(name, layer: $0) == "q4_k" })
        }
        let embedding = GGUFWeightType.q4_k_m.type(
            of: "model.embed_tokens.weight", isHead: false, columns: 512, layers: 24)
        #expect(embedding.description == "q4_k")
    }

    @Test func aFolderHoldsBlocks() throws {
        try wide().convert(toGGUF: scratch["w.gguf"], type: .q4_k)
        let source = try Checkpoint.open(scratch["w.gguf"])
        let writer = try CheckpointWriter(path: scratch["folder"], basedOn: source)
        for name in source.weightNames {
            if source.isCompressed(name) {
                try writer.add(name, source.stored(name))
            } else {
                try writer.add(name, source.tensor(name))
            }
        }
        try writer.finish()
        let found = try Checkpoint.open(scratch["folder"])
        for name in source.weightNames {
            #expect(try found.tensor(name).floats() == source.tensor(name).floats())
        }
        #expect(try found.weight("model.layers.0.self_attn.q_proj.weight").label == "q4_k")
    }

    @Test func compressedModelsKeepTheirMatrices() throws {
        let original = try wide()
        let writer = try CheckpointWriter(path: scratch["small"], basedOn: original)
        for name in original.weightNames {
            let tensor = try original.tensor(name)
            switch name {
            case let name where name.contains("q_proj"):
                let quantization = IntegerQuantization(bits: 4, groupSize: 32)
                try writer.add(name, IntegerGroupWeight(quantizing: tensor, quantization).stored())
            case let name where name.contains("up_proj"):
                let quantization = IntegerQuantization(bits: 8)
                try writer.add(name, IntegerGroupWeight(quantizing: tensor, quantization).stored())
            case let name where name.contains("gate_proj"):
                try writer.add(name, BitmaskSparseWeight(packing: tensor, values: .float(.bf16)).stored())
            case let name where name.contains("v_proj"):
                let quantization = IntegerQuantization(bits: 8, groupSize: 32, isSymmetric: false)
                try writer.add(name, IntegerGroupWeight(quantizing: tensor, quantization).stored())
            case let name where name.contains("o_proj"):
                let quantization = BitPlaneQuantization(bits: 5, groupSize: 64)
                try writer.add(name, BitPlaneWeight(quantizing: tensor, quantization).stored())
            case let name where name.contains("down_proj"):
                let quantization = CodebookQuantization(bits: 4, groupSize: 32)
                try writer.add(name, CodebookWeight(quantizing: tensor, quantization).stored())
            default: try writer.add(name, tensor)
            }
        }
        try writer.finish()
        let small = try Checkpoint.open(scratch["small"])
        try small.convert(toGGUF: scratch["small.gguf"])
        let file = try GGUFFile(path: scratch["small.gguf"])
        let types = [
            "attn_q": "q4_0", "ffn_up": "q8_0", "ffn_gate": "bf16", "attn_v": "q8_0", "attn_k": "f32",
            "attn_output": "q5_0", "ffn_down": "q8_0",
        ]
        for (name, type) in types { #expect(file.tensors["blk.0.\(name).weight"]?.type.description == type) }
        let found = try Checkpoint.open(scratch["small.gguf"])
        for name in small.weightNames {
            let x = try small.tensor(name).floats(), y = try found.tensor(name).converted(to: .f32).floats()
            if name.contains("v_proj") {
                #expect(zip(x, y).allSatisfy { abs($0 - $1) < 0.01 }, "rounded anew")
            } else {
                #expect(x == y, "\(name)")
            }
        }
    }

    // MARK: - Files that are refused

    private func change(_ edit: (inout [UInt8]) throws -> Void) throws -> String {
        var bytes = Array(
            try #require(FileManager.default.contents(atPath: fixtures + "/gguf/qwen2-windows-tied.gguf")))
        try edit(&bytes)
        let path = try scratch.write("changed.gguf", bytes)
        let text = refusal { _ = try Checkpoint.open(path) }
        return String(text.dropFirst(path.count + 2))
    }

    /// Replaces the first occurrence of a text by another of the same length.
    private func replace(_ bytes: inout [UInt8], _ from: String, _ to: String) throws {
        let data = Data(bytes)
        let range = try #require(data.range(of: Data(from.utf8)))
        #expect(from.utf8.count == to.utf8.count)
        bytes.replaceSubrange(range, with: Array(to.utf8))
    }

    @Test func otherArchitecturesAreRefused() throws {
        #expect(
            try change { try replace(&$0, "qwen2", "qwenX") }
                == "general.architecture: expected one of llama, qwen2, qwen3, found \"qwenX\"")
    }

    @Test func missingAndUnknownTensorsAreNamed() throws {
        #expect(
            try change { try replace(&$0, "blk.1.ffn_up.weight", "blk.7.ffn_up.weight") }
                == "blk.1.ffn_up.weight: is missing, expected shape [36, 24]")
        #expect(
            try change { try replace(&$0, "qwen2.block_count", "qwen2.block_kount") }
                == "qwen2.block_count: is missing, expected a whole number from 1 to 10000")
        #expect(
            try change { bytes in
                let key = Data("qwen2.block_count".utf8)
                let end = try #require(Data(bytes).range(of: key)).upperBound
                bytes[end + 4] = 1
            }.contains("but a qwen2 model of this configuration has no such tensor"))
        #expect(
            try change { bytes in
                let end = try #require(Data(bytes).range(of: Data("qwen2.embedding_length".utf8))).upperBound
                bytes[end + 4] = 16
            } == "token_embd.weight: has shape [67, 24], expected [67, 16] by the metadata")
        #expect(
            try change { bytes in
                let end = try #require(Data(bytes).range(of: Data("qwen2.attention.head_count".utf8))).upperBound
                bytes[end + 4] = 5
            } == "qwen2.attention.head_count_kv: expected a divisor of head_count, 5, found 2")
    }
}
