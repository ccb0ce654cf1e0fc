import CoppiceTensors
import OrderedCollections

/// A GGUF file (version 2 or 3, little endian), mapped into memory: its tensors are views of the file.
///
/// ```swift
/// let file = try GGUFFile(path: "model-q4_k_m.gguf")
/// let layers = file.metadata["llama.block_count"]?.intValue
/// let embeddings = try file.tensor("token_embd.weight")
/// ```
///
/// Opening checks everything that the header says against the file's size, so that every tensor that it lists can be
/// read. O(header), which includes the vocabulary.
public struct GGUFFile: Sendable {
    /// Where a tensor lies and how it is stored.
    public struct TensorInfo: Sendable {
        public var name: String
        public var type: GGUFTensorType
        /// Row-major: the innermost extent, which files name first, is last here.
        public var shape: [Int]
        /// Bytes from the beginning of the file.
        public var bytes: Range<Int>
    }

    public let path: String
    /// 2 or 3.
    public let version: Int
    /// In the order of the file.
    public let metadata: OrderedDictionary<String, GGUFValue>
    /// In the order of the file.
    public let tensors: OrderedDictionary<String, TensorInfo>
    private let file: MappedFile

    /// What a tensor's data begins at a multiple of, unless the file says otherwise.
    static let standardAlignment = 32
    /// More dimensions are refused, as by the format's reference implementation.
    static let greatestRank = 4

    /// - Throws: `.noInput` when the file cannot be opened; `.badData` when it is not a valid GGUF file or holds a type
    ///   of tensor that is not read, naming the key or tensor.
    public init(path: String) throws {
        self.path = path
        file = try MappedFile(path: path)
        var cursor = GGUFCursor(file)
        version = try Self.version(&cursor)
        let tensorCount = try cursor.count("tensor count", of: "tensors", size: 24)
        let valueCount = try cursor.count("metadata count", of: "metadata values", size: 13)
        var metadata: OrderedDictionary<String, GGUFValue> = [:]
        for index in 0..<valueCount {
            let key = try cursor.string("key of metadata value \(index)")
            let value = try cursor.value(key)
            guard metadata.updateValue(value, forKey: key) == nil else { throw cursor.failure(key, "occurs twice") }
        }
        self.metadata = metadata
        var tensors: OrderedDictionary<String, TensorInfo> = [:]
        for index in 0..<tensorCount {
            let info = try Self.tensor(&cursor, index)
            guard tensors.updateValue(info, forKey: info.name) == nil else {
                throw cursor.failure(info.name, "occurs twice, expected one tensor of this name")
            }
        }
        let alignment = try Self.alignment(metadata, cursor)
        try Self.place(&tensors, after: cursor, alignment: alignment)
        self.tensors = tensors
    }

    private static func version(_ cursor: inout GGUFCursor) throws -> Int {
        guard cursor.remaining > 0 else { throw cursor.failure(nil, "is empty, expected a GGUF file") }
        let magic = try cursor.integer(UInt32.self, "magic")
        guard magic == 0x4655_4747 else {
            throw cursor.failure(nil, "expected a GGUF file, which begins with the letters GGUF")
        }
        let version = try cursor.integer(UInt32.self, "version")
        switch version {
        case 2, 3: return Int(version)
        case UInt32(2).byteSwapped, UInt32(3).byteSwapped:
            throw cursor.failure("version", "is written big-endian, expected a little-endian file")
        default: throw cursor.failure("version", "expected 2 or 3, found \(version)")
        }
    }

    private static func alignment(
        _ metadata: OrderedDictionary<String, GGUFValue>, _ cursor: GGUFCursor
    ) throws -> Int {
        guard let value = metadata["general.alignment"] else { return standardAlignment }
        guard let number = value.intValue, number > 0, number <= 1 << 20, number & (number - 1) == 0 else {
            throw cursor.failure("general.alignment", "expected a power of two up to 2^20, found \(value.summary)")
        }
        return number
    }

