import CoppiceFormats
import CoppiceModels
import CoppiceTensors

/// Writes the sparse model that masks make of a dense one: kept weights stay bit for bit what they were.
///
/// ```swift
/// let file = try MaskFile.read("mask.safetensors")
/// let result = try MaskApplication(file).run(AnyCheckpoint.open("dense"), output: "sparse")
/// ```
public struct MaskApplication {
    public let file: MaskFile
    /// Picks the formats; that of language models prefers speed, that of vision networks size, as compressing does.
    public var preference: FormatPlanner.Preference?
    /// What errors call the masks.
    public var source: String?

    public init(_ file: MaskFile) { self.file = file }

    /// What was written.
    public struct Result: Sendable, Hashable {
        public var output: String
        /// Bytes of all tensors.
        public var bytesBefore: Int
        public var bytes: Int
        /// Zeros among all parameters.
        public var sparsity: Double
    }

    /// Applies the masks and writes a folder that appears when it is complete.
    ///
    /// - Throws: `.badData` where the masks belong to another model, and for weights that are not finite;
    ///   `.cannotCreate`, `.inputOutput`.
    public func run(
        _ checkpoint: AnyCheckpoint, output: String, progress: any ProgressReporter = SilentProgress()
    ) throws -> Result {
        let weights = try StoredWeights(checkpoint)
        try file.check(against: weights, source: source)
        let before = try ModelInventory(checkpoint).total
        switch checkpoint {
        case .languageModel(let model): try write(model, weights, output, progress)
        case .vision(let network): try write(network, weights, output)
        case .encoder(let encoder): try write(encoder, weights, output)
        }
        let after = try ModelInventory(AnyCheckpoint.open(output)).total
        return Result(output: output, bytesBefore: before.byteCount, bytes: after.byteCount, sparsity: after.sparsity)
    }

    /// The format that holds a matrix under its mask exactly.
    ///
    /// - Parameter type: the type that its values are stored in, where that is one.
    private func format(
        _ entry: MaskFile.Entry, _ weights: StoredWeights, type: DataType, planner: FormatPlanner
    ) throws -> any WeightFormat {
        var values = try weights.finiteValues(of: entry.name)
        entry.mask.apply(to: &values)
        let isExact = values.converted(to: type).converted(to: .f32).floats() == values.floats()
        return try planner.format(values, for: WeightDecision(mask: entry.mask), dataType: isExact ? type : .f32)
    }

    private func write(
        _ checkpoint: Checkpoint, _ weights: StoredWeights, _ output: String, _ progress: any ProgressReporter
    ) throws {
        let entries = Dictionary(uniqueKeysWithValues: file.entries.map { ($0.name, $0) })
        let planner = FormatPlanner(preference: preference ?? .speed)
        let writer = try CheckpointWriter(path: output, basedOn: checkpoint)
        progress.begin("apply", total: checkpoint.weightNames.count, unit: "tensors")
        defer { progress.end("") }
        for (place, name) in checkpoint.weightNames.enumerated() {
            if let entry = entries[name] {
                let type =
                    checkpoint.isCompressed(name)
                    ? checkpoint.configuration.dataType : try checkpoint.tensor(name).dataType
                try writer.add(name, try format(entry, weights, type: type, planner: planner).stored())
            } else if checkpoint.isCompressed(name) {
                try writer.add(name, checkpoint.stored(name))
            } else {
                try writer.add(name, checkpoint.tensor(name))
            }
            checkpoint.releasePages(of: name)
            progress.advance(to: place + 1, note: name)
        }
        try writer.finish()
    }

    /// Encoders are stored as they are, with zeros.
    private func write(_ checkpoint: EncoderCheckpoint, _ weights: StoredWeights, _ output: String) throws {
        let folder = try OutputFolder(at: output)
        defer { folder.discard() }
        var values: [String: Tensor] = [:]
        for entry in file.entries {
            var matrix = try weights.finiteValues(of: entry.name)
            entry.mask.apply(to: &matrix)
            values[entry.name] = matrix
        }
        try checkpoint.write(to: folder, values: values)
    }

    private func write(_ checkpoint: VisionCheckpoint, _ weights: StoredWeights, _ output: String) throws {
        let entries = Dictionary(uniqueKeysWithValues: file.entries.map { ($0.name, $0) })
        let planner = FormatPlanner(preference: preference ?? .size)
        let network = try checkpoint.network()
        let parameters = Dictionary(uniqueKeysWithValues: network.parameters.map { ($0.name, $0.parameter) })
        var formats: [String: any WeightFormat] = [:]
        for (name, stored) in try checkpoint.tensorNames().parameters {
            guard let entry = entries[name] else {
                formats[name] = try checkpoint.tensors.weight(stored)
                continue
            }
            let type =
                try checkpoint.tensors.stored(stored)?.tensors["values"]?.dataType
                ?? checkpoint.tensors.file.description(of: stored)?.dataType ?? .f32
            let format = try format(
                entry, weights, type: [.f32, .f16, .bf16].contains(type) ? type : .f32, planner: planner)
            formats[name] = format
            if let parameter = parameters[name] {
                parameter.wrappedValue = format.dense().reshaped(parameter.wrappedValue.shape)
            }
        }
        try VisionCheckpoint.write(
            network, architecture: checkpoint.architecture, normalization: checkpoint.normalization, formats: formats,
            folder: output)
    }
}
