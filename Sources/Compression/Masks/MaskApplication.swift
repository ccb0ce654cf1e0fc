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
    /// Picks the formats; that of language models and encoders prefers speed, that of vision networks size, as compressing does.
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
        /// Whether norms keep running statistics that were averaged without the masks, since the file has none.
        public var keepsDenseStatistics = false
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
        var keepsDenseStatistics = false
        switch checkpoint {
        case .languageModel(let model): try write(model, weights, output, progress)
        case .vision(let network):
            try write(network, weights, output)
            keepsDenseStatistics =
                try file.statistics.isEmpty && file.removedCount > 0
                && !MaskFile.statistics(of: network.network()).isEmpty
        case .encoder(let encoder): try write(encoder, weights, output, progress)
        }
        let after = try ModelInventory(AnyCheckpoint.open(output)).total
        return Result(
            output: output, bytesBefore: before.byteCount, bytes: after.byteCount, sparsity: after.sparsity,
            keepsDenseStatistics: keepsDenseStatistics)
    }

    private func write(
        _ checkpoint: Checkpoint, _ weights: StoredWeights, _ output: String, _ progress: any ProgressReporter
    ) throws {
        let writer = try CheckpointWriter(path: output, basedOn: checkpoint)
        try write(checkpoint.weightNames, weights, to: writer, progress) { name in
            checkpoint.isCompressed(name) ? try checkpoint.weight(name) : nil
        } type: {
            checkpoint.denseType(of: $0)
        } tensor: { name in
            try checkpoint.tensor(name)
        } done: {
            checkpoint.releasePages(of: $0)
        }
    }

    private func write(
        _ checkpoint: EncoderCheckpoint, _ weights: StoredWeights, _ output: String, _ progress: any ProgressReporter
    ) throws {
        let writer = try CheckpointWriter(path: output, basedOn: checkpoint)
        let breakEvens = FormatPlanner.encoderBreakEvens
        try write(checkpoint.storedNames, weights, to: writer, progress, breakEvens: breakEvens) { name in
            checkpoint.isCompressed(name) ? try checkpoint.weight(name) : nil
        } type: {
            checkpoint.denseType(of: $0)
        } tensor: { name in
            try checkpoint.storedTensor(name)
        }
    }

    /// Writes the tensors of a checkpoint, those of the masks in the formats that hold them.
    ///
    /// - Parameters:
    ///   - breakEvens: where bitmasks are faster.
    ///   - compressed: the matrix of a name that is stored in a compressed format; nil for others.
    ///   - type: the type of a matrix's values.
    ///   - done: called with each name that is written.
    private func write(
        _ names: [String], _ weights: StoredWeights, to writer: CheckpointWriter, _ progress: any ProgressReporter,
        breakEvens: [FormatPlanner.BreakEven] = FormatPlanner.measuredBreakEvens,
        compressed: (String) throws -> (any WeightFormat)?, type: (String) -> DataType,
        tensor: (String) throws -> Tensor, done: (String) -> Void = { _ in }
    ) throws {
        let entries = Dictionary(uniqueKeysWithValues: file.entries.map { ($0.name, $0) })
        var planner = FormatPlanner(preference: preference ?? .speed)
        planner.breakEvens = breakEvens
        progress.begin("apply", total: names.count, unit: "tensors")
        defer { progress.end("") }
        for (place, name) in names.enumerated() {
            if let entry = entries[name] {
                try writer.add(name, try entry.format(of: weights, type: type(name), planner: planner).stored())
            } else if let weight = try compressed(name) {
                try writer.add(name, weight.stored())
            } else {
                try writer.add(name, tensor(name))
            }
            done(name)
            progress.advance(to: place + 1, note: name)
        }
        try writer.finish()
    }

    private func write(_ checkpoint: VisionCheckpoint, _ weights: StoredWeights, _ output: String) throws {
        let entries = Dictionary(uniqueKeysWithValues: file.entries.map { ($0.name, $0) })
        let planner = FormatPlanner(preference: preference ?? .size)
        let network = try checkpoint.network()
        try file.restoreStatistics(network, source: source)
        let parameters = Dictionary(uniqueKeysWithValues: network.parameters.map { ($0.name, $0.parameter) })
        var formats: [String: any WeightFormat] = [:]
        for (name, stored) in try checkpoint.tensorNames().parameters {
            guard let entry = entries[name] else {
                formats[name] = try checkpoint.tensors.weight(stored)
                continue
            }
            let type =
                try checkpoint.tensors.stored(stored)?.tensors["values"]?.dataType
                ?? checkpoint.tensors.dataType(of: stored) ?? .f32
            let format = try entry.format(
                of: weights, type: [.f32, .f16, .bf16].contains(type) ? type : .f32, planner: planner)
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