    /// One tensor's entry; its bytes still count from the beginning of the data.
    private static func tensor(_ cursor: inout GGUFCursor, _ index: Int) throws -> TensorInfo {
        let name = try cursor.string("name of tensor \(index)")
        let rank = try cursor.integer(UInt32.self, name)
        guard rank >= 1, rank <= greatestRank else {
            throw cursor.failure(name, "has \(rank) dimensions, expected 1 to \(greatestRank)")
        }
        let extents = try (0..<Int(rank)).map { _ in try cursor.integer(UInt64.self, name) }
        let number = try cursor.integer(UInt32.self, name)
        guard let type = GGUFTensorType(number: number) else {
            throw cursor.failure(
                name,
                "type \(GGUFTensorType.nameOfUnsupported(number)) is not supported, expected one of "
                    + GGUFTensorType.supportedNames)
        }
        let offset = try cursor.integer(UInt64.self, name)
        var count = 1
        for extent in extents {
            guard let extent = Int(exactly: extent), extent > 0 else {
                throw cursor.failure(name, "has an extent of \(extent), expected 1 to 2^63 - 1")
            }
            let (product, overflow) = count.multipliedReportingOverflow(by: extent)
            guard !overflow else { throw cursor.failure(name, "shape \(extents) is too large") }
            count = product
        }
        let shape = extents.reversed().map { Int($0) }
        guard let columns = shape.last, columns % type.blockLength == 0 else {
            throw cursor.failure(
                name, "rows have \(shape.last ?? 0) elements, expected a multiple of \(type.blockLength) for \(type)")
        }
        let (byteCount, overflow) = (count / type.blockLength).multipliedReportingOverflow(by: type.blockByteCount)
        guard !overflow, let start = Int(exactly: offset), !start.addingReportingOverflow(byteCount).overflow else {
            throw cursor.failure(name, "shape \(extents) at offset \(offset) is too large")
        }
        return TensorInfo(name: name, type: type, shape: shape, bytes: start..<(start + byteCount))
    }

    /// Checks that the tensors lie within the file, aligned and apart, and counts their bytes from its beginning.
    private static func place(
        _ tensors: inout OrderedDictionary<String, TensorInfo>, after cursor: GGUFCursor, alignment: Int
    ) throws {
        guard !tensors.isEmpty else { return }
        let dataStart = (cursor.position + alignment - 1) / alignment * alignment
        let dataCount = max(0, cursor.file.byteCount - dataStart)
        var end = 0
        var previous = ""
        let order = tensors.values.sorted {
            ($0.bytes.lowerBound, $0.bytes.upperBound) < ($1.bytes.lowerBound, $1.bytes.upperBound)
        }
        for tensor in order {
            let bytes = tensor.bytes
            guard bytes.lowerBound % alignment == 0 else {
                throw cursor.failure(
                    tensor.name, "its data begins at \(bytes.lowerBound), expected a multiple of \(alignment)")
            }
            guard bytes.upperBound <= dataCount else {
                throw cursor.failure(
                    tensor.name, "its data ends at byte \(bytes.upperBound) but the file holds \(dataCount): truncated?"
                )
            }
            guard bytes.lowerBound >= end else {
                throw cursor.failure(tensor.name, "its data overlaps that of \(GGUFCursor.short(previous))")
            }
            (end, previous) = (bytes.upperBound, tensor.name)
            tensors[tensor.name]?.bytes = (dataStart + bytes.lowerBound)..<(dataStart + bytes.upperBound)
        }
    }

    /// A tensor: a view of the file, or a copy where its data is not aligned for its type. Blocks are u8
    /// `[rows, bytes of a row]`, with all outer extents taken as rows.
    ///
    /// - Throws: `.badData` when there is no tensor of this name.
    public func tensor(_ name: String) throws -> Tensor {
        guard let info = tensors[name] else {
            throw CoppiceError(.badData, source: path, field: GGUFCursor.short(name), "is missing")
        }
        let address = file.pointer + info.bytes.lowerBound
        var (type, shape) = (DataType.u8, info.shape)
        switch info.type {
        case .dense(let dataType): type = dataType
        case .block(let block):
            let columns = shape.removeLast()
            shape = [shape.reduce(1, *), block.rowByteCount(columns: columns)]
        }
        guard Int(bitPattern: address) % type.byteCount == 0 else {
            let copy = Tensor(uninitialized: shape, dataType: type)
            withExtendedLifetime((file, copy.storage)) {
                copy.basePointer.copyMemory(from: address, byteCount: info.bytes.count)
            }
            return copy
        }
        let storage = TensorStorage(borrowing: address, byteCount: info.bytes.count, owner: file)
        return Tensor(dataType: type, shape: shape, storage: storage)
    }
}
