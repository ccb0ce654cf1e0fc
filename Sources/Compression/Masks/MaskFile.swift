import CoppiceFormats
import CoppiceModels
import CoppiceTensors

/// Masks of a model's matrices, one bit a weight, and the SHA-256 of the matrices that they belong to: what one dense
/// model needs beside it to be many sparse ones.
///
/// The digest is of the masked matrices alone: a mask says which of their weights stay, and that is as right where biases,
/// norms or running statistics have changed.
///
/// In a safetensors file, a matrix's mask is an i64 tensor of its name: bit `i % 64` of number `i / 64` is set where
/// weight `i` in row-major order is kept. The metadata have `format: bitmap`, `model` (the digest), `shapes` (JSON: rows
/// and columns by name) and `sparsity` (the fraction removed). Any other tensor is an f32 vector: running statistics of norms
/// under the masks.
///
/// ```swift
/// let weights = try StoredWeights.open("dense")
/// let file = try MaskFile.read("mask.safetensors")
/// try file.check(against: weights)
/// ```
public struct MaskFile: Sendable, Hashable {
    /// The mask of one matrix.
    public struct Entry: Sendable, Hashable {
        public var name: String
        public var mask: WeightMask

        public init(name: String, mask: WeightMask) {
            self.name = name
            self.mask = mask
        }
    }

    /// In the order in which the digest takes matrices.
    public var entries: [Entry]
    /// SHA-256 of the matrices' values, f32 in row-major order, one matrix after the other.
    public var modelDigest: String
    /// Running statistics of norms under the masks, by name; none where there are no norms, or where those of the model that
    /// the masks belong to stay.
    public var statistics: [String: [Float]] = [:]

    public init(_ entries: [Entry], modelDigest: String) {
        self.entries = entries
        self.modelDigest = modelDigest
    }

    /// Weights in all.
    public var count: Int { entries.reduce(0) { $0 + $1.mask.count } }
    /// Weights removed.
    public var removedCount: Int { entries.reduce(0) { $0 + $1.mask.removedCount } }
    /// The fraction of weights removed; zero of none.
    public var sparsity: Double { count == 0 ? 0 : Double(removedCount) / Double(count) }

    // MARK: Files

    private static let format = "bitmap"

    /// Writes a file that appears when it is complete.
    ///
    /// - Throws: `.cannotCreate`, `.inputOutput`.
    public func write(to path: String) throws {
        let shapes = entries.map { entry -> (String, JSON) in
            (entry.name, .array([.integer(entry.mask.rows), .integer(entry.mask.columns)]))
        }
        try SafetensorsWriter.write(
            entries.map { (name: $0.name, tensor: Tensor($0.mask.words.map { Int64(bitPattern: $0) })) }
                + statistics.sorted { $0.key < $1.key }.map { (name: $0.key, tensor: Tensor($0.value)) },
            metadata: [
                "format": Self.format, "model": modelDigest, "sparsity": "\(sparsity)",
                "shapes": JSON.object(.init(uniqueKeysWithValues: shapes)).serialized(),
            ], to: path)
    }

    /// Whether there is a file of masks, which may be damaged all the same.
    public static func isMaskFile(_ path: String) -> Bool {
        (try? SafetensorsFile(path: path))?.metadata["format"] == format
    }

    /// Reads a file.
    ///
    /// - Throws: `.noInput`; `.badData` for a file that is damaged or holds no masks, naming the field or matrix.
    public static func read(_ path: String) throws -> MaskFile {
        let file = try SafetensorsFile(path: path)
        func failure(_ field: String, _ message: String) -> CoppiceError {
            CoppiceError(.badData, source: path, field: field, message)
        }
        guard file.metadata["format"] == format, let digest = file.metadata["model"],
            let text = file.metadata["shapes"]
        else {
            throw CoppiceError(
                .badData, source: path,
                "is no mask file, expected metadata with format bitmap, model and shapes as mask extract writes")
        }
        guard digest.utf8.count == 64, digest.allSatisfy({ $0.isHexDigit && !$0.isUppercase }) else {
            throw failure("model", "\"\(digest.prefix(70))\", expected a SHA-256 digest in lower-case hexadecimal")
        }
        guard let shapes = try JSON(text: text, source: "\(path): shapes").objectValue else {
            throw failure("shapes", "expected an object of rows and columns by name")
        }
        if let missing = shapes.keys.first(where: { !file.contains($0) }) {
            throw failure(missing, "is missing, though shapes names it")
        }
        guard !shapes.isEmpty else { throw CoppiceError(.badData, source: path, "holds no mask") }
        var masks = MaskFile(
            try file.names.filter { shapes[$0] != nil }.map { name in
                let extents = shapes[name]?.arrayValue?.compactMap(\.intValue) ?? []
                guard extents.count == 2, extents.allSatisfy({ (0...StoredWeight.largestExtent).contains($0) }) else {
                    throw failure(name, "has no rows and columns in shapes")
                }
                let count = extents[0] * extents[1]
                let tensor = try file.tensor(name)
                guard tensor.dataType == .i64, tensor.shape == [(count + 63) / 64] else {
                    throw failure(
                        name,
                        "is \(tensor.dataType) \(tensor.shape), expected i64 [\((count + 63) / 64)] for "
                            + "\(extents[0]) × \(extents[1]) weights")
                }
                let words = tensor.withElements(Int64.self) { $0.map { UInt64(bitPattern: $0) } }
                guard count % 64 == 0 || (words.last ?? 0) >> UInt64(count % 64) == 0 else {
                    throw failure(name, "has bits behind its \(count) weights")
                }
                return Entry(name: name, mask: WeightMask(rows: extents[0], columns: extents[1], words: words))
            }, modelDigest: digest)
        for name in file.names where shapes[name] == nil {
            let tensor = try file.tensor(name)
            guard tensor.dataType == .f32, tensor.rank == 1 else {
                throw failure(name, "has no rows and columns in shapes, and is no f32 vector of running statistics")
            }
            try ExactSelection.checkFinite(tensor, name: name, source: path)
            masks.statistics[name] = tensor.floats()
        }
        return masks
    }

    // MARK: Models

    /// Refuses a model that the masks do not belong to.
    ///
    /// - Throws: `.badData` naming a matrix that the model lacks or has in another shape, or saying that its weights are
    ///   others.
    /// - Complexity: O(weights): the digest is of all matrices.
    public func check(against weights: StoredWeights, source: String? = nil) throws {
        try checkShapes(against: weights, source: source)
        let own = try weights.digest(of: entries.map(\.name))
        guard own == modelDigest else {
            throw CoppiceError(
                .badData, source: source, field: "model",
                "is the mask of other weights than those of \(weights.path): its SHA-256 is "
                    + "\(modelDigest.prefix(12))…, theirs \(own.prefix(12))…")
        }
    }

    func checkShapes(against weights: StoredWeights, source: String?) throws {
        let known = Dictionary(uniqueKeysWithValues: weights.matrices.map { ($0.name, $0) })
        for entry in entries {
            guard let own = known[entry.name] else {
                throw CoppiceError(
                    .badData, source: source, field: entry.name,
                    "is no weight of \(weights.path): the mask is of another model"
                        + Spelling.hint(entry.name, weights.matrices.map(\.name)))
            }
            guard own.rows == entry.mask.rows, own.columns == entry.mask.columns else {
                throw CoppiceError(
                    .badData, source: source, field: entry.name,
                    "is the mask of \(entry.mask.rows) × \(entry.mask.columns) weights, \(weights.path) has "
                        + "\(own.rows) × \(own.columns)")
            }
        }
    }
}
