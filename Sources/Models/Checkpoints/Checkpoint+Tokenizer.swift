extension Checkpoint {
    /// The tokenizer that comes with the model.
    ///
    /// - Throws: `.noInput` when there is none in the model's folder, `.badData` when it is damaged or not supported.
    public func tokenizer() throws -> any Tokenizer { try TokenizerLoader.load(folder: folder) }
}
