import CoppiceTensors
import Foundation

/// Finds and reads a model's tokenizer.
///
/// In a folder the first of these counts: `tokenizer.json` (Hugging Face `tokenizers`), `tokenizer.model`
/// (SentencePiece, or a rank file under that name), `vocab.json` with `merges.txt`, BERT's `vocab.txt`, a `.tiktoken`
/// rank file, and llama2.c's `tokenizer.bin` or `tok*.bin`. `tokenizer_config.json`, `generation_config.json` and `config.json` beside
/// it say which tokens begin a text and end an answer. A GGUF file, with or without weights, holds all of that.
public enum TokenizerLoader {
    /// Loads the tokenizer in `folder`, or from the file `folder` if that is one.
    ///
    /// - Throws: ``CoppiceError``: `noInput` when there is none, `badData` for one that is damaged or of a kind that is
    ///   not known, with the file and the field.
    public static func load(folder: String) throws -> any Tokenizer {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: folder, isDirectory: &isFolder) else {
            throw CoppiceError(.noInput, source: folder, "no such file or folder")
        }
        if !isFolder.boolValue, folder.hasSuffix(".gguf") {
            return try GGUFVocabulary(GGUFFile(path: folder)).tokenizer()
        }
        let path = isFolder.boolValue ? try find(in: folder) : folder
        let parent = isFolder.boolValue ? folder : URL(fileURLWithPath: folder).deletingLastPathComponent().path
        return try load(file: path, configuration: try TokenizerConfiguration(folder: parent))
    }

    /// The file that counts in a folder.
    ///
    /// - Throws: `noInput` when there is none.
    static func find(in folder: String) throws -> String {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder))?.sorted() ?? []
        for wanted in ["tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt"] where names.contains(wanted) {
            return folder + "/" + wanted
        }
        let isRankFile = { (name: String) in name.hasSuffix(".tiktoken") }
        let isLlama2C = { (name: String) in
            name == "tokenizer.bin" || (name.hasPrefix("tok") && name.hasSuffix(".bin"))
        }
        guard let name = names.first(where: isRankFile) ?? names.first(where: isLlama2C) else {
            throw CoppiceError(
                .noInput, source: folder,
                "no tokenizer: expected tokenizer.json, tokenizer.model, vocab.json with merges.txt, "
                    + "vocab.txt, a .tiktoken file or tokenizer.bin")
        }
        return folder + "/" + name
    }

    private static func load(file path: String, configuration: TokenizerConfiguration) throws -> any Tokenizer {
        let bytes = try contents(of: path)
        guard !bytes.isEmpty else { throw CoppiceError(.badData, source: path, "the file is empty") }
        do {
            switch URL(fileURLWithPath: path).lastPathComponent {
            case "vocab.json":
                let merges = URL(fileURLWithPath: path).deletingLastPathComponent().path + "/merges.txt"
                return try VocabularyAndMerges.load(
                    bytes, source: path, merges: try contents(of: merges), mergesSource: merges, configuration)
            case let name where name.hasSuffix(".txt"):
                return try WordPieceVocabularyFile.load(bytes, source: path, configuration)
            case let name where name.hasSuffix(".json"):
                return try TokenizerJSON.load(bytes, source: path, configuration)
            case let name where name.hasSuffix(".bin"):
                return try Llama2CTokenizerFile.load(bytes, source: path, configuration)
            case let name where name.hasSuffix(".tiktoken"):
                return try RankFile.load(bytes, source: path, configuration)
            default:
                return RankFile.isRankFile(bytes)
                    ? try RankFile.load(bytes, source: path, configuration)
                    : try SentencePieceFile.load(bytes, source: path, configuration)
            }
        } catch var error as CoppiceError where error.source == nil {
            error.source = path
            throw error
        }
    }

    static func contents(of path: String) throws -> [UInt8] {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw CoppiceError(.noInput, source: path, "the file is missing or cannot be read")
        }
        return Array(data)
    }
}
