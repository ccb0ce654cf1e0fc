/// What GGUF files call the tensors of decoder models.
enum GGUFTensorNames {
    /// The factors by which Llama 3 divides rotary frequencies.
    static let rotaryFactors = "rope_freqs.weight"

    private static let whole = [
        "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    ]
    private static let inLayer = [
        "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
        "self_attn.k_norm": "attn_k_norm", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    ]

    /// The name in GGUF files of a tensor that Hugging Face checkpoints call `name`.
    ///
    /// - Precondition: the name is one of ``DecoderConfiguration/tensorShapes``.
    static func name(of name: String) -> String {
        guard let dot = name.lastIndex(of: ".") else { preconditionFailure("\(name) is not a tensor of a decoder") }
        let (stem, ending) = (name[..<dot], name[dot...])
        if let known = whole[String(stem)] { return known + ending }
        let parts = stem.split(separator: ".", maxSplits: 3)
        guard parts.count == 4, let known = inLayer[String(parts[3])] else {
            preconditionFailure("\(name) is not a tensor of a decoder")
        }
        return "blk.\(parts[2]).\(known)\(ending)"
    }

    /// Whether a tensor says only what the metadata says already.
    static func isRedundant(_ name: String) -> Bool {
        name == rotaryFactors || name.hasSuffix(".attn_rot_embd.weight") || name.hasSuffix(".rope_freqs.weight")
    }
}
