import CoppiceModels
import CoppiceTensors

/// Named tensors in one safetensors file.
enum TensorFile {
    /// Writes a file.
    ///
    /// - Throws: `.cannotCreate`, `.inputOutput`.
    static func write(_ tensors: [NamedTensor], metadata: [String: String] = [:], to path: String) throws {
        try SafetensorsWriter.write(
            tensors.map { (name: $0.name, tensor: $0.tensor) }, metadata: metadata, to: path)
    }

    /// All tensors of a file by name, and its metadata.
    ///
    /// - Throws: `.noInput`, or `.badData` for a file that is not valid safetensors.
    static func read(_ path: String) throws -> (tensors: [String: Tensor], metadata: [String: String]) {
        let file = try SafetensorsFile(path: path)
        var tensors: [String: Tensor] = [:]
        for name in file.names { tensors[name] = try file.tensor(name) }
        return (tensors, file.metadata)
    }
}
