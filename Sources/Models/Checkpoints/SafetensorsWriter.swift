import CoppiceTensors
import OrderedCollections

/// Writes safetensors files, tensor by tensor.
///
/// ```swift
/// try SafetensorsWriter.write([("weight", weight)], metadata: ["format": "pt"], to: "layer.safetensors")
/// ```
///
/// The data begins at a multiple of 64 bytes and wider element types come first, so that every tensor is aligned for
/// its type and can be used where it is mapped.
public enum SafetensorsWriter {
    /// A tensor to be written, made only when its turn comes: a file of any size needs memory for one tensor.
    public struct Entry: Sendable {
        public var name: String
        public var dataType: DataType
        public var shape: [Int]
        /// Makes the tensor, of exactly this type and shape.
        public var tensor: @Sendable () throws -> Tensor

        public init(
            _ name: String, dataType: DataType, shape: [Int], tensor: @escaping @Sendable () throws -> Tensor
        ) {
            self.name = name
            self.dataType = dataType
            self.shape = shape
            self.tensor = tensor
        }

        public init(_ name: String, _ tensor: Tensor) {
            self.init(name, dataType: tensor.dataType, shape: tensor.shape) { tensor }
        }

        /// Bytes in the file.
        public var byteCount: Int { shape.reduce(dataType.byteCount, *) }
    }

    /// Writes a file that appears when it is complete.
    ///
    /// - Throws: `.cannotCreate`, `.inputOutput` (a full disk), and what making a tensor throws.
    /// - Precondition: names are unique, and none is `__metadata__`.
    public static func write(_ entries: [Entry], metadata: [String: String] = [:], to path: String) throws {
        let ordered = entries.enumerated().sorted {
            ($1.element.dataType.byteCount, $0.offset) < ($0.element.dataType.byteCount, $1.offset)
        }.map(\.element)
        let file = try AtomicFile(at: path)
        defer { file.discard() }
        try file.write(header(ordered, metadata))
        for entry in ordered {
            let tensor = try entry.tensor().contiguous()
            precondition(
                tensor.dataType == entry.dataType && tensor.shape == entry.shape,
                "\(entry.name) is \(tensor.dataType) \(tensor.shape), not \(entry.dataType) \(entry.shape) as announced"
            )
            try withExtendedLifetime(tensor.storage) {
                try file.write(UnsafeRawBufferPointer(start: tensor.basePointer, count: tensor.byteCount))
            }
            tensor.releaseMappedPages()
        }
        try file.commit()
    }

    /// Writes tensors that are in memory (or mapped) already.
    public static func write(
        _ tensors: [(name: String, tensor: Tensor)], metadata: [String: String] = [:], to path: String
    ) throws {
        try write(tensors.map { Entry($0.name, $0.tensor) }, metadata: metadata, to: path)
    }

    private static func header(_ entries: [Entry], _ metadata: [String: String]) -> [UInt8] {
        var members: OrderedDictionary<String, JSON> = [:]
        if !metadata.isEmpty {
            let fields = metadata.sorted { $0.key < $1.key }.map { ($0.key, JSON.string($0.value)) }
            members["__metadata__"] = .object(OrderedDictionary(uniqueKeysWithValues: fields))
        }
        var position = 0
        for entry in entries {
            precondition(members[entry.name] == nil, "two tensors are called \(entry.name)")
            let typeName = SafetensorsHeader.typeNames.first { $0.dataType == entry.dataType }?.name ?? ""
            members[entry.name] = [
                "dtype": .string(typeName),
                "shape": .array(entry.shape.map { .integer($0) }),
                "data_offsets": .array([.integer(position), .integer(position + entry.byteCount)]),
            ]
            position += entry.byteCount
        }
        var text = Array(JSON.object(members).serialized().utf8)
        let alignment = 64
        let padding = (alignment - (8 + text.count) % alignment) % alignment
        text.append(contentsOf: repeatElement(UInt8(ascii: " "), count: padding))
        return withUnsafeBytes(of: UInt64(text.count).littleEndian, Array.init) + text
    }
}
