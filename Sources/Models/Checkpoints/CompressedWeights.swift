import CoppiceFormats
import CoppiceTensors
import OrderedCollections

/// What the metadata of safetensors files says about compressed weights, and which tensors are parts of which.
///
/// Everything read here is untrusted: formats must be known, shapes those that the model wants.
struct CompressedWeights: Sendable {
    /// The key of a safetensors file's metadata that describes its compressed weights.
    static let metadataKey = "coppice.weights"

    private var descriptions: [String: (json: JSON, file: String)] = [:]
    /// Names of parts by the name of their weight.
    private var parts: [String: [String]] = [:]

    /// - Throws: `.badData` for metadata that is no JSON object.
    init(_ files: [SafetensorsFile]) throws {
        for file in files {
            guard let text = file.metadata[Self.metadataKey] else { continue }
            let field = "__metadata__.\(Self.metadataKey)"
            let json: JSON
            do { json = try JSON(text: text, source: file.path) } catch let error as CoppiceError {
                throw CoppiceError(.badData, source: file.path, field: field, error.message)
            }
            guard let weights = json.objectValue else {
                throw CoppiceError(.badData, source: file.path, field: field, "expected an object")
            }
            for (name, description) in weights { descriptions[name] = (description, file.path) }
        }
        guard !descriptions.isEmpty else { return }
        for name in files.flatMap(\.names) {
            if let dot = name.lastIndex(of: "."), descriptions[String(name[..<dot])] != nil {
                parts[String(name[..<dot]), default: []].append(name)
            }
        }
    }

    /// Names of compressed weights.
    var names: Dictionary<String, (json: JSON, file: String)>.Keys { descriptions.keys }

    /// The file that describes a weight; nil for one that is not compressed.
    func file(of name: String) -> String? { descriptions[name]?.file }

    /// A member of a weight's description.
    func member(_ key: String, of name: String) -> JSON? { descriptions[name]?.json[key] }

    /// The tensors of the files that a compressed weight consists of, beside one of its own name.
    func partNames(of name: String) -> [String] { parts[name] ?? [] }

    /// A compressed weight with the tensors that it consists of.
    ///
    /// - Parameters:
    ///   - shape: the matrix's extents that the model wants.
    ///   - tensor: the tensor of a name; nil when the files have none.
    /// - Throws: `.badData` naming the file, the weight and what is missing, unknown or of another shape.
    /// - Precondition: the weight is one of ``names``.
    func weight(
        _ name: String, shape: [Int], tensor: (_ name: String) throws -> Tensor?
    ) throws -> StoredWeight {
        guard let (json, file) = descriptions[name] else { preconditionFailure("\(name) is not compressed") }
        func failure(_ field: String, _ message: String) -> CoppiceError {
            CoppiceError(.badData, source: file, field: "\(name).\(field)", message)
        }
        guard let format = json["format"]?.stringValue else { throw failure("format", "is missing, expected a string") }
        guard WeightFormats.all.contains(where: { $0.name == format }) else {
            let known = WeightFormats.all.map { $0.name }.joined(separator: ", ")
            throw failure("format", "expected one of \(known), found \"\(format.prefix(40))\"")
        }
        guard let found = json["shape"]?.arrayValue?.map(\.intValue), found == shape.map(Optional.some) else {
            throw failure(
                "shape", "is \(json["shape"]?.serialized() ?? "missing"), expected \(shape) by config.json")
        }
        var options: [String: String] = [:]
        for (key, value) in json["options"]?.objectValue ?? [:] {
            guard let text = value.stringValue else { throw failure("options.\(key)", "expected a string") }
            options[key] = text
        }
        var tensors: [String: Tensor] = [:]
        for part in partNames(of: name) { tensors[String(part.dropFirst(name.count + 1))] = try tensor(part) }
        if let own = try tensor(name) { tensors[""] = own }
        guard !tensors.isEmpty else {
            throw CoppiceError(
                .badData, source: file, field: name, "is missing, expected the parts of a \(format) weight")
        }
        return StoredWeight(name: name, format: format, shape: shape, tensors: tensors, options: options)
    }

    /// What the metadata says about a weight.
    static func description(of stored: StoredWeight) -> OrderedDictionary<String, JSON> {
        let options = stored.options.sorted { $0.key < $1.key }.map { ($0.key, JSON.string($0.value)) }
        return [
            "format": .string(stored.format), "shape": .array(stored.shape.map { .integer($0) }),
            "options": .object(OrderedDictionary(uniqueKeysWithValues: options)),
        ]
    }

    /// The tensors that a weight is written as.
    static func entries(_ name: String, _ stored: StoredWeight) -> [SafetensorsWriter.Entry] {
        stored.tensors.sorted { $0.key < $1.key }.map {
            SafetensorsWriter.Entry($0.key.isEmpty ? name : "\(name).\($0.key)", $0.value)
        }
    }
}
