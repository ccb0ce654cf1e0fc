import CoppiceFormats
import CoppiceTensors
import Foundation
import OrderedCollections

/// Writes a model folder: `config.json`, weights in safetensors files, the tokenizer and what else belongs to it.
///
/// ```swift
/// let writer = try CheckpointWriter(path: "tales-bf16", basedOn: checkpoint)
/// for name in checkpoint.weightNames { try writer.add(name, checkpoint.tensor(name)) }
/// try writer.finish()
/// ```
///
/// The folder appears under its name in ``finish()``, complete, or never. With dense weights only it is a Hugging Face
/// folder, which `transformers` loads. Weights are kept until a shard is full, in memory only the first
/// ``memoryLimit`` bytes of them: others wait in files of the hidden folder, and views of mapped files and weights that
/// are made on demand cost nothing.
public final class CheckpointWriter {
    /// Files that describe the tokenizer and its use, copied from the folder that a model is based on.
    static let companionFiles = [
        "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json",
        "vocab.json", "merges.txt", "vocab.txt", "chat_template.jinja", "chat_template.json", "generation_config.json",
        "LICENSE",
    ]
    /// Bytes of weights in one file, unless one weight alone is larger.
    public static let standardShardSize = 2 << 30

    /// Bytes of weights that wait in memory until their shard is written.
    static let memoryLimit = 32 << 20

    private let folder: OutputFolder
    /// `config.json`.
    private let configuration: JSON
    private let shardSize: Int
    private let expected: OrderedDictionary<String, [Int]>
    private var added: Set<String> = []
    private var shards: [Shard] = []
    private var current = Shard()
    /// What weights that wait in memory take.
    private var waitingBytes = 0
    /// Files of weights that wait on disk.
    private var spills: [String] = []

    /// A file of weights, with what its metadata says about the compressed ones.
    fileprivate struct Shard {
        var entries: [SafetensorsWriter.Entry] = []
        var compressed: OrderedDictionary<String, JSON> = [:]
        var byteCount = 0
        var elementCount = 0
        var names: [String] = []
    }

    /// Creates the hidden folder that is written into, and writes `config.json`.
    ///
    /// - Parameters:
    ///   - path: the folder that appears in the end. One that Coppice wrote earlier is replaced.
    ///   - tokenizerFolder: where to copy tokenizer files from; nil to copy none.
    ///   - shardSize: bytes of weights in one file.
    /// - Throws: `.cannotCreate` when the folder cannot be created or holds what Coppice did not write.
    public convenience init(
        path: String, configuration: DecoderConfiguration, tokenizerFolder: String? = nil,
        shardSize: Int = standardShardSize
    ) throws {
        var configuration = configuration
        configuration.rotary.isInterleaved = false
        try self.init(
            path: path, configuration: configuration.json, shapes: configuration.tensorShapes,
            tokenizerFolder: tokenizerFolder, shardSize: shardSize)
    }

    /// A model of any kind.
    ///
    /// - Parameters:
    ///   - configuration: `config.json`.
    ///   - shapes: of all tensors.
    init(
        path: String, configuration: JSON, shapes: [(name: String, shape: [Int])], tokenizerFolder: String?,
        shardSize: Int = standardShardSize
    ) throws {
        precondition(shardSize > 0, "a shard of \(shardSize) bytes holds nothing")
        self.configuration = configuration
        self.shardSize = shardSize
        expected = OrderedDictionary(uniqueKeysWithValues: shapes.map { ($0.name, $0.shape) })
        folder = try OutputFolder(at: path)
        try AtomicFile.write(configuration.serialized(pretty: true) + "\n", to: folder.path(for: "config.json"))
        if let tokenizerFolder { try copyCompanions(tokenizerFolder) }
    }

    /// A model of the same configuration and tokenizer as another.
    ///
    /// - Parameters:
    ///   - configuration: instead of the other model's, for one of other sizes.
    ///   - dataType: the type that `config.json` gives to dense weights; that of the other model if nil.
    public convenience init(
        path: String, basedOn checkpoint: Checkpoint, configuration: DecoderConfiguration? = nil,
        dataType: DataType? = nil, shardSize: Int = standardShardSize
    ) throws {
        var configuration = configuration ?? checkpoint.configuration
        configuration.dataType = dataType ?? configuration.dataType
        let tokenizerFolder = checkpoint.gguf == nil ? checkpoint.folder : nil
        try self.init(path: path, configuration: configuration, tokenizerFolder: tokenizerFolder, shardSize: shardSize)
        guard checkpoint.gguf != nil, let vocabulary = try checkpoint.ggufVocabulary() else { return }
        for file in vocabulary.files(chatTemplate: checkpoint.chatTemplate) { try addFile(file.name, file.bytes) }
    }

