/// What a run needs of a tokenizer.
package struct TrainingTokenizer: Sendable {
    package var vocabularySize: Int
    package var beginToken: Int?
    /// Put behind each document.
    package var endToken: Int
    /// Names the tokenizer by its content.
    package var digest: String
    /// Where its files are, to be copied into the model's folder.
    package var folder: String
    package var encode: @Sendable (String) throws -> [Int]

    package init(
        vocabularySize: Int, beginToken: Int?, endToken: Int, digest: String, folder: String,
        encode: @escaping @Sendable (String) throws -> [Int]
    ) {
        self.vocabularySize = vocabularySize
        self.beginToken = beginToken
        self.endToken = endToken
        self.digest = digest
        self.folder = folder
        self.encode = encode
    }
}
