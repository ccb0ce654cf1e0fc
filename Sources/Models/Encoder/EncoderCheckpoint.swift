import CoppiceFormats
import CoppiceTensors
import Foundation

/// A stored encoder of the BERT or RoBERTa kind: a Hugging Face folder with `config.json`, safetensors and a tokenizer, or
/// a `.safetensors` file with the others beside it. A folder that Coppice compressed is the same with some matrices in a
/// ``WeightFormat``.
///
/// ```swift
/// let checkpoint = try EncoderCheckpoint.open("roberta-base")
/// let model = try checkpoint.maskedLanguageModel()
/// let frame = try checkpoint.textFrame()
/// ```
public struct EncoderCheckpoint: Sendable {
    /// As it was opened, without a slash at the end.
    public let path: String
    /// Where configuration and tokenizer are.
    public let folder: String
    public let configuration: EncoderConfiguration
    /// `config.json` as it is.
    public let configurationJSON: JSON
    let weights: StoredTensors

    /// What surrounds a text, and what stands in the place of a hidden token.
    public struct TextFrame: Sendable, Hashable {
        /// `<s>` of RoBERTa, `[CLS]` of BERT.
        public var begin: Int
        /// `</s>` of RoBERTa, `[SEP]` of BERT.
        public var end: Int
        /// `<mask>` of RoBERTa, `[MASK]` of BERT.
        public var mask: Int

        public init(begin: Int, end: Int, mask: Int) {
            self.begin = begin
            self.end = end
            self.mask = mask
        }
    }

    /// Whether a path is that of an encoder, by the `model_type` of its configuration. O(configuration).
    public static func isMeant(_ path: String) -> Bool {
        let file = folder(of: path) + "/config.json"
        guard let bytes = try? MappedFile.contents(file), let json = try? JSON(parsing: bytes, source: file) else {
            return false
        }
        return EncoderConfiguration.Family(rawValue: json["model_type"]?.stringValue ?? "") != nil
    }

    private static func folder(of path: String) -> String {
        guard path.hasSuffix(".safetensors") else { return path }
        let parent = PendingOutput.split(path).folder
        return parent.isEmpty ? "." : parent == "/" ? "/" : String(parent.dropLast())
    }

    /// Opens an encoder. O(header): weights are not read.
    ///
    /// - Throws: `.noInput` when a file is missing; `.badData` when one is damaged or not supported.
    public static func open(_ path: String) throws -> EncoderCheckpoint {
        var path = path
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        let folder = folder(of: path)
        let file = folder + "/config.json"
        guard FileManager.default.fileExists(atPath: file) else {
            throw CoppiceError(.noInput, source: file, "no such file, expected the model's configuration")
        }
        let json = try JSON(parsing: MappedFile.contents(file), source: file)
        return EncoderCheckpoint(
            path: path, folder: folder, configuration: try EncoderConfiguration(json: json, source: file),
            configurationJSON: json,
            weights: try StoredTensors(
                path == folder ? try SafetensorsSet(folder: path) : try SafetensorsSet(file: path)))
    }

    /// A tensor by its name, also where the checkpoint has it under an older one: `LayerNorm.gamma` and
    /// `LayerNorm.beta` of the first BERTs, and the bias of the head as `decoder.bias`.
    ///
    /// - Throws: `.badData` when there is none.
    public func tensor(_ name: String) throws -> Tensor {
        guard let stored = storedName(of: name) else {
            throw CoppiceError(.badData, source: weights.source, field: name, "no tensor of this name")
        }
        return try weights.tensor(stored)
    }

    /// All tensors of the files, by the names that they have there, those of other heads among them.
    public var storedNames: [String] { weights.names }

    /// A tensor by the name that it has in the files; a compressed one is expanded to f32.
    ///
    /// - Throws: `.badData` when there is none, and for parts of a compressed matrix that do not fit together.
    public func storedTensor(_ name: String) throws -> Tensor { try weights.tensor(name) }

    /// The shape of a tensor by the name that it has in the files; nil when there is none.
    public func storedShape(_ name: String) -> [Int]? { weights.shape(of: name) }

