import CoppiceFormats
import CoppiceTensors

extension Checkpoint {
    /// Writes the model with its tokenizer as one GGUF file, which llama.cpp loads.
    ///
    /// Vectors (norms, biases) are written as f32. Without `type` matrices keep theirs: dense ones and GGUF's blocks as
    /// they are; integers become the blocks that say the same (`BlockWeight.init(repacking:)`), else `q8_0`, or f16
    /// where rows are no whole blocks; sparse floats become dense ones of their type. One matrix at a time is in
    /// memory.
    ///
    /// - Parameter type: what all matrices become; see ``GGUFWeightType`` for the exceptions.
    /// - Throws: `.badData` for a weight that its type cannot hold, naming it, for a tokenizer that GGUF has no words
    ///   for and for a model without some sub-layers; what ``GGUFWriter`` throws.
    public func convert(
        toGGUF path: String, type: GGUFWeightType? = nil, progress: any ProgressReporter = SilentProgress()
    ) throws {
        try configuration.checkHasAllSubLayers(source: self.path, format: "GGUF")
        let total = weightNames.count
        progress.begin("convert", total: total, unit: "weights")
        var entries: [GGUFWriter.Entry] = []
        if let factors = configuration.rotaryFactors {
            entries.append(
                GGUFWriter.Entry(GGUFTensorNames.rotaryFactors, type: .dense(.f32), shape: factors.shape) { factors })
        }
        for (index, name) in weightNames.enumerated() {
            let target = try ggufType(of: name, type)
            guard let shape = shape(of: name) else { continue }
            entries.append(
                GGUFWriter.Entry(GGUFTensorNames.name(of: name), type: target, shape: shape) { [self] in
                    defer { progress.advance(to: index + 1, note: name) }
                    return try ggufTensor(name, target)
                })
        }
        try GGUFWriter.write(entries, metadata: ggufMetadata(path, entries, type), to: path)
        progress.end("\(total) weights")
    }

    private func ggufMetadata(
        _ path: String, _ entries: [GGUFWriter.Entry], _ type: GGUFWeightType?
    ) throws -> GGUFMetadata {
        var metadata = GGUFMetadata()
        metadata.add("general.architecture", configuration.family.ggufArchitecture)
        let name = PendingOutput.split(path).name
        metadata.add("general.name", name.hasSuffix(".gguf") ? String(name.dropLast(5)) : name)
        if let type {
            metadata.add("general.file_type", type.fileType)
        } else {
            let types = Set(entries.filter { $0.shape.count == 2 }.map(\.type.description))
            let only = types.count == 1 ? types.first.flatMap(GGUFWeightType.init(rawValue:)) : nil
            if let only { metadata.add("general.file_type", only.fileType) }
        }
        metadata.add("general.quantization_version", 2)
        configuration.addMetadata(to: &metadata)
        if let vocabulary = try ggufVocabulary() {
            try vocabulary.addMetadata(to: &metadata, count: configuration.vocabularySize)
            if let chatTemplate { metadata.add("tokenizer.chat_template", chatTemplate) }
        } else {
            metadata.add("tokenizer.ggml.model", "none")
            if let begin = configuration.beginToken { metadata.add("tokenizer.ggml.bos_token_id", begin) }
            for (key, id) in zip(GGUFVocabulary.endKeys, configuration.endTokens.sorted()) { metadata.add(key, id) }
        }
        return metadata
    }

    /// The tokenizer in GGUF's words; nil where the model has none.
    func ggufVocabulary() throws -> GGUFVocabulary? {
        do {
            if let gguf { return try GGUFVocabulary(gguf) }
            return try GGUFVocabulary(folder: folder)
        } catch let error as CoppiceError where error.kind == .noInput {
            return nil
        }
    }

    private func ggufType(of name: String, _ wanted: GGUFWeightType?) throws -> GGUFTensorType {
        guard let shape = shape(of: name), shape.count == 2 else { return .dense(.f32) }
        let head = configuration.tiesEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight"
        if let wanted {
            return wanted.type(
                of: name, isHead: name == head, columns: shape[1], layers: configuration.layerCount)
        }
        guard isCompressed(name) else { return .dense(denseType(of: name)) }
        let stored = try stored(name)
        if stored.format == BlockWeight.name, let type = stored.options["type"].flatMap(BlockType.init(rawValue:)) {
            return .block(type)
        }
        if let type = try BlockWeight.typeRepacking(stored) { return .block(type) }
        switch stored.options["values"] {
        case "f32": return .dense(.f32)
        case "bf16": return .dense(.bf16)
        case "f16": return .dense(.f16)
        default: return shape[1] % BlockType.q8_0.length == 0 ? .block(.q8_0) : .dense(.f16)
        }
    }

    /// The tensor as the file has it.
    private func ggufTensor(_ name: String, _ target: GGUFTensorType) throws -> Tensor {
        var result: Tensor
        switch target {
        case .dense(let type): result = try converted(name, to: type)
        case .block(let type):
            if isCompressed(name), let blocks = try blocks(of: stored(name), type) {
                result = blocks
            } else {
                do {
                    result = try BlockWeight(encoding: tensor(name), as: type).blocks
                } catch let error as CoppiceError {
                    let field = [name, error.field].compactMap { $0 }.joined(separator: ": ")
                    throw CoppiceError(error.kind, source: self.path, field: field, error.message)
                }
            }
        }
        let isRotated = name.contains(".q_proj.") || name.contains(".k_proj.")
        guard isRotated, configuration.family.ggufArchitecture == "llama" else { return result }
        return Self.paired(result.contiguous(), headSize: configuration.headSize)
    }

    /// The blocks of a compressed weight, if it has them in this type or says the same.
    private func blocks(of stored: StoredWeight, _ type: BlockType) throws -> Tensor? {
        if stored.format == BlockWeight.name {
            let weight = try BlockWeight(stored: stored)
            return weight.type == type ? weight.blocks : nil
        }
        return try BlockWeight.typeRepacking(stored) == type ? BlockWeight(repacking: stored)?.blocks : nil
    }
}
