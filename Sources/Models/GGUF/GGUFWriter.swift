import CoppiceTensors

/// The metadata of a GGUF file that is being written, in the order in which it was added.
public struct GGUFMetadata: Sendable {
    private(set) var bytes: [UInt8] = []
    private(set) var count = 0
    private var keys: Set<String> = []

    public init() {}

    private mutating func add(_ key: String, _ type: GGUFValueType, _ body: (inout [UInt8]) -> Void) {
        precondition(keys.insert(key).inserted, "\(key) was added already")
        count += 1
        bytes.append(text: Array(key.utf8))
        bytes.append(type.rawValue)
        body(&bytes)
    }

    private mutating func add(_ key: String, listOf type: GGUFValueType, _ count: Int, _ body: (inout [UInt8]) -> Void)
    {
        add(key, .array) {
            $0.append(type.rawValue)
            $0.append(UInt64(count))
            body(&$0)
        }
    }

    /// Adds a number, truth value or string.
    ///
    /// - Precondition: the key is new. Numbers of type `u32` fit it.
    public mutating func add(_ key: String, _ value: String) {
        add(key, .string) { $0.append(text: Array(value.utf8)) }
    }
    public mutating func add(_ key: String, _ value: Int) { add(key, .u32) { $0.append(UInt32(value)) } }
    public mutating func add(_ key: String, _ value: Double) { add(key, .f32) { $0.append(Float(value).bitPattern) } }
    public mutating func add(_ key: String, _ value: Bool) { add(key, .bool) { $0.append(UInt8(value ? 1 : 0)) } }

    /// Adds a list.
    public mutating func add(_ key: String, strings: [[UInt8]]) {
        add(key, listOf: .string, strings.count) { bytes in for text in strings { bytes.append(text: text) } }
    }

    public mutating func add(_ key: String, integers: [Int32]) {
        add(key, listOf: .i32, integers.count) { bytes in for value in integers { bytes.append(value) } }
    }

    public mutating func add(_ key: String, numbers: [Float]) {
        add(key, listOf: .f32, numbers.count) { bytes in for value in numbers { bytes.append(value.bitPattern) } }
    }

    public mutating func add(_ key: String, flags: [Bool]) {
        add(key, listOf: .bool, flags.count) { bytes in for value in flags { bytes.append(UInt8(value ? 1 : 0)) } }
    }
}

/// Writes GGUF files (version 3, little endian), tensor by tensor.
public enum GGUFWriter {
    /// A tensor to be written, made only when its turn comes: a file of any size needs memory for one tensor.
    public struct Entry: Sendable {
        public var name: String
        public var type: GGUFTensorType
        /// Row-major.
        public var shape: [Int]
        /// Makes the tensor: of this type and shape, or for blocks u8 with their bytes.
        public var tensor: @Sendable () throws -> Tensor

        public init(
            _ name: String, type: GGUFTensorType, shape: [Int], tensor: @escaping @Sendable () throws -> Tensor
        ) {
            self.name = name
            self.type = type
            self.shape = shape
            self.tensor = tensor
        }

        /// Bytes in the file, without padding.
        public var byteCount: Int { shape.reduce(1, *) / type.blockLength * type.blockByteCount }
    }

    /// Writes a file that appears when it is complete.
    ///
    /// - Throws: `.cannotCreate`, `.inputOutput` (a full disk), and what making a tensor throws.
    /// - Precondition: names are unique; types are those of GGUF; innermost extents are whole blocks.
    public static func write(_ entries: [Entry], metadata: GGUFMetadata, to path: String) throws {
        let alignment = GGUFFile.standardAlignment
        func padding(_ count: Int) -> Int { (alignment - count % alignment) % alignment }
        var header: [UInt8] = Array("GGUF".utf8)
        header.append(UInt32(3))
        header.append(UInt64(entries.count))
        header.append(UInt64(metadata.count))
        header += metadata.bytes
        var position = 0
        for entry in entries {
            guard let number = entry.type.number else { preconditionFailure("GGUF has no type \(entry.type)") }
            precondition((entry.shape.last ?? 0) % entry.type.blockLength == 0, "\(entry.name) has \(entry.shape)")
            header.append(text: Array(entry.name.utf8))
            header.append(UInt32(entry.shape.count))
            for extent in entry.shape.reversed() { header.append(UInt64(extent)) }
            header.append(number)
            header.append(UInt64(position))
            position += entry.byteCount + padding(entry.byteCount)
        }
        header += [UInt8](repeating: 0, count: padding(header.count))
        let file = try AtomicFile(at: path)
        defer { file.discard() }
        try file.write(header)
        for entry in entries {
            let tensor = try entry.tensor().contiguous()
            precondition(
                tensor.byteCount == entry.byteCount,
                "\(entry.name) has \(tensor.byteCount) bytes, not \(entry.byteCount) as announced")
            try withExtendedLifetime(tensor.storage) {
                try file.write(UnsafeRawBufferPointer(start: tensor.basePointer, count: tensor.byteCount))
            }
            try file.write([UInt8](repeating: 0, count: padding(entry.byteCount)))
        }
        try file.commit()
    }
}

extension [UInt8] {
    fileprivate mutating func append(_ number: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: number.littleEndian) { append(contentsOf: $0) }
    }

    fileprivate mutating func append(text: [UInt8]) {
        append(UInt64(text.count))
        append(contentsOf: text)
    }
}
