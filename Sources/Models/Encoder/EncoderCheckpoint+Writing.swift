import CoppiceTensors

extension CheckpointWriter {
    /// An encoder of the same tokenizer and tensors as another, by the names that they have in its files.
    ///
    /// - Parameters:
    ///   - configuration: instead of the other's, for one of other heads or another feed-forward size.
    ///   - dataType: the type that `config.json` names; that of the other encoder if nil.
    /// - Throws: `.cannotCreate` when the folder cannot be created or holds what Coppice did not write.
    public convenience init(
        path: String, basedOn checkpoint: EncoderCheckpoint, configuration: EncoderConfiguration? = nil,
        dataType: DataType? = nil, shardSize: Int = standardShardSize
    ) throws {
        var json = checkpoint.configurationJSON
        var shapes: [String: [Int]] = [:]
        if let configuration, configuration != checkpoint.configuration {
            json = configuration.json(changing: json)
            for (name, parameter) in MaskedLanguageEncoder(unloaded: configuration).stack.parameters {
                let name = configuration.family.rawValue + "." + name
                if let stored = checkpoint.storedName(of: name) { shapes[stored] = parameter.wrappedValue.shape }
            }
        }
        if let dataType {
            var members = json.objectValue ?? [:]
            let name = [.f16: "float16", .bf16: "bfloat16"][dataType] ?? "float32"
            members[members["dtype"] == nil ? "torch_dtype" : "dtype"] = .string(name)
            json = .object(members)
        }
        try self.init(
            path: path, configuration: json,
            shapes: checkpoint.storedNames.map { ($0, shapes[$0] ?? checkpoint.storedShape($0) ?? []) },
            tokenizerFolder: checkpoint.folder, shardSize: shardSize)
    }
}

extension EncoderCheckpoint {
    /// Writes the encoder as a Hugging Face folder with dense weights, which `transformers` loads.
    ///
    /// Compressed matrices are expanded to exactly what they stand for; integers (tables of positions) stay what they
    /// are. Where heads were cut out, heads of zeros take their places, since `transformers` has none of their size
    /// without them: they add nothing. One tensor at a time is in memory.
    ///
    /// - Parameters:
    ///   - path: the folder, which appears when it is complete.
    ///   - dataType: f32, bf16 or f16 for all weights; nil to keep the type of each, and to expand compressed ones to
    ///     the configuration's.
    ///   - shardSize: bytes of weights in one file.
    /// - Throws: `.usage` for another type; `.badData` for a weight that `dataType` cannot hold, naming it, and for heads
    ///   that no number of brings to the hidden size; what ``CheckpointWriter`` throws.
    public func convert(
        to path: String, dataType: DataType? = nil, shardSize: Int = CheckpointWriter.standardShardSize,
        progress: any ProgressReporter = SilentProgress()
    ) throws {
        try Checkpoint.checkDenseType(dataType)
        let whole = try configurationWithAllHeads()
        let writer = try CheckpointWriter(
            path: path, basedOn: self, configuration: whole, dataType: dataType, shardSize: shardSize)
        progress.begin("convert", total: storedNames.count, unit: "tensors")
        for (index, name) in storedNames.enumerated() {
            let own = denseType(of: name)
            let type = own.isFloatingPoint ? dataType ?? own : own
            try writer.add(name, dataType: type) { [self] in
                defer { progress.advance(to: index + 1, note: name) }
                let tensor = try filledUp(storedTensor(name), name, to: whole)
                return try Checkpoint.inFile(self.path) { try tensor.narrowed(to: type, field: name) }
            }
        }
        try writer.finish()
        progress.end("\(storedNames.count) tensors")
    }

    /// The configuration with as many heads as fill the hidden size.
    private func configurationWithAllHeads() throws -> EncoderConfiguration {
        var whole = configuration
        guard whole.attentionSize != whole.hiddenSize else { return whole }
        guard whole.attentionSize < whole.hiddenSize, whole.hiddenSize % whole.headSize == 0 else {
            throw CoppiceError(
                .badData, source: folder + "/config.json", field: "attention_head_size",
                "\(whole.headSize), expected a divisor of hidden_size, \(whole.hiddenSize), and at most so many numbers "
                    + "of all heads, for transformers to load it")
        }
        whole.headCount = whole.hiddenSize / whole.headSize
        return whole
    }

    /// A tensor with zeros where the heads are that another configuration has more.
    private func filledUp(_ tensor: Tensor, _ name: String, to whole: EncoderConfiguration) throws -> Tensor {
        let missing = whole.attentionSize - configuration.attentionSize
        guard missing > 0, name.contains("encoder.layer."), name.contains(".attention.") else { return tensor }
        var shape = tensor.shape
        let axis: Int
        if name.contains(".attention.self.") {
            axis = 0
        } else if name.hasSuffix(".attention.output.dense.weight") {
            axis = 1
        } else {
            return tensor
        }
        shape[axis] = missing
        return withoutRecording {
            .concatenated([tensor, .zeros(shape, dataType: tensor.dataType)], axis: axis)
        }
    }
}
