import CoppiceFormats
import CoppiceTensors
import Foundation

/// A model on disk: its configuration and its weights, mapped into memory and read when they are used.
///
/// ```swift
/// let checkpoint = try Checkpoint.open("models/tales")
/// let projection = try checkpoint.weight("model.layers.0.mlp.up_proj.weight")
/// ```
///
/// Weights have their Hugging Face names, whatever the file calls them. When a checkpoint is open, every tensor that
/// its configuration needs is known to be there with the right shape, and nothing else is.
public final class Checkpoint: Sendable {
    /// What was opened: a folder or a file.
    public let path: String
    /// The folder that holds the configuration, the weights and the tokenizer (those of a GGUF file are in the file).
    public let folder: String
    public let configuration: DecoderConfiguration
    /// All parameters in the order of computation: matrices, norms and biases. A tied output head is not listed.
    public let weightNames: [String]
    private let entries: [String: Entry]
    /// The file, where the model is one in GGUF: it holds the tokenizer too.
    let gguf: GGUFFile?

    /// Where a parameter comes from.
    enum Entry: Sendable {
        /// A view of a file.
        case dense(Tensor, file: String)
        /// Rows in the order of neighbouring rotary pairs, brought into the order of half heads when used.
        case interleaved(Tensor, headSize: Int, file: String)
        /// Parts of a compressed matrix; with `rotated`, a head size, rows are ordered as for `interleaved`.
        case compressed(StoredWeight, file: String, rotated: Int? = nil)
        /// A matrix in another tool's layout.
        case imported(ImportedWeight, shape: [Int])
    }

    init(
        path: String, folder: String, configuration: DecoderConfiguration, entries: [String: Entry],
        gguf: GGUFFile? = nil
    ) {
        self.path = path
        self.folder = folder
        self.configuration = configuration
        self.entries = entries
        self.gguf = gguf
        weightNames = configuration.tensorShapes.map(\.name)
    }

    /// Whether any weight is stored in a compressed format.
    public var isCompressed: Bool { entries.keys.contains(where: isCompressed) }

    /// Whether a weight is stored in a compressed format.
    public func isCompressed(_ name: String) -> Bool {
        switch entries[resolved(name)] {
        case .compressed, .imported: true
        case .dense, .interleaved, nil: false
        }
    }

    /// The type that a weight is stored in; for a compressed one, what the configuration names.
    public func denseType(of name: String) -> DataType {
        switch entries[resolved(name)] {
        case .dense(let tensor, _), .interleaved(let tensor, _, _): tensor.dataType
        case .compressed, .imported, nil: configuration.dataType
        }
    }

    /// The shape of a parameter; nil when the model has none of this name.
    public func shape(of name: String) -> [Int]? {
        switch entries[resolved(name)] {
        case .dense(let tensor, _), .interleaved(let tensor, _, _): tensor.shape
        case .compressed(let stored, _, _): stored.shape
        case .imported(_, let shape): shape
        case nil: nil
        }
    }

    /// A matrix in the format that it is stored in. Dense matrices are views of the file.
    ///
    /// - Parameter name: a name of ``weightNames``, or `lm_head.weight` where it is tied to the embeddings.
    /// - Throws: `.badData` when there is no such matrix or its parts do not fit together.
    public func weight(_ name: String) throws -> any WeightFormat {
        let (stored, file) = try storedWeight(name)
        return try Self.inFile(file) { try WeightFormats.decode(stored) }
    }

    /// A parameter as a tensor: in its stored type, or f32 for a compressed matrix, which is expanded.
    ///
    /// - Throws: `.badData` when there is no such parameter or its parts do not fit together.
    public func tensor(_ name: String) throws -> Tensor {
        switch entries[resolved(name)] {
        case .dense(let tensor, _): return tensor
        case .interleaved(let tensor, let headSize, _): return Self.halved(tensor, headSize: headSize)
        case .compressed, .imported: return try weight(name).dense()
        case nil: throw unknown(name)
        }
    }