    /// Whether a tensor, by the name that it has in the files, is a compressed matrix.
    public func isCompressed(_ name: String) -> Bool { weights.isCompressed(name) }

    /// A matrix in the format that it is stored in, by the name that it has in the files. Dense ones are views of a file.
    ///
    /// - Throws: `.badData` when there is no such matrix or its parts do not fit together.
    public func weight(_ name: String) throws -> any WeightFormat {
        if let weight = try weights.weight(name) { return weight }
        let tensor = try weights.tensor(name)
        return try Checkpoint.inFile(weights.source) {
            try DenseWeight(
                stored: StoredWeight(name: name, format: DenseWeight.name, shape: tensor.shape, tensors: ["": tensor]))
        }
    }

    /// The type that a tensor has as a dense one: its own, or for a compressed matrix what the configuration names, f32
    /// where it names none.
    public func denseType(of name: String) -> DataType {
        if let own = weights.dataType(of: name) { return own }
        let named = (configurationJSON["dtype"] ?? configurationJSON["torch_dtype"])?.stringValue
        return ["float16": .f16, "bfloat16": .bf16][named] ?? .f32
    }

    /// Where the files hold a parameter of the masked language model once more: the table of words and the bias of the
    /// output layer.
    public func copies(of name: String) -> [String] {
        let own = storedName(of: name)
        let names =
            name.hasSuffix("embeddings.word_embeddings.weight")
            ? ["cls.predictions.decoder.weight", "lm_head.decoder.weight"]
            : ["cls.predictions.bias", "lm_head.bias"].contains(name)
                ? ["cls.predictions.decoder.bias", "lm_head.decoder.bias"] : []
        return names.filter { $0 != own && weights.shape(of: $0) != nil }
    }

    /// Whether a parameter is a matrix of a layer: queries, keys, values, attention's output, or of the feed-forward
    /// layer.
    public static func isLayerMatrix(_ name: String) -> Bool {
        name.contains("encoder.layer.") && name.hasSuffix(".weight") && !name.contains("LayerNorm")
    }

    /// What a tensor is called in the files; nil when they have none.
    public func storedName(of name: String) -> String? {
        let endings = [
            ("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta"),
            ("layer_norm.weight", "layer_norm.gamma"), ("layer_norm.bias", "layer_norm.beta"),
            ("cls.predictions.bias", "cls.predictions.decoder.bias"), ("lm_head.bias", "lm_head.decoder.bias"),
        ]
        let older = endings.compactMap { name.hasSuffix($0) ? String(name.dropLast($0.count)) + $1 : nil }
        return ([name] + older).first { weights.shape(of: $0) != nil }
    }

    /// The tokenizer beside the model.
    ///
    /// - Throws: `.noInput` when there is none, `.badData` when it is damaged or not supported, or knows tokens that the
    ///   model has no vectors for.
    public func tokenizer() throws -> any Tokenizer {
        let tokenizer = try TokenizerLoader.load(folder: folder)
        guard tokenizer.vocabularySize <= configuration.vocabularySize else {
            throw CoppiceError(
                .badData, source: folder, field: "vocab_size",
                "is \(configuration.vocabularySize), and the tokenizer has \(tokenizer.vocabularySize) tokens")
        }
        return tokenizer
    }

    /// The special tokens that the model was trained with.
    ///
    /// - Throws: `.badData` for a tokenizer without one of them.
    public func textFrame(_ tokenizer: any Tokenizer) throws -> TextFrame {
        func special(_ names: [String]) throws -> Int {
            for name in names {
                let found = tokenizer.encode(name, parsingSpecialTokens: true)
                if found.count == 1, tokenizer.isSpecial(found[0]) { return found[0] }
            }
            throw CoppiceError(
                .badData, source: folder, field: "tokenizer",
                "has no special token \(names.joined(separator: " or ")), which encoders read")
        }
        let isBert = configuration.family == .bert
        func ordered(_ bert: String, _ roberta: String) -> [String] { isBert ? [bert, roberta] : [roberta, bert] }
        return TextFrame(
            begin: try special(ordered("[CLS]", "<s>")), end: try special(ordered("[SEP]", "</s>")),
            mask: try special(ordered("[MASK]", "<mask>")))
    }
}
