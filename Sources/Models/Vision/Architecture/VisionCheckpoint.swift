import CoppiceNetworks
import CoppiceTensors
import Foundation
import OrderedCollections

/// A stored vision network: its architecture, its weights, and how its images are to be normalized.
///
/// ```swift
/// let checkpoint = try VisionCheckpoint.open("resnet20.safetensors")
/// print(checkpoint.architecture)                    // resnet20
/// let network = try checkpoint.network()
/// ```
public struct VisionCheckpoint: Sendable {
    /// What was opened: a folder or a file.
    public let path: String
    public let architecture: VisionArchitecture
    /// Of each channel, as images of 0 to 1 are normalized before the network sees them; nil where it is not stored.
    public let normalization: ImageNormalization?
    public let file: SafetensorsFile

    /// The key of a safetensors file's metadata that holds the configuration.
    static let metadataKey = "coppice.vision"

    /// Opens a folder with `config.json` and `model.safetensors`, or a `.safetensors` file. Of a file, the architecture
    /// is what the file's metadata says or a `config.json` beside it that names one, else what its tensors tell.
    /// O(header): weights are not read.
    ///
    /// - Throws: `.noInput` when a file is missing; `.badData` when one is damaged, when the architecture is not known, or
    ///   when tensors do not fit it, naming the tensor, its shape and the expected one.
    public static func open(_ path: String) throws -> VisionCheckpoint {
        var path = path
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw CoppiceError(.noInput, source: path, "no such file or folder")
        }
        if isFolder.boolValue {
            let configuration = path + "/config.json"
            guard FileManager.default.fileExists(atPath: configuration) else {
                throw CoppiceError(
                    .noInput, source: configuration, "no such file, expected the network's configuration")
            }
            let file = try SafetensorsFile(path: path + "/model.safetensors")
            return try VisionCheckpoint(path, file, json: configurationFile(configuration), source: configuration)
        }
        guard path.hasSuffix(".safetensors") else {
            throw CoppiceError(.badData, source: path, "expected a model folder or a .safetensors file")
        }
        let file = try SafetensorsFile(path: path)
        if let text = file.metadata[metadataKey] {
            let source = "\(path): \(metadataKey)"
            return try VisionCheckpoint(path, file, json: JSON(text: text, source: source), source: source)
        }
        let beside = PendingOutput.split(path).folder + "config.json"
        if FileManager.default.fileExists(atPath: beside),
            let json = try? configurationFile(beside), json["architecture"]?.stringValue != nil
        {
            return try VisionCheckpoint(path, file, json: json, source: beside)
        }
        let architecture = try VisionArchitecture(recognizing: TensorShapes(file))
        return VisionCheckpoint(path: path, architecture: architecture, normalization: nil, file: file)
    }

    /// Whether a path is one that ``open(_:)`` is meant for: a folder whose configuration names an architecture, or a
    /// `.safetensors` file of tensors that are recognized. False where anything is damaged.
    public static func isVisionNetwork(_ path: String) -> Bool {
        if let json = try? configurationFile(path + "/config.json") { return json["architecture"]?.stringValue != nil }
        return path.hasSuffix(".safetensors") && (try? open(path)) != nil
    }

    private static func configurationFile(_ path: String) throws -> JSON {
        try JSON(parsing: MappedFile.contents(path), source: path)
    }

    private init(
        path: String, architecture: VisionArchitecture, normalization: ImageNormalization?, file: SafetensorsFile
    ) {
        self.path = path
        self.architecture = architecture
        self.normalization = normalization
        self.file = file
    }

    private init(_ path: String, _ file: SafetensorsFile, json: JSON, source: String) throws {
        let architecture = try VisionArchitecture(json: json, source: source)
        let renaming = type(of: architecture.configuration).canonicalNames
        try TensorShapes(file).renamed(renaming).check(architecture.makeUnloadedNetwork(), named: architecture.name)
        let fields = ConfigurationFields(json: json, source: source)
        self.init(
            path: path, architecture: architecture,
            normalization: try Self.normalization(fields, channels: architecture.inputChannels), file: file)
    }

    private static func normalization(_ fields: ConfigurationFields, channels: Int) throws -> ImageNormalization? {
        guard fields.value("mean") != nil || fields.value("deviation") != nil else { return nil }
        func numbers(_ key: String, _ isValid: (Double) -> Bool) throws -> [Double] {
            let numbers = fields.value(key)?.arrayValue?.compactMap(\.doubleValue) ?? []
            guard numbers.count == channels, numbers.count == fields.value(key)?.arrayValue?.count,
                numbers.allSatisfy({ $0.isFinite && isValid($0) })
            else { throw fields.mismatch(key, "\(channels) numbers\(key == "deviation" ? " above 0" : "")") }
            return numbers
        }
        return ImageNormalization(
            mean: try numbers("mean") { _ in true }, deviation: try numbers("deviation") { $0 > 0 })
    }

    /// The network with its weights, as f32, ready to be used (not in training).
    public func network() throws -> any VisionNetwork {
        let network = architecture.makeUnloadedNetwork()
        try network.load(file)
        network.setTraining(false)
        return network
    }

    // MARK: Writing

    /// `config.json`.
    public static func configuration(
        of architecture: VisionArchitecture, normalization: ImageNormalization? = nil
    ) -> JSON {
        var fields = architecture.json
        if let normalization {
            fields["mean"] = .array(normalization.mean.map { .number($0) })
            fields["deviation"] = .array(normalization.deviation.map { .number($0) })
        }
        return .object(fields)
    }

    /// Writes a network to a `.safetensors` file, its configuration in the metadata.
    ///
    /// - Throws: `.cannotCreate`, `.inputOutput`; `.badData` for a network that does not fit the architecture.
    public static func write(
        _ network: any VisionNetwork, architecture: VisionArchitecture? = nil, normalization: ImageNormalization? = nil,
        file path: String
    ) throws {
        let architecture = try architecture ?? VisionArchitecture(network.configuration)
        let json = configuration(of: architecture, normalization: normalization)
        var tensors = network.parameters.map { ($0.name, $0.parameter.wrappedValue.detached()) }
        tensors += network.stateTensors.map { ($0.name, $0.state.wrappedValue) }
        try TensorShapes(source: path, tensors.map { ($0.0, $0.1.shape) })
            .check(architecture.makeUnloadedNetwork(), named: architecture.name)
        try SafetensorsWriter.write(
            tensors.map { .init($0.0, $0.1) }, metadata: ["format": "pt", metadataKey: json.serialized()], to: path)
    }

    /// Writes a network to a folder, `config.json` and `model.safetensors`, that appears when it is complete.
    ///
    /// - Parameter files: texts that are written beside them, by name.
    /// - Throws: `.cannotCreate`, `.inputOutput`; `.badData` for a network that does not fit the architecture.
    public static func write(
        _ network: any VisionNetwork, architecture: VisionArchitecture? = nil, normalization: ImageNormalization? = nil,
        folder path: String, files: [(name: String, text: String)] = []
    ) throws {
        let architecture = try architecture ?? VisionArchitecture(network.configuration)
        let folder = try OutputFolder(at: path)
        defer { folder.discard() }
        try write(
            network, architecture: architecture, normalization: normalization,
            file: folder.path(for: "model.safetensors"))
        let json = configuration(of: architecture, normalization: normalization)
        try AtomicFile.write(json.serialized(pretty: true) + "\n", to: folder.path(for: "config.json"))
        for (name, text) in files { try AtomicFile.write(text, to: folder.path(for: name)) }
        try folder.commit()
    }
}
