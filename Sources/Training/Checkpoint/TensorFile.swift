import CoppiceModels
import CoppiceTensors

/// Named tensors in one safetensors file.
package enum TensorFile {
    /// Writes a file.
    ///
    /// - Throws: `.cannotCreate`, `.inputOutput`.
    package static func write(_ tensors: [NamedTensor], metadata: [String: String] = [:], to path: String) throws {
        try SafetensorsWriter.write(
            tensors.map { (name: $0.name, tensor: $0.tensor) }, metadata: metadata, to: path)
    }

    /// All tensors of a file by name, and its metadata.
    ///
    /// - Throws: `.noInput`, or `.badData` for a file that is not valid safetensors.
    package static func read(_ path: String) throws -> (tensors: [String: Tensor], metadata: [String: String]) {
        let file = try SafetensorsFile(path: path)
        var tensors: [String: Tensor] = [:]
        for name in file.names { tensors[name] = try file.tensor(name) }
        return (tensors, file.metadata)
    }
}

extension [String: Tensor] {
    /// A copy of the tensor of a name.
    ///
    /// - Parameters:
    ///   - own: a tensor of the element type and shape that it must have.
    ///   - source: the file that the tensors were read from, for error messages.
    /// - Throws: `.badData` naming the tensor that is missing or has another type or shape.
    func tensor(_ name: String, like own: Tensor, source: String) throws -> Tensor {
        guard let tensor = self[name] else {
            throw CoppiceError(.badData, source: source, field: name, "is missing")
        }
        guard tensor.shape == own.shape, tensor.dataType == own.dataType else {
            throw CoppiceError(
                .badData, source: source, field: name,
                "is \(tensor.dataType) \(tensor.shape), expected \(own.dataType) \(own.shape)")
        }
        return tensor.copied()
    }
}