    private func copyCompanions(_ source: String) throws {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: source)) ?? []
        for name in names where Self.companionFiles.contains(name) || Self.isNamedTokenizer(name) {
            try addFile(name, MappedFile.contents(source + "/" + name))
        }
    }

    /// `tokenizer.bin` and `tok512.bin` are how llama2.c names its tokenizers, `.tiktoken` is a rank file.
    private static func isNamedTokenizer(_ name: String) -> Bool {
        name.hasPrefix("tok") && name.hasSuffix(".bin") || name.hasSuffix(".tiktoken")
    }

    // MARK: - Weights

    /// Adds a weight in memory.
    ///
    /// - Throws: what writing a full shard throws.
    /// - Precondition: the model has a weight of this name and shape, which was not added yet.
    public func add(_ name: String, _ tensor: Tensor) throws {
        let shape = register(name)
        precondition(tensor.shape == shape, "\(name) has shape \(tensor.shape), not \(shape)")
        try flush(before: tensor.byteCount)
        current.append(name, [try waiting(name, tensor)], elementCount: tensor.count)
    }

    /// Adds a weight that is made when it is written.
    ///
    /// - Parameter tensor: makes the weight, of type `dataType` and of the shape that the configuration gives.
    public func add(_ name: String, dataType: DataType, tensor: @escaping @Sendable () throws -> Tensor) throws {
        let entry = SafetensorsWriter.Entry(name, dataType: dataType, shape: register(name), tensor: tensor)
        try flush(before: entry.byteCount)
        current.append(name, [entry], elementCount: entry.shape.reduce(1, *))
    }

    /// Adds a matrix in a storage format.
    public func add(_ name: String, _ stored: StoredWeight) throws {
        let shape = register(name)
        precondition(stored.shape == shape, "\(name) has shape \(stored.shape), not \(shape)")
        let entries = try stored.tensors.sorted { $0.key < $1.key }.map {
            try waiting($0.key.isEmpty ? name : "\(name).\($0.key)", $0.value)
        }
        current.append(name, entries, elementCount: shape.reduce(1, *))
        guard stored.format != DenseWeight.name else { return }
        current.compressed[name] = .object(CompressedWeights.description(of: stored))
    }

    /// A tensor that is written with its shard: kept if it is a view of a file or there is room in memory, else in a file
    /// until then.
    private func waiting(_ name: String, _ tensor: Tensor) throws -> SafetensorsWriter.Entry {
        guard tensor.storage.owner == nil, waitingBytes + tensor.byteCount > Self.memoryLimit else {
            if tensor.storage.owner == nil { waitingBytes += tensor.byteCount }
            return SafetensorsWriter.Entry(name, tensor)
        }
        let path = folder.path(for: "waiting-\(spills.count)")
        let (dataType, shape) = (tensor.dataType, tensor.shape)
        try tensor.contiguous().spill(to: path)
        spills.append(path)
        return SafetensorsWriter.Entry(name, dataType: dataType, shape: shape) {
            let file = try MappedFile(path: path)
            let storage = TensorStorage(borrowing: file.pointer, byteCount: file.byteCount, owner: file)
            return Tensor(dataType: dataType, shape: shape, storage: storage)
        }
    }

    /// Adds a weight as the tensors that another tool keeps it in.
    func add(_ name: String, parts: [SafetensorsWriter.Entry]) throws {
        let shape = register(name)
        try flush(before: parts.reduce(0) { $0 + $1.byteCount })
        current.append(name, parts, elementCount: shape.reduce(1, *))
    }

    /// Leaves a weight out that another one says already.
    public func omit(_ name: String) { _ = register(name) }

    private func register(_ name: String) -> [Int] {
        guard let shape = expected[name] else { preconditionFailure("the model has no weight \(name)") }
        precondition(added.insert(name).inserted, "\(name) was added already")
        return shape
    }

    // MARK: - Files

    /// Adds a member to `config.json`.
    ///
    /// - Throws: `.inputOutput`.
    func addConfiguration(_ key: String, _ value: JSON) throws {
        var members = configuration.objectValue ?? [:]
        members[key] = value
        try addFile("config.json", JSON.object(members).serialized(pretty: true) + "\n")
    }

    /// Adds a file that belongs to the model, such as the recipe that it was made by.
    ///
    /// - Throws: `.inputOutput`.
    public func addFile(_ name: String, _ bytes: some Sequence<UInt8>) throws {
        try makeFolder(for: name)
        let file = try AtomicFile(at: folder.path(for: name))
        try file.write(Array(bytes))
        try file.commit()
    }

    private func makeFolder(for name: String) throws {
        let parent = PendingOutput.split(folder.path(for: name)).folder
        do {
            try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
        } catch {
            throw CoppiceError(.cannotCreate, source: parent, "cannot create the folder")
        }
    }

    /// Adds a text file that belongs to the model.
    public func addFile(_ name: String, _ text: String) throws { try addFile(name, text.utf8) }

    /// Writes what is left and gives the folder its name.
    ///
    /// - Throws: `.internal` when weights are missing; `.inputOutput`, `.cannotCreate`; what making a weight throws.
    ///   The folder's name then keeps what it held.
    public func finish() throws {
        if let missing = expected.keys.first(where: { !added.contains($0) }) {
            throw CoppiceError(.internal, source: folder.path, field: missing, "was not written")
        }
        try flush(before: .max)
        try nameShards()
        try folder.commit()
    }

    // MARK: - Shards

    private static func pendingName(_ number: Int) -> String { "shard-\(number)" }

    private func flush(before byteCount: Int) throws {
        guard !current.names.isEmpty, byteCount > shardSize - min(current.byteCount, shardSize) else { return }
        var metadata = ["format": "pt"]
        if !current.compressed.isEmpty {
            metadata[CompressedWeights.metadataKey] = JSON.object(current.compressed).serialized()
        }
        try SafetensorsWriter.write(
            current.entries, metadata: metadata, to: folder.path(for: Self.pendingName(shards.count)))
        current.names = current.entries.map(\.name)
        current.entries = []
        for path in spills { unlink(path) }
        spills = []
        waitingBytes = 0
        shards.append(current)
        current = Shard()
    }

    private func nameShards() throws {
        func rename(_ number: Int, _ name: String) throws {
            do {
                try FileManager.default.moveItem(
                    atPath: folder.path(for: Self.pendingName(number)), toPath: folder.path(for: name))
            } catch {
                throw CoppiceError(.inputOutput, source: folder.path, field: name, "cannot be renamed into place")
            }
        }
        guard shards.count > 1 else { return try rename(0, "model.safetensors") }
        var map: [String: JSON] = [:]
        for (number, shard) in shards.enumerated() {
            func padded(_ number: Int) -> String {
                String(repeating: "0", count: max(0, 5 - String(number).count)) + String(number)
            }
            let name = "model-\(padded(number + 1))-of-\(padded(shards.count)).safetensors"
            try rename(number, name)
            for tensor in shard.names { map[tensor] = .string(name) }
        }
        let index: JSON = [
            "metadata": [
                "total_parameters": .integer(shards.reduce(0) { $0 + $1.elementCount }),
                "total_size": .integer(shards.reduce(0) { $0 + $1.byteCount }),
            ],
            "weight_map": .object(OrderedDictionary(uniqueKeysWithValues: map.sorted { $0.key < $1.key })),
        ]
        try addFile("model.safetensors.index.json", index.serialized(pretty: true) + "\n")
    }
}

extension CheckpointWriter.Shard {
    fileprivate mutating func append(_ name: String, _ added: [SafetensorsWriter.Entry], elementCount: Int) {
        entries += added
        names.append(name)
        byteCount += added.reduce(0) { $0 + $1.byteCount }
        self.elementCount += elementCount
    }
}

extension Tensor {
    /// Writes the bytes of a contiguous tensor to a new file that need not survive the process.
    fileprivate func spill(to path: String) throws {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw CoppiceError.system(.cannotCreate, path, "cannot create", code: errno) }
        defer { close(descriptor) }
        try withExtendedLifetime(storage) {
            try writeAll(
                UnsafeRawBufferPointer(start: basePointer, count: byteCount), to: descriptor, path: path)
        }
    }
}
