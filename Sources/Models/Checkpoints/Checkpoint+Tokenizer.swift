extension Checkpoint {
    /// The tokenizer that comes with the model: in its folder, or in its GGUF file.
    ///
    /// - Throws: `.noInput` when there is none, `.badData` when it is damaged or not supported.
    public func tokenizer() throws -> any Tokenizer {
        if let gguf { return try GGUFVocabulary(gguf).tokenizer() }
        return try TokenizerLoader.load(folder: folder)
    }
}
