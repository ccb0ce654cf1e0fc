import CoppiceTensors

extension Checkpoint {
    /// Writes the model as a Hugging Face folder with dense weights, which `transformers` and others load.
    ///
    /// Compressed weights are expanded to exactly the matrices that they stand for. One weight at a time is in memory.
    ///
    /// - Parameters:
    ///   - path: the folder, which appears when it is complete.
    ///   - dataType: f32, bf16 or f16 for all weights; nil to keep the type of each, and to expand compressed ones to
    ///     the configuration's.
    ///   - shardSize: bytes of weights in one file.
    /// - Throws: `.usage` for another type; `.badData` for a weight that `dataType` cannot hold (f16 ends at 65,504),
    ///   naming it; what ``CheckpointWriter`` throws.
    public func convert(
        to path: String, dataType: DataType? = nil, shardSize: Int = CheckpointWriter.standardShardSize,
        progress: any ProgressReporter = SilentProgress()
    ) throws {
        try Self.checkDenseType(dataType)
        let writer = try CheckpointWriter(path: path, basedOn: self, dataType: dataType, shardSize: shardSize)
        progress.begin("convert", total: weightNames.count, unit: "weights")
        for (index, name) in weightNames.enumerated() {
            let type = dataType ?? denseType(of: name)
            try writer.add(name, dataType: type) { [self] in
                defer { progress.advance(to: index + 1, note: name) }
                return try converted(name, to: type)
            }
        }
        try writer.finish()
        progress.end("\(weightNames.count) weights")
    }

    /// Refuses types that dense weights are not stored in.
    static func checkDenseType(_ dataType: DataType?) throws {
        guard let dataType, ![.f32, .bf16, .f16].contains(dataType) else { return }
        throw CoppiceError(.usage, "weights cannot be stored as \(dataType), expected f32, bf16 or f16")
    }

    /// A parameter in another type.
    func converted(_ name: String, to type: DataType) throws -> Tensor {
        try Self.inFile(path) { try tensor(name).narrowed(to: type, field: name) }
    }
}

extension Tensor {
    /// The same numbers in another floating-point type.
    ///
    /// - Parameter field: the tensor's name, for the error.
    /// - Throws: `.badData` when a number is beyond the range of f16.
    func narrowed(to type: DataType, field: String) throws -> Tensor {
        guard dataType != type else { return self }
        let result = converted(to: type)
        guard type == .f16, let index = result.firstNonFiniteIndex, firstNonFiniteIndex == nil else { return result }
        let value = contiguous().reshaped([count]).slice(axis: 0, index..<index + 1).doubles()[0]
        throw CoppiceError(
            .badData, field: field, "holds \(value), beyond the range of f16; convert to bf16 or f32")
    }
}
