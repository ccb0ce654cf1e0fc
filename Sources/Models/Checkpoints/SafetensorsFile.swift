import CoppiceTensors

/// A safetensors file, mapped into memory: its tensors are views of the file, read when touched.
///
/// ```swift
/// let file = try SafetensorsFile(path: "model.safetensors")
/// let table = try file.tensor("model.embed_tokens.weight")
/// ```
///
/// Opening checks the whole header, so that every tensor that it lists can be read. O(header).
public struct SafetensorsFile: Sendable {
    public let path: String
    /// The file's `__metadata__`.
    public let metadata: [String: String]
    /// The tensors' names in the order of their data.
    public let names: [String]
    private let file: MappedFile
    private let dataStart: Int
    private let entries: [String: SafetensorsHeader.Entry]

    /// - Throws: `.noInput` when the file cannot be opened; `.badData` when it is not a valid safetensors file, naming
    ///   the tensor at fault.
    public init(path: String) throws {
        self.path = path
        file = try MappedFile(path: path)
        let header = try file.withBytes { try SafetensorsHeader($0, source: path) }
        metadata = header.metadata
        names = header.entries.map(\.name)
        dataStart = header.dataStart
        entries = Dictionary(uniqueKeysWithValues: header.entries.map { ($0.name, $0) })
    }

    /// Whether there is a tensor of this name.
    public func contains(_ name: String) -> Bool { entries[name] != nil }

    /// Type and shape of a tensor; nil when there is none of this name.
    public func description(of name: String) -> (dataType: DataType, shape: [Int])? {
        entries[name].map { ($0.dataType, $0.shape) }
    }

    /// A tensor: a view of the file, or a copy where its data is not aligned for its type.
    ///
    /// - Throws: `.badData` when there is no tensor of this name.
    public func tensor(_ name: String) throws -> Tensor {
        guard let entry = entries[name] else {
            throw CoppiceError(.badData, source: path, field: name, "is missing")
        }
        let address = file.pointer + dataStart + entry.bytes.lowerBound
        guard !entry.bytes.isEmpty, Int(bitPattern: address) % entry.dataType.byteCount == 0 else {
            let copy = Tensor(uninitialized: entry.shape, dataType: entry.dataType)
            withExtendedLifetime(file) {
                if !entry.bytes.isEmpty { copy.basePointer.copyMemory(from: address, byteCount: entry.bytes.count) }
            }
            return copy
        }
        let storage = TensorStorage(borrowing: address, byteCount: entry.bytes.count, owner: file)
        return Tensor(dataType: entry.dataType, shape: entry.shape, storage: storage)
    }
}
