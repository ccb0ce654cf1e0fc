import CoppiceTensors

extension CheckpointWriter {
    /// An encoder of the same configuration, tokenizer and tensors as another, by the names that they have in its files.
    ///
    /// - Throws: `.cannotCreate` when the folder cannot be created or holds what Coppice did not write.
    public convenience init(
        path: String, basedOn checkpoint: EncoderCheckpoint, dataType: DataType? = nil,
        shardSize: Int = standardShardSize
    ) throws {
        var configuration = checkpoint.configurationJSON.objectValue ?? [:]
        if let dataType {
            let name = [.f16: "float16", .bf16: "bfloat16"][dataType] ?? "float32"
            configuration[configuration["dtype"] == nil ? "torch_dtype" : "dtype"] = .string(name)
        }
        try self.init(
            path: path, configuration: .object(configuration),
            shapes: checkpoint.storedNames.map { ($0, checkpoint.storedShape($0) ?? []) },
            tokenizerFolder: checkpoint.folder, shardSize: shardSize)
    }
}

extension EncoderCheckpoint {
    /// Writes the encoder as a Hugging Face folder with dense weights, which `transformers` loads.
    ///
    /// Compressed matrices are expanded to exactly what they stand for; integers (tables of positions) stay what they
    /// are. One tensor at a time is in memory.
    ///
    /// - Parameters:
    ///   - path: the folder, which appears when it is complete.
    ///   - dataType: f32, bf16 or f16 for all weights; nil to keep the type of each, and to expand compressed ones to
    ///     the configuration's.
    ///   - shardSize: bytes of weights in one file.
    /// - Throws: `.usage` for another type; `.badData` for a weight that `dataType` cannot hold, naming it; what
    ///   ``CheckpointWriter`` throws.
    public func convert(
        to path: String, dataType: DataType? = nil, shardSize: Int = CheckpointWriter.standardShardSize,
        progress: any ProgressReporter = SilentProgress()
    ) throws {
        try Checkpoint.checkDenseType(dataType)
        let writer = try CheckpointWriter(path: path, basedOn: self, dataType: dataType, shardSize: shardSize)
        progress.begin("convert", total: storedNames.count, unit: "tensors")
        for (index, name) in storedNames.enumerated() {
            let own = denseType(of: name)
            let type = own.isFloatingPoint ? dataType ?? own : own
            try writer.add(name, dataType: type) { [self] in
                defer { progress.advance(to: index + 1, note: name) }
                return try Checkpoint.inFile(self.path) { try storedTensor(name).narrowed(to: type, field: name) }
            }
        }
        try writer.finish()
        progress.end("\(storedNames.count) tensors")
    }
}
