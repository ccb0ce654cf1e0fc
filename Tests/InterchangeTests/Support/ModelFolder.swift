import CoppiceModels
import CoppiceTensors
import Foundation
import OrderedCollections

/// A copy of a fixture to change, in a folder that goes away with it.
final class ModelFolder {
    let path = NSTemporaryDirectory() + "coppice-\(UUID().uuidString)"
    var configuration: OrderedDictionary<String, JSON>
    var tensors: [String: Tensor]

    init(_ fixture: String) throws {
        let source = Fixtures.path(fixture)
        let json = try JSON(
            parsing: try Data(contentsOf: URL(fileURLWithPath: source + "/config.json")), source: "config.json")
        configuration = json.objectValue ?? [:]
        let file = try SafetensorsFile(path: source + "/model.safetensors")
        tensors = try file.names.reduce(into: [:]) { $0[$1] = try file.tensor($1) }
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// A member of `quantization_config`.
    subscript(quantization key: String) -> JSON? {
        get { configuration["quantization_config"]?[key] }
        set {
            var members = configuration["quantization_config"]?.objectValue ?? [:]
            members[key] = newValue
            configuration["quantization_config"] = .object(members)
        }
    }

    /// A member of `weights` in the first group of `quantization_config`.
    subscript(weights key: String) -> JSON? {
        get { self[quantization: "config_groups"]?["group_0"]?["weights"]?[key] }
        set {
            var weights = self[quantization: "config_groups"]?["group_0"]?["weights"]?.objectValue ?? [:]
            weights[key] = newValue
            self[quantization: "config_groups"] = ["group_0": ["targets": ["Linear"], "weights": .object(weights)]]
        }
    }

    /// Writes the files as they are now, and opens them.
    func open() throws -> Checkpoint {
        try JSON.object(configuration).serialized(pretty: true)
            .write(toFile: path + "/config.json", atomically: true, encoding: .utf8)
        try SafetensorsWriter.write(
            tensors.sorted { $0.key < $1.key }.map { (name: $0.key, tensor: $0.value) },
            to: path + "/model.safetensors")
        return try Checkpoint.open(path)
    }

    /// What opening the model and using every weight throws.
    func failure() -> String? {
        do {
            let checkpoint = try open()
            for name in checkpoint.weightNames where checkpoint.shape(of: name)?.count == 2 {
                _ = try checkpoint.weight(name).dense()
            }
            return nil
        } catch {
            return "\(error)".replacingOccurrences(of: path + "/", with: "")
        }
    }
}
