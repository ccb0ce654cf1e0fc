import CoppiceFormats
import CoppiceTensors
import Foundation
import OrderedCollections

/// The tensors of the files of a checkpoint. Some may be stored in a compressed format: a convolution's weight
/// `[out, in, rows, columns]` then is a matrix `[out, in · rows · columns]` whose tensor shape is kept beside it.
public struct StoredTensors: Sendable {
    private let files: SafetensorsSet
    /// Names of whole tensors, in the files' order; parts of compressed ones are not listed, which come last.
    public let names: [String]
    private let compressed: CompressedWeights
    /// Shapes of compressed tensors.
    private let shapes: [String: [Int]]

    /// The key of a compressed weight's description that has the tensor's shape, where it is not the matrix's.
    private static let shapeKey = "tensor"

    /// O(header): weights are not read.
    ///
    /// - Throws: `.badData` for descriptions of compressed weights that make no sense.
    public init(_ file: SafetensorsFile) throws { try self.init(SafetensorsSet(file)) }

    /// The files of a model taken together.
    init(_ files: SafetensorsSet) throws {
        self.files = files
        let compressed = try CompressedWeights(files.files)
        self.compressed = compressed
        var shapes: [String: [Int]] = [:]
        var parts: Set<String> = []
        for name in compressed.names {
            shapes[name] = try Self.shape(of: name, compressed)
            parts.formUnion(compressed.partNames(of: name))
        }
        self.shapes = shapes
        let dense = files.names.filter { !parts.contains($0) && shapes[$0] == nil }
        names = dense + shapes.keys.sorted { $0.compare($1, options: .numeric) == .orderedAscending }
    }

    private static func shape(of name: String, _ weights: CompressedWeights) throws -> [Int] {
        let key = weights.member(shapeKey, of: name) == nil ? "shape" : shapeKey
        let json = weights.member(key, of: name)
        let extents = json?.arrayValue?.compactMap(\.intValue) ?? []
        // Products of extents this large cannot overflow before they are found to be too large.
        let isUsable =
            extents.count >= 2 && extents.count == json?.arrayValue?.count
            && extents.allSatisfy { (0...StoredWeight.largestExtent).contains($0) }
            && extents.dropFirst().reduce(1.0) { $0 * Double($1) } <= Double(StoredWeight.largestExtent)
        guard isUsable else {
            throw CoppiceError(
                .badData, source: weights.file(of: name), field: "\(name).\(key)",
                "is \(json?.serialized().prefix(60) ?? "missing"), expected the extents of a weight")
        }
        return extents
    }

    /// The shape of a tensor; nil when there is none of this name.
    public func shape(of name: String) -> [Int]? { shapes[name] ?? files.file(of: name)?.description(of: name)?.shape }

    /// The type of a dense tensor; nil for one that is compressed or not there.
    public func dataType(of name: String) -> DataType? {
        shapes[name] == nil ? files.file(of: name)?.description(of: name)?.dataType : nil
    }

    /// What errors about the whole call it: the file, or the index of several.
    public var source: String { files.source }

    /// Whether a tensor is stored as a compressed matrix.
    public func isCompressed(_ name: String) -> Bool { shapes[name] != nil }

    /// A compressed tensor's matrix `[outputs, all other extents]`; nil for a tensor that is dense or not there.
    ///
    /// - Throws: `.badData` when its parts do not fit together.
    public func weight(_ name: String) throws -> (any WeightFormat)? {
        guard let stored = try stored(name) else { return nil }
        return try Checkpoint.inFile(compressed.file(of: name) ?? source) { try WeightFormats.decode(stored) }
    }

    /// The parts of a compressed tensor; nil for a tensor that is dense or not there.
    ///
    /// - Throws: `.badData` when parts are missing.
    public func stored(_ name: String) throws -> StoredWeight? {
        guard let shape = shapes[name] else { return nil }
        return try compressed.weight(name, shape: [shape[0], shape[1...].reduce(1, *)]) {
            try files.file(of: $0)?.tensor($0)
        }
    }

    /// A tensor in its own shape; a compressed one is expanded to f32.
    ///
    /// - Throws: `.badData` when there is none of this name, or when parts do not fit together.
    public func tensor(_ name: String) throws -> Tensor {
        if let weight = try weight(name), let shape = shapes[name] { return weight.dense().reshaped(shape) }
        guard let file = files.file(of: name) else {
            throw CoppiceError(.badData, source: source, field: name, "is missing")
        }
        return try file.tensor(name)
    }

    // MARK: Writing

    /// What a checkpoint is written from: tensors, and the formats of those that are stored as compressed matrices.
    ///
    /// - Precondition: a format has the tensor's extents.
    static func entries(
        _ tensors: [(name: String, tensor: Tensor)], formats: [String: any WeightFormat]
    ) -> (entries: [SafetensorsWriter.Entry], metadata: [String: String]) {
        var entries: [SafetensorsWriter.Entry] = []
        var descriptions: OrderedDictionary<String, JSON> = [:]
        for (name, tensor) in tensors {
            guard let stored = formats[name]?.stored(), stored.format != DenseWeight.name else {
                let values = formats[name]?.stored().tensors[""]?.reshaped(tensor.shape) ?? tensor
                entries.append(.init(name, values))
                continue
            }
            let shape = tensor.shape
            precondition(
                stored.shape == [shape[0], shape[1...].reduce(1, *)], "\(name) of shape \(shape) as \(stored.shape)")
            entries += CompressedWeights.entries(name, stored)
            var description = CompressedWeights.description(of: stored)
            if stored.shape != shape { description[shapeKey] = .array(shape.map { .integer($0) }) }
            descriptions[name] = .object(description)
        }
        let metadata = [CompressedWeights.metadataKey: JSON.object(descriptions).serialized()]
        return (entries, descriptions.isEmpty ? [:] : metadata)
    }
}
