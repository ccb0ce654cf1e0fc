import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

@Suite struct Llama2CTests {
    let scratch: ScratchFolder

    init() throws { scratch = try ScratchFolder() }

    /// A model of width 8 with two heads over one; each element is its own number.
    private func file(vocabulary: Int32 = 5, header: [Int32]? = nil, dropping: Int = 0) throws -> String {
        let header = header ?? [8, 12, 2, 2, 1, vocabulary, 16]
        let counts: [Int] = [40, 16, 128, 64, 64, 128, 16, 192, 192, 192, 8, 32, 32]
        let count = counts.reduce(0, +) + (vocabulary < 0 ? 40 : 0)
        var bytes = header.flatMap { withUnsafeBytes(of: $0.littleEndian, Array.init) }
        bytes += (0..<count).flatMap { withUnsafeBytes(of: Float($0).bitPattern.littleEndian, Array.init) }
        return try scratch.write("model.bin", bytes.dropLast(dropping))
    }

    private func error(_ path: String) -> String {
        String(refusal { _ = try Checkpoint.open(path) }.dropFirst(path.count + 2))
    }

    @Test func readsEveryWeight() throws {
        let checkpoint = try Checkpoint.open(try file())
        let model = checkpoint.configuration
        #expect(model.hiddenSize == 8 && model.intermediateSize == 12 && model.layerCount == 2 && model.headCount == 2)
        #expect(model.keyValueHeadCount == 1 && model.headSize == 4 && model.vocabularySize == 5)
        #expect(model.maximumPositions == 16 && model.tiesEmbeddings && !model.rotary.isInterleaved)
        #expect(model.beginToken == 1 && model.endTokens == [2])
        func first(_ name: String) throws -> Float { try checkpoint.tensor(name).floats()[0] }
        #expect(try first("model.embed_tokens.weight") == 0)
        #expect(try first("model.layers.1.input_layernorm.weight") == 48)
        #expect(try first("model.layers.0.self_attn.q_proj.weight") == 56)
        #expect(try first("model.layers.1.self_attn.q_proj.weight") == 120)
        #expect(try first("model.layers.0.self_attn.k_proj.weight") == 184)
        #expect(try first("model.layers.0.self_attn.v_proj.weight") == 248)
        #expect(try first("model.layers.0.self_attn.o_proj.weight") == 312)
        #expect(try first("model.layers.0.post_attention_layernorm.weight") == 440)
        #expect(try first("model.layers.0.mlp.gate_proj.weight") == 456)
        #expect(try first("model.layers.0.mlp.down_proj.weight") == 648)
        #expect(checkpoint.shape(of: "model.layers.0.mlp.down_proj.weight") == [8, 12])
        #expect(try first("model.layers.1.mlp.up_proj.weight") == 936)
        #expect(try first("model.norm.weight") == 1032)
        // Rows 0, 2, 1, 3 of each head of four: pairs (0, 1), (2, 3) become pairs (0, 2), (1, 3).
        let queries = try checkpoint.tensor("model.layers.0.self_attn.q_proj.weight").floats()
        let order: [Float] = [0, 2, 1, 3, 4, 6, 5, 7]
        #expect((0..<8).map { queries[$0 * 8] } == order.map { row in 56 + row * 8 })
        #expect(try checkpoint.weight("model.layers.0.self_attn.q_proj.weight").dense().floats() == queries)
    }

    @Test func aHeadOfItsOwnIsAtTheEnd() throws {
        let checkpoint = try Checkpoint.open(try file(vocabulary: -5))
        #expect(checkpoint.configuration.vocabularySize == 5 && !checkpoint.configuration.tiesEmbeddings)
        #expect(try checkpoint.tensor("lm_head.weight").floats()[0] == 1104)
    }

    @Test func damagedFilesAreRefused() throws {
        #expect(error(try file(dropping: 4)) == "has 4440 bytes, expected 4444 for a llama2.c model with this header")
        #expect(error(try scratch.write("a.bin", [1, 2, 3])) == "has 3 bytes, expected a llama2.c model")
        #expect(
            error(try scratch.write("b.bin", "PK" + String(repeating: "x", count: 40)))
                == "is a PyTorch file, expected safetensors or a llama2.c model")
        #expect(
            error(try file(header: [0x616b_3432, 1, 8, 8, 2, 2, 1]))
                == "version: expected a llama2.c model of version 0, found 1")
        #expect(
            error(try file(header: [8, -12, 2, 2, 1, 5, 16]))
                == "hidden_dim: expected 1 to 4194304, found -12: not a llama2.c model?")
        #expect(
            error(try file(header: [8, 12, 2, 3, 1, 5, 16]))
                == "n_heads: expected a divisor of dim, 8, that leaves heads of even size, found 3")
        #expect(
            error(try file(header: [8, 12, 2, 4, 3, 5, 16])) == "n_kv_heads: expected a divisor of n_heads, 4, found 3")
    }

    @Test(.enabled(if: ProcessInfo.processInfo.environment["COPPICE_DATA"] != nil))
    func aPublishedModelEqualsItsSafetensors() throws {
        let folder = try #require(ProcessInfo.processInfo.environment["COPPICE_DATA"]) + "/stories260k"
        let checkpoint = try Checkpoint.open(folder + "/stories260K.bin")
        let reference = try SafetensorsFile(path: folder + "/stories260K.safetensors")
        for name in checkpoint.weightNames {
            let expected = try reference.tensor(name)
            let found = try checkpoint.tensor(name)
            #expect(found.shape == expected.shape)
            if name.contains("q_proj") || name.contains("k_proj") {
                let width = expected.shape[1]
                let (a, b) = (found.floats(), expected.floats())
                for row in 0..<expected.shape[0] {
                    let target = row / 8 * 8 + row % 2 * 4 + row % 8 / 2
                    #expect(a[target * width..<(target + 1) * width] == b[row * width..<(row + 1) * width])
                }
            } else {
                #expect(found.floats() == expected.floats())
            }
        }
        try checkpoint.checkFinite()
        try checkpoint.convert(to: scratch["hf"], dataType: .f32)
        #expect(try Checkpoint.open(scratch["hf"]).configuration == checkpoint.configuration)
        #expect(FileManager.default.fileExists(atPath: scratch["hf/tok512.bin"]))
    }
}
