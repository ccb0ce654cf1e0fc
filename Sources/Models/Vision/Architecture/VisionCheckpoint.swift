import CoppiceFormats
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
    /// The tensors, dense or compressed.
    public let tensors: StoredTensors

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
        let tensors = try StoredTensors(file)
        let architecture = try VisionArchitecture(recognizing: TensorShapes(tensors))
        return VisionCheckpoint(path: path, architecture: architecture, normalization: nil, tensors: tensors)
    }

    /// Whether a path is one that ``open(_:)`` is meant for: a folder whose configuration names an architecture, or a
    /// `.safetensors` file of tensors that are recognized. False where anything is damaged.
    public static func isVisionNetwork(_ path: String) -> Bool {
        if let json = try? configurationFile(path + "/config.json") { return json["architecture"]?.stringValue != nil }
        return path.hasSuffix(".safetensors") && (try? open(path)) != nil
    }

    /// Whether a path says that it is a vision network, damaged or not: a folder whose configuration names an
    /// architecture, a `.safetensors` file with a vision network's metadata, with such a configuration beside it, or
    /// without any configuration, which a language model cannot do without.
    static func isMeant(_ path: String) -> Bool {
        if let json = try? configurationFile(path + "/config.json") { return json["architecture"]?.stringValue != nil }
        guard path.hasSuffix(".safetensors") else { return false }
        if let file = try? SafetensorsFile(path: path), file.metadata[metadataKey] != nil { return true }
        let beside = PendingOutput.split(path).folder + "config.json"
        guard FileManager.default.fileExists(atPath: beside) else { return true }
        if let json = try? configurationFile(beside) {
            return json["architecture"]?.stringValue != nil
                || json["model_type"] == nil && isVisionNetwork(path)
        }
        return isVisionNetwork(path)
    }

    private static func configurationFile(_ path: String) throws -> JSON {
        try JSON(parsing: MappedFile.contents(path), source: path)
    }

    private init(
        path: String, architecture: VisionArchitecture, normalization: ImageNormalization?, tensors: StoredTensors
    ) {
        self.path = path
        self.architecture = architecture
        self.normalization = normalization
        self.tensors = tensors
    }

    private init(_ path: String, _ file: SafetensorsFile, json: JSON, source: String) throws {
        let architecture = try VisionArchitecture(json: json, source: source)
        let tensors = try StoredTensors(file)
        let renaming = type(of: architecture.configuration).canonicalNames
        try TensorShapes(tensors).renamed(renaming).check(architecture.makeUnloadedNetwork(), named: architecture.name)
        let fields = ConfigurationFields(json: json, source: source)
        self.init(
            path: path, architecture: architecture,
            normalization: try Self.normalization(fields, of: architecture), tensors: tensors)
    }

    private static func normalization(
        _ fields: ConfigurationFields, of architecture: VisionArchitecture
    ) throws -> ImageNormalization? {
        guard fields.value("mean") != nil || fields.value("deviation") != nil else { return nil }
        let given = fields.value("mean")?.arrayValue?.count ?? 0
        let channels = architecture.takes(channels: given) ? given : architecture.inputChannels
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

    /// Names of the parameters, then of the running statistics, in the network's order, with those that the file has
    /// for them. What the file lacks (counts of batches) is left out.
    public func tensorNames() throws -> (
        parameters: [(name: String, stored: String)], state: [(name: String, stored: String)]
    ) {
        let network = architecture.makeUnloadedNetwork()
        let names = try TensorShapes(tensors).renamed(type(of: architecture.configuration).canonicalNames)
        func stored(_ own: [String]) -> [(name: String, stored: String)] {
            own.compactMap { name in names.storedName(name).map { (name, $0) } }
        }
        return (stored(network.parameters.map(\.name)), stored(network.stateTensors.map(\.name)))
    }

    /// What the file calls parameters, by the names that the network has for them, where these are others.
    public var aliases: [String: String] {
        get throws {
            Dictionary(
                uniqueKeysWithValues: try tensorNames().parameters.filter { $0.name != $0.stored }
                    .map { ($0.name, $0.stored) })
        }
    }

    /// The network with its weights, as f32, ready to be used (not in training).
    ///
    /// - Throws: `.badData` naming a tensor that holds NaN or infinite numbers, and a variance below zero. O(weights).
    public func network() throws -> any VisionNetwork {
        let network = architecture.makeUnloadedNetwork()
        try network.load(tensors)
        network.setTraining(false)
        try checkNumbers(of: network)
        return network
    }

    private func checkNumbers(of network: any VisionNetwork) throws {
        for (name, parameter) in network.parameters {
            try parameter.wrappedValue.detached().checkFinite(name, source: path)
        }
        for (name, state) in network.stateTensors {
            let values = state.wrappedValue
            try values.checkFinite(name, source: path)
            guard name.hasSuffix("running_var"), let place = values.floats().firstIndex(where: { $0 < 0 }) else {
                continue
            }
            throw CoppiceError(
                .badData, source: path, field: name,
                "is \(values.floats()[place]) at [\(place)], expected variances of at least 0")
        }
    }

    /// The type that a weight's values are stored in: that of the file where it is one of floating point.
    ///
    /// - Parameter stored: what the file calls the weight.
    package func valueType(of stored: String) throws -> DataType {
        let type = try tensors.stored(stored)?.tensors["values"]?.dataType ?? tensors.dataType(of: stored)
        return type.map { [.f32, .f16, .bf16].contains($0) ? $0 : .f32 } ?? .f32
    }

    // MARK: Writing

    /// Writes the network with dense tensors, which PyTorch loads by torchvision's names, into a folder. Compressed
    /// weights become what they stand for.
    ///
    /// - Parameter dataType: of convolutions and matrices; nil: as they are stored.
    /// - Throws: as ``network()`` and ``write(_:architecture:normalization:formats:folder:files:)``.
    public func convert(to path: String, dataType: DataType? = nil) throws {
        let network = try network()
        let stored = Dictionary(uniqueKeysWithValues: try tensorNames().parameters.map { ($0.name, $0.stored) })
        var formats: [String: any WeightFormat] = [:]
        for (name, parameter) in network.parameters where parameter.wrappedValue.rank > 1 {
            let values = parameter.wrappedValue.detached().contiguous()
            let type = try dataType ?? valueType(of: stored[name] ?? name)
            formats[name] = try DenseWeight(values.reshaped([values.shape[0], -1]).converted(to: type))
        }
        try Self.write(
            network, architecture: architecture, normalization: normalization, formats: formats, folder: path)
    }

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
    /// - Parameter formats: what weights are stored as, by their names; convolutions as matrices
    ///   `[out, in · rows · columns]`. Others are stored dense.
    /// - Throws: `.cannotCreate`, `.inputOutput`; `.badData` for a network that does not fit the architecture.
    public static func write(
        _ network: any VisionNetwork, architecture: VisionArchitecture? = nil, normalization: ImageNormalization? = nil,
        formats: [String: any WeightFormat] = [:], file path: String
    ) throws {
        let architecture = try architecture ?? VisionArchitecture(network.configuration)
        let json = configuration(of: architecture, normalization: normalization)
        var tensors = network.parameters.map { ($0.name, $0.parameter.wrappedValue.detached()) }
        tensors += network.stateTensors.map { ($0.name, $0.state.wrappedValue) }
        try TensorShapes(source: path, tensors.map { ($0.0, $0.1.shape) })
            .check(architecture.makeUnloadedNetwork(), named: architecture.name)
        let (entries, metadata) = StoredTensors.entries(tensors.map { ($0.0, $0.1) }, formats: formats)
        try SafetensorsWriter.write(
            entries, metadata: metadata.merging(["format": "pt", metadataKey: json.serialized()]) { $1 }, to: path)
    }

    /// Writes a network to a folder, `config.json` and `model.safetensors`, that appears when it is complete.
    ///
    /// - Parameters:
    ///   - formats: what weights are stored as, by their names.
    ///   - files: texts that are written beside them, by name.
    /// - Throws: `.cannotCreate`, `.inputOutput`; `.badData` for a network that does not fit the architecture.
    public static func write(
        _ network: any VisionNetwork, architecture: VisionArchitecture? = nil, normalization: ImageNormalization? = nil,
        formats: [String: any WeightFormat] = [:], folder path: String, files: [(name: String, text: String)] = []
    ) throws {
        let architecture = try architecture ?? VisionArchitecture(network.configuration)
        let folder = try OutputFolder(at: path)
        defer { folder.discard() }
        try write(
            network, architecture: architecture, normalization: normalization, formats: formats,
            file: folder.path(for: "model.safetensors"))
        let json = configuration(of: architecture, normalization: normalization)
        try AtomicFile.write(json.serialized(pretty: true) + "\n", to: folder.path(for: "config.json"))
        for (name, text) in files { try AtomicFile.write(text, to: folder.path(for: name)) }
        try folder.commit()
    }
}
