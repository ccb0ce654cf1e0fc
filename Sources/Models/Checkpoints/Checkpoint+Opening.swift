import CoppiceFormats
import CoppiceTensors
import Foundation

extension Checkpoint {
    /// Opens a model.
    ///
    /// A path may be a Hugging Face folder (`config.json` with `model.safetensors` or shards; dense, or quantized as
    /// compressed-tensors, GPTQ or AWQ), a folder that Coppice wrote (the same, with compressed weights), a
    /// `.safetensors` file with its `config.json` beside it, a `.gguf` file, or a llama2.c `.bin` file.
    /// O(header): weights are not read.
    ///
    /// - Throws: `.noInput` when a file is missing; `.badData` when one is damaged or not supported, or when weights do
    ///   not fit the configuration, naming the tensor, the expected and the found shape.
    public static func open(_ path: String) throws -> Checkpoint {
        var path = path
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw CoppiceError(.noInput, source: path, "no such file or folder")
        }
        if isFolder.boolValue {
            let (configuration, layout) = try configuration(in: path)
            return try Checkpoint(path: path, folder: path, configuration, layout, SafetensorsSet(folder: path))
        }
        let parent = PendingOutput.split(path).folder
        let folder = parent.isEmpty ? "." : parent == "/" ? "/" : String(parent.dropLast())
        if path.hasSuffix(".safetensors") {
            let set = try SafetensorsSet(file: path)
            let (configuration, layout) = try configuration(in: folder)
            return try Checkpoint(path: path, folder: folder, configuration, layout, set)
        }
        if path.hasSuffix(".bin") {
            let file = try Llama2CFile(path: path)
            return Checkpoint(path: path, folder: folder, configuration: file.configuration, entries: file.entries)
        }
        if path.hasSuffix(".gguf") { return try open(gguf: path, folder: folder) }
        throw CoppiceError(
            .badData, source: path, "expected a model folder, a .safetensors, .gguf or llama2.c .bin file")
    }

    private static func configuration(
        in folder: String
    ) throws -> (DecoderConfiguration, (any ExchangeLayout)?) {
        let path = folder + "/config.json"
        guard FileManager.default.fileExists(atPath: path) else {
            throw CoppiceError(.noInput, source: path, "no such file, expected the model's configuration")
        }
        let json = try JSON(parsing: MappedFile.contents(path), source: path)
        var configuration = try DecoderConfiguration(json: json, source: path)
        let generation = folder + "/generation_config.json"
        if FileManager.default.fileExists(atPath: generation) {
            let json = try JSON(parsing: MappedFile.contents(generation), source: generation)
            try configuration.adoptGenerationDefaults(json, source: generation)
        }
        return (configuration, try ExchangeLayouts.layout(of: json, source: path))
    }

    private convenience init(
        path: String, folder: String, _ configuration: DecoderConfiguration, _ layout: (any ExchangeLayout)?,
        _ set: SafetensorsSet
    ) throws {
        var matcher = try WeightMatcher(set, layout)
        var entries: [String: Entry] = [:]
        for (name, shape) in configuration.tensorShapes { entries[name] = try matcher.take(name, shape) }
        try matcher.refuseRest(configuration)
        self.init(path: path, folder: folder, configuration: configuration, entries: entries)
    }
}

/// Finds what a configuration needs in weight files, and what is left over.
private struct WeightMatcher {
    private let set: SafetensorsSet
    /// How another tool stored the matrices that it quantized.
    private let layout: (any ExchangeLayout)?
    private var rest: Set<String>
    private let compressed: CompressedWeights

    init(_ set: SafetensorsSet, _ layout: (any ExchangeLayout)?) throws {
        self.set = set
        self.layout = layout
        rest = Set(set.names)
        compressed = try CompressedWeights(set.files)
    }

    mutating func take(_ name: String, _ shape: [Int]) throws -> Checkpoint.Entry {
        if let file = compressed.file(of: name) {
            let stored = try compressed.weight(name, shape: shape) { try set.file(of: $0)?.tensor($0) }
            rest.subtract(compressed.partNames(of: name) + [name])
            return .compressed(stored, file: file)
        }
        if let tensors = ModuleTensors(name, shape: shape, in: set), let weight = try layout?.weight(tensors) {
            rest.subtract(weight.tensorNames)
            return .imported(weight, shape: shape)
        }
        guard let file = set.file(of: name) else {
            throw CoppiceError(.badData, source: set.source, field: name, "is missing, expected shape \(shape)")
        }
        let tensor = try file.tensor(name)
        guard tensor.shape == shape else {
            throw CoppiceError(
                .badData, source: file.path, field: name, "has shape \(tensor.shape), expected \(shape) by config.json")
        }
        guard [.f32, .bf16, .f16].contains(tensor.dataType) else {
            throw CoppiceError(
                .badData, source: file.path, field: name, "has type \(tensor.dataType), expected f32, bf16 or f16")
        }
        rest.remove(name)
        return .dense(tensor, file: file.path)
    }

    /// Refuses tensors that the model has no place for, but for the few that are known to be redundant.
    func refuseRest(_ configuration: DecoderConfiguration) throws {
        let unknown = try rest.filter { name in
            // Some files keep the tied head, and old ones the rotary frequencies, which the configuration gives.
            try !(configuration.tiesEmbeddings && name == "lm_head.weight") && !name.hasSuffix(".rotary_emb.inv_freq")
                && layout?.isRedundant(name, in: set) != true
        }
        guard let name = unknown.min() else { return }
        let file = set.file(of: name)
        let shape = file?.description(of: name)?.shape ?? []
        throw CoppiceError(
            .badData, source: file?.path ?? set.source, field: name,
            "has shape \(shape) but a \(configuration.family.rawValue) model of this configuration has no such tensor"
                + (unknown.count > 1 ? " (\(unknown.count) such tensors)" : ""))
    }
}
