import CoppiceCompression
import CoppiceModels
import CoppiceTensors
import Foundation

/// A folder that is removed with its last reference.
final class TemporaryFolder {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.path + "/compression-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// All files below a folder in here with their content.
    func files(_ name: String) throws -> [String: Data] {
        let root = path + "/" + name
        var files: [String: Data] = [:]
        for file in try FileManager.default.contentsOfDirectory(atPath: root) {
            files[file] = FileManager.default.contents(atPath: root + "/" + file)
        }
        return files
    }
}

/// A random bf16 decoder of two blocks.
enum TinyCheckpoint {
    static let configuration = DecoderConfiguration(
        family: .qwen2, vocabularySize: 50, hiddenSize: 64, intermediateSize: 96, layerCount: 2, headCount: 4,
        keyValueHeadCount: 2, maximumPositions: 64, dataType: .bf16)

    /// Writes one and opens it.
    ///
    /// - Parameter change: may replace a tensor.
    static func make(
        in folder: TemporaryFolder, name: String = "model", dataType: DataType = .bf16,
        configuration: DecoderConfiguration = configuration, change: (_ name: String, Tensor) -> Tensor = { $1 }
    ) throws -> Checkpoint {
        var configuration = configuration
        configuration.dataType = dataType
        let path = folder.path + "/" + name
        let writer = try CheckpointWriter(path: path, configuration: configuration)
        let network = DecoderNetwork(configuration, seed: 5, initialDeviation: 0.1)
        for (name, parameter) in network.parameters {
            try writer.add(name, change(name, parameter.wrappedValue.detached().converted(to: dataType)))
        }
        try writer.finish()
        return try Checkpoint.open(path)
    }
}
