import CoppiceFormats
import CoppiceTensors

extension Checkpoint {
    /// Writes the model as a Hugging Face folder in the layouts of compressed-tensors, which `transformers` and vLLM
    /// load.
    ///
    /// Integers in groups are written as pack-quantized, 2:4 and bitmask sparse floats as sparse-24-bitmask and
    /// sparse-bitmask (which versions of the library until 0.14 read), sparse integers as pack-quantized with codes of
    /// zero; each stands for exactly the same matrix. A compressed embedding is expanded to the type of dense weights,
    /// since loaders do not look for one. One weight at a time and a shard are in memory.
    ///
    /// - Parameters:
    ///   - path: the folder, which appears when it is complete.
    ///   - dataType: f32, bf16 or f16 for dense weights and sparse floats; nil to keep the type of each. With f32 the
    ///     scales of integers become f32 as well, so that readers that multiply codes and scales in the scales' type
    ///     get the matrix without rounding; else they stay f16.
    ///   - quantizesActivations: whether readers are told to round activations to 8 bits, with a scale for each token.
    ///     Integers are then written as int-quantized and must have 8 bits, no zero points and a scale for each row.
    ///   - shardSize: bytes of weights in one file.
    /// - Throws: `.usage` for another type; `.badData` for a model of dense weights only or without some sub-layers, for
    ///   a weight in a format that compressed-tensors has no layout for, naming it, and for one that `dataType` cannot
    ///   hold; what ``CheckpointWriter`` throws.
    public func convertToCompressedTensors(
        to path: String, dataType: DataType? = nil, quantizesActivations: Bool = false,
        shardSize: Int = CheckpointWriter.standardShardSize,
        progress: any ProgressReporter = SilentProgress()
    ) throws {
        try Self.checkDenseType(dataType)
        try configuration.checkHasAllSubLayers(source: self.path, format: "compressed-tensors")
        // Before anything is written, every weight is known to have a layout.
        let exports = try weightNames.map { try export($0, quantizesActivations) }
        var description = CompressedTensorsDescription()
        for (name, export) in zip(weightNames, exports) {
            if let module = Self.linearModule(name), shape(of: name)?.count == 2 { description.add(module, export) }
        }
        if configuration.tiesEmbeddings { description.add("lm_head", .dense) }
        guard description.isCompressed else {
            throw CoppiceError(
                .badData, source: self.path, "has only dense weights, expected compressed ones; convert to safetensors")
        }
        let writer = try CheckpointWriter(path: path, basedOn: self, dataType: dataType, shardSize: shardSize)
        progress.begin("convert", total: weightNames.count, unit: "weights")
        for (index, (name, export)) in zip(weightNames, exports).enumerated() {
            try write(name, export, dataType, to: writer, &description)
            progress.advance(to: index + 1, note: name)
        }
        try writer.addConfiguration("quantization_config", description.json)
        try writer.finish()
        progress.end("\(weightNames.count) weights")
    }

    private func write(
        _ name: String, _ export: CompressedTensorsExport, _ dataType: DataType?, to writer: CheckpointWriter,
        _ description: inout CompressedTensorsDescription
    ) throws {
        let module = Self.linearModule(name) ?? name
        let parts: [(part: String, tensor: Tensor)]
        switch export {
        case .dense:
            let type = dataType ?? denseType(of: name)
            return try writer.add(name, dataType: type) { [self] in try converted(name, to: type) }
        case .packed(let scheme):
            parts = CompressedTensorsExport.packedParts(
                try stored(name), scheme, scaleType: dataType == .f32 ? .f32 : .f16)
        case .bytes:
            parts = CompressedTensorsExport.byteParts(try stored(name), scaleType: dataType == .f32 ? .f32 : .f16)
        case .sparse:
            let stored = try stored(name)
            parts = try Self.inFile(self.path) {
                try CompressedTensorsExport.sparseParts(
                    stored, isTwoOfFour: description.isTwoOfFour, dataType: dataType)
            }
            let entries = stored.shape.reduce(1, *)
            description.count(entries: entries, zeros: entries - (stored.tensors["values"]?.count ?? 0))
        }
        try writer.add(name, parts: parts.map { SafetensorsWriter.Entry("\(module).\($0.part)", $0.tensor) })
    }

    /// How a parameter is written, its parts checked.
    private func export(_ name: String, _ quantizesActivations: Bool) throws -> CompressedTensorsExport {
        guard isCompressed(name), Self.linearModule(name) != nil else { return .dense }
        let stored = try stored(name)
        return try Self.inFile(self.path) {
            _ = try WeightFormats.decode(stored)
            return try CompressedTensorsExport(stored, quantizesActivations: quantizesActivations)
        }
    }

    /// The layer of a matrix that is not an embedding.
    private static func linearModule(_ name: String) -> String? {
        guard name.hasSuffix(".weight"), name != "model.embed_tokens.weight" else { return nil }
        return String(name.dropLast(".weight".count))
    }
}
