/// The tokens that begin a text and end an answer, as a GGUF file's metadata names them.
struct GGUFSpecialTokens {
    var begin: Int?
    /// The end of a text, of a turn and of a message, and other tokens whose names say that an answer ends.
    var ends: Set<Int> = []
    var unknown: Int?

    private static let namesOfEnds: Set<String> = [
        "<|eot_id|>", "<|im_end|>", "<|end|>", "<|endoftext|>", "<|end_of_text|>", "<|eom_id|>", "<end_of_turn>",
        "<|EOT|>", "<EOT>", "<｜end▁of▁sentence｜>",
    ]

    /// - Parameter vocabularySize: tokens at or beyond it are left out.
    init(_ file: GGUFFile, vocabularySize: Int) {
        func token(_ key: String) -> Int? {
            file.metadata["tokenizer.ggml.\(key)_token_id"]?.intValue.flatMap {
                $0 >= 0 && $0 < vocabularySize ? $0 : nil
            }
        }
        begin = token("bos")
        unknown = token("unknown")
        ends = Set(["eos", "eot", "eom"].compactMap(token))
        guard let types = file.metadata["tokenizer.ggml.token_type"]?.arrayValue?.integers else { return }
        var id = 0
        file.metadata["tokenizer.ggml.tokens"]?.arrayValue?.forEachString { bytes in
            defer { id += 1 }
            guard id < types.count, id < vocabularySize, bytes.count < 32 else { return }
            let isControl = types[id] == GGUFVocabulary.Kind.control.rawValue
            if isControl, Self.namesOfEnds.contains(String(decoding: bytes, as: UTF8.self)) { ends.insert(id) }
        }
    }
}