    /// Gives back the memory of the pages of a weight that were read from its file; they are read again when touched. For
    /// work that goes through a checkpoint once and is to need less memory than its weights.
    public func releasePages(of name: String) {
        switch entries[resolved(name)] {
        case .dense(let tensor, _), .interleaved(let tensor, _, _): tensor.releaseMappedPages()
        case .compressed(let stored, _, _): for tensor in stored.tensors.values { tensor.releaseMappedPages() }
        case .imported, nil: break
        }
    }

    /// A matrix as its file keeps it, for copying it into another.
    ///
    /// - Throws: `.badData` when there is no such matrix.
    public func stored(_ name: String) throws -> StoredWeight { try storedWeight(name).0 }

    private func storedWeight(_ name: String) throws -> (StoredWeight, file: String) {
        let name = resolved(name)
        guard let entry = entries[name] else { throw unknown(name) }
        switch entry {
        case .compressed(var stored, let file, let headSize):
            if let headSize { stored.tensors = stored.tensors.mapValues { Self.halved($0, headSize: headSize) } }
            return (stored, file)
        case .imported(let weight, _): return (try weight.stored(), weight.file)
        case .dense(let tensor, let file), .interleaved(let tensor, _, let file):
            guard tensor.rank == 2 else {
                throw CoppiceError(.badData, source: file, field: name, "has shape \(tensor.shape), expected a matrix")
            }
            let stored = StoredWeight(
                name: name, format: DenseWeight.name, shape: tensor.shape, tensors: ["": try self.tensor(name)])
            return (stored, file)
        }
    }

    private func resolved(_ name: String) -> String {
        configuration.tiesEmbeddings && name == "lm_head.weight" ? "model.embed_tokens.weight" : name
    }

    private func unknown(_ name: String) -> CoppiceError {
        CoppiceError(.badData, source: path, field: name, "the model has no such weight")
    }

    /// Names the file in errors that do not know it.
    static func inFile<Result>(_ file: String, _ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch var error as CoppiceError {
            error.source = error.source ?? file
            throw error
        }
    }

    /// Rows (2i, 2i + 1) of each head brought to (i, i + headSize / 2): the same rotation, written the other way.
    static func halved(_ tensor: Tensor, headSize: Int) -> Tensor {
        reordered(tensor, headSize: headSize) { $0 % 2 * (headSize / 2) + $0 / 2 }
    }

    /// The inverse of ``halved(_:headSize:)``.
    static func paired(_ tensor: Tensor, headSize: Int) -> Tensor {
        reordered(tensor, headSize: headSize) { $0 % (headSize / 2) * 2 + $0 / (headSize / 2) }
    }

    /// The rows of each head in another order.
    private static func reordered(_ tensor: Tensor, headSize: Int, _ place: (Int) -> Int) -> Tensor {
        let result = Tensor(uninitialized: tensor.shape, dataType: tensor.dataType)
        let rowBytes = tensor.byteCount / max(1, tensor.shape[0])
        withExtendedLifetime((tensor.storage, result.storage)) {
            for row in 0..<tensor.shape[0] {
                let target = row / headSize * headSize + place(row % headSize)
                (result.basePointer + target * rowBytes).copyMemory(
                    from: tensor.basePointer + row * rowBytes, byteCount: rowBytes)
            }
        }
        return result
    }
}

extension Checkpoint {
    /// The chat template that comes with the model: `chat_template.jinja`, else the one in `tokenizer_config.json`
    /// (the one called `default` where there are several). Nil when there is none or it cannot be read.
    public var chatTemplate: String? {
        if let gguf { return gguf.metadata["tokenizer.chat_template"]?.stringValue }
        let files = FileManager.default
        if let text = files.contents(atPath: folder + "/chat_template.jinja") {
            return String(decoding: text, as: UTF8.self)
        }
        let path = folder + "/tokenizer_config.json"
        guard let bytes = files.contents(atPath: path), let json = try? JSON(parsing: bytes, source: path) else {
            return nil
        }
        if let text = json["chat_template"]?.stringValue { return text }
        let named = json["chat_template"]?.arrayValue ?? []
        return (named.first { $0["name"]?.stringValue == "default" } ?? named.first)?["template"]?.stringValue
    }
}
