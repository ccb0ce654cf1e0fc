import CoppiceFormats
import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

/// Thousands of damaged files: each is refused in one line, or opens and can be used.
@Suite struct GGUFMutationTests {
    let scratch: ScratchFolder

    init() throws { scratch = try ScratchFolder() }

    /// A small model with blocks and a vocabulary.
    private func model() throws -> [UInt8] {
        let configuration = DecoderConfiguration(
            vocabularySize: 24, hiddenSize: 32, intermediateSize: 32, layerCount: 1, headCount: 2, tiesEmbeddings: true,
            beginToken: 1, endTokens: [2])
        var metadata = GGUFMetadata()
        metadata.add("general.architecture", "llama")
        for (key, value) in [
            ("context_length", 64), ("embedding_length", 32), ("block_count", 1), ("feed_forward_length", 32),
            ("attention.head_count", 2),
        ] { metadata.add("llama." + key, value) }
        metadata.add("llama.attention.layer_norm_rms_epsilon", 1e-5)
        metadata.add("tokenizer.ggml.model", "gpt2")
        metadata.add("tokenizer.ggml.pre", "gpt-2")
        let tokens = ["<s>", "</s>", "ab", "abc"] + (0..<20).map { String(UnicodeScalar(UInt8(97 + $0))) }
        metadata.add("tokenizer.ggml.tokens", strings: tokens.map { Array($0.utf8) })
        metadata.add("tokenizer.ggml.token_type", integers: tokens.indices.map { $0 < 2 ? 3 : 1 })
        metadata.add("tokenizer.ggml.merges", strings: ["a b", "ab c"].map { Array($0.utf8) })
        metadata.add("tokenizer.ggml.bos_token_id", 0)
        metadata.add("tokenizer.ggml.eos_token_id", 1)
        metadata.add("tokenizer.chat_template", "{{ messages[0].content }}")
        let names = [
            "embed_tokens": "token_embd", "input_layernorm": "attn_norm", "q_proj": "attn_q", "k_proj": "attn_k",
            "v_proj": "attn_v", "o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
            "gate_proj": "ffn_gate",
            "up_proj": "ffn_up", "down_proj": "ffn_down", "norm": "output_norm",
        ]
        let types: [BlockType] = [.q4_0, .q8_0, .q4_1, .q5_0, .q5_1, .iq4_nl]
        var entries: [GGUFWriter.Entry] = []
        for (index, (name, shape)) in configuration.tensorShapes.enumerated() {
            let key = name.split(separator: ".").dropLast().last.map(String.init) ?? ""
            let stem = (name.contains("layers") ? "blk.0." : "") + (names[key] ?? "")
            let type: GGUFTensorType = shape.count == 1 ? .dense(.f32) : .block(types[index % types.count])
            let count = shape.count == 1 ? shape[0] * 4 : shape[0] * types[index % types.count].byteCount
            entries.append(
                GGUFWriter.Entry(stem + ".weight", type: type, shape: shape) {
                    Tensor([UInt8](repeating: 1, count: count), shape: [count])
                })
        }
        let path = scratch["model.gguf"]
        try GGUFWriter.write(entries, metadata: metadata, to: path)
        return Array(try #require(FileManager.default.contents(atPath: path)))
    }

    @Test func mutatedModelsNeverCrash() throws {
        let original = try model()
        let headerEnd = try GGUFFile(path: scratch["model.gguf"]).tensors.values.map(\.bytes.lowerBound).min() ?? 0
        var generator = SplitMix(state: 77)
        var opened = 0, tokenizers = 0
        for round in 0..<3000 {
            var bytes = original
            switch generator.next() % 8 {
            case 0: bytes.removeLast(Int(generator.next() % UInt64(bytes.count)))
            case 1:
                bytes.insert(UInt8(truncatingIfNeeded: generator.next()), at: Int(generator.next() % UInt64(headerEnd)))
            case 2: bytes.remove(at: Int(generator.next() % UInt64(headerEnd)))
            default: break
            }
            for _ in 0..<(1 + generator.next() % 3) where !bytes.isEmpty {
                let place = Int(generator.next() % UInt64(min(headerEnd, bytes.count)))
                // Small and extreme numbers disturb counts more often than arbitrary bytes do.
                let choices: [UInt8] = [
                    0, 1, 2, 3, 12, 13, 0x7f, 0x80, 0xff, UInt8(truncatingIfNeeded: generator.next()),
                ]
                bytes[place] = choices[Int(generator.next() % UInt64(choices.count))]
            }
            let path = try scratch.write("mutated.gguf", bytes)
            do {
                let checkpoint = try Checkpoint.open(path)
                opened += 1
                for name in checkpoint.weightNames {
                    let tensor = try checkpoint.tensor(name)
                    #expect(tensor.shape == checkpoint.shape(of: name))
                }
                _ = checkpoint.chatTemplate
                let tokenizer = try checkpoint.tokenizer()
                tokenizers += 1
                guard round % 16 == 0 else { continue }
                _ = tokenizer.decode(
                    tokenizer.encode("abcab zz", addingSpecialTokens: true), skippingSpecialTokens: false)
            } catch let error as CoppiceError {
                #expect(error.kind == .badData || error.kind == .noInput, "\(error)")
                #expect(!error.description.contains("\n"))
            }
        }
        #expect(opened > 100, "some mutations are harmless")
        #expect(opened < 2700, "many are not")
        #expect(tokenizers > 100 && tokenizers <= opened)
    }
}
