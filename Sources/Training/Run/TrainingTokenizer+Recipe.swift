import CoppiceModels
import CoppiceTensors
import Foundation

extension TrainingTokenizer {
    /// The special token that ends a document in vocabularies that are trained here.
    package static let endOfText = "<|endoftext|>"

    /// Files that a tokenizer may consist of.
    private static let fileNames = [
        "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
        "vocab.json", "merges.txt", "chat_template.jinja", "generation_config.json",
    ]

    /// The tokenizer of a recipe.
    ///
    /// - Parameters:
    ///   - text: what a new vocabulary is learned from.
    ///   - folder: where the tokenizer is kept; taken from there when it exists.
    /// - Throws: `.noInput` and `.badData` for a tokenizer that is missing, of an unknown kind or without an end token.
    package static func make(
        _ recipe: TrainingRecipe, text: TrainingText, folder: String, progress: any ProgressReporter
    ) throws -> TrainingTokenizer {
        if !FileManager.default.fileExists(atPath: folder) {
            switch recipe.tokenizer {
            case .trained(let vocabulary): try train(vocabulary, on: text, into: folder, progress)
            case .existing(let path): try copy(path, into: folder)
            }
        }
        let tokenizer = try TokenizerLoader.load(folder: folder)
        let source =
            if case .existing(let path) = recipe.tokenizer { path } else { folder }
        guard let endToken = tokenizer.endTokens.min() else {
            throw CoppiceError(.badData, source: source, "names no end token, expected one to put behind documents")
        }
        var hash = SHA256()
        let files = fileNames.map { folder + "/" + $0 }.filter { FileManager.default.fileExists(atPath: $0) }
        for file in files { hash.update(Array(FileManager.default.contents(atPath: file) ?? Data())) }
        return TrainingTokenizer(
            vocabularySize: tokenizer.vocabularySize, beginToken: tokenizer.beginToken, endToken: endToken,
            digest: hash.finish(), folder: folder, encode: { tokenizer.encode($0, addingSpecialTokens: false) })
    }

    private static func train(
        _ vocabulary: Int, on text: TrainingText, into folder: String, _ progress: any ProgressReporter
    ) throws {
        progress.report("learning a vocabulary of \(vocabulary) tokens from \(text.byteCount) bytes")
        let encoding = try BPETrainer(vocabularySize: vocabulary, specialTokens: [endOfText]).train(text.documents)
        if encoding.vocabularySize < vocabulary {
            progress.report("the text has no more pairs: the vocabulary has \(encoding.vocabularySize) tokens")
        }
        let output = try OutputFolder(at: folder)
        try AtomicFile.write(
            encoding.tokenizerJSON().serialized(pretty: true), to: output.path(for: "tokenizer.json"))
        try AtomicFile.write(
            encoding.tokenizerConfiguration(endToken: endOfText).serialized(pretty: true),
            to: output.path(for: "tokenizer_config.json"))
        try output.commit()
    }

    private static func copy(_ path: String, into folder: String) throws {
        let files = FileManager.default
        var isFolder: ObjCBool = false
        guard files.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw CoppiceError(.noInput, source: path, "no such file or folder, expected a tokenizer")
        }
        let url = URL(fileURLWithPath: path)
        let (parent, names) =
            isFolder.boolValue ? (path, fileNames) : (url.deletingLastPathComponent().path, [url.lastPathComponent])
        let present = names.filter { files.fileExists(atPath: parent + "/" + $0) }
        guard !present.isEmpty else {
            throw CoppiceError(.noInput, source: path, "holds no tokenizer, expected tokenizer.json or tokenizer.model")
        }
        let output = try OutputFolder(at: folder)
        for name in present {
            do {
                try files.copyItem(atPath: parent + "/" + name, toPath: output.path(for: name))
            } catch {
                throw CoppiceError(.inputOutput, source: parent + "/" + name, "cannot be copied to \(folder)")
            }
        }
        try output.commit()
    }
}
