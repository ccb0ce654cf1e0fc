import ArgumentParser
import CoppiceModels
import CoppiceTensors
import Foundation

/// `coppice tokenize`: text to tokens and back.
struct Tokenize: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Turn text into tokens, or tokens into text.")

    @OptionGroup var model: ModelArgument
    @Option(help: "The text.")
    var text: String?
    @Option(help: ArgumentHelp("A file with the text.", valueName: "file"))
    var file: String?
    @Option(help: ArgumentHelp("Tokens, separated by commas.", valueName: "1,2,3"))
    var ids: TokenList?
    @Flag(help: "Add the tokens that the model expects around a text.")
    var special = false
    @Flag(help: "Print how fast the text is encoded instead: on one thread, the fastest of three passes.")
    var rate = false
    @OptionGroup var common: CommonOptions

    mutating func validate() throws {
        guard [text != nil, file != nil, ids != nil].count(where: { $0 }) == 1 else {
            throw ValidationError("expected one of --text, --file and --ids")
        }
        if rate, ids != nil { throw ValidationError("--rate: expected a text, found --ids") }
    }

    func run() throws {
        common.apply()
        let tokenizer = try loadTokenizer()
        let tokens: [Int]
        if let ids {
            if let wrong = ids.values.first(where: { !(0..<tokenizer.vocabularySize).contains($0) }) {
                throw CoppiceError(
                    .badData, source: "--ids",
                    "token \(wrong) is outside the vocabulary of \(tokenizer.vocabularySize)")
            }
            tokens = ids.values
        } else {
            let content = try text ?? TextFile.read(file ?? "")
            if rate { return try measure(tokenizer, on: content) }
            tokens = tokenizer.encode(content, addingSpecialTokens: special)
        }
        let decoded = tokenizer.decode(tokens, skippingSpecialTokens: false)
        let pieces = tokens.map { tokenizer.piece($0) }
        if common.json {
            try Output.json(
                .object([
                    "ids": .array(tokens.map { .integer($0) }), "pieces": .array(pieces.map { .string($0) }),
                    "text": .string(decoded),
                ]))
        } else if ids != nil {
            try Output.line(decoded)
        } else {
            try Output.line(tokens.map(String.init).joined(separator: ","))
        }
    }
}

extension Tokenize {
    private func measure(_ tokenizer: any Tokenizer, on content: String) throws {
        let result = TokenizerBenchmark(passes: 3).run(tokenizer, on: content)
        if common.json {
            try Output.json([
                "bytes": .integer(result.byteCount), "tokens": .integer(result.tokenCount),
                "bytes_per_second": .number(result.bytesPerSecond),
            ])
        } else {
            try Output.line(
                "\(result.byteCount) bytes, \(result.tokenCount) tokens: "
                    + "\(Output.bytes(Int(result.bytesPerSecond))) a second")
        }
    }

    /// The tokenizer of a folder, with or without weights, or of a checkpoint file.
    private func loadTokenizer() throws -> any Tokenizer {
        let path = try model.path
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw CoppiceError(.noInput, source: path, "no such file or folder")
        }
        // A GGUF file may hold a vocabulary alone.
        if isFolder.boolValue || path.hasSuffix(".gguf") { return try TokenizerLoader.load(folder: path) }
        return try Checkpoint.open(path).tokenizer()
    }
}

/// A list of tokens on the command line.
struct TokenList: ExpressibleByArgument {
    var values: [Int]

    init?(argument: String) {
        let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
        let values = parts.compactMap { Int($0.trimmingPrefix { $0 == " " }) }
        guard !values.isEmpty, values.count == parts.count else { return nil }
        self.values = values
    }
}
