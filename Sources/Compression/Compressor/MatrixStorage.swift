import CoppiceFormats
import CoppiceModels
import CoppiceTensors

extension FormatPlanner {
    /// Stores a checkpoint's matrix as the stages of a recipe left it: what was stored sparsely stays so.
    ///
    /// - Parameters:
    ///   - name: the matrix's.
    ///   - original: the matrix as it was.
    ///   - dense: f32 `[rows, columns]`, what it was; without what was cut out of it.
    ///   - value: what stages made of `dense`; nil: nothing.
    ///   - dataType: of values that are not quantized.
    ///   - source: the checkpoint, for errors.
    /// - Throws: `.badData` for a matrix that is not finite; as ``format(_:for:dataType:)``, naming the matrix; what
    ///   writing throws.
    func store(
        _ name: String, _ role: CompressionReport.Weight.Role, from original: any WeightFormat, _ dense: Tensor,
        now value: Tensor?, by decision: WeightDecision, dataType: DataType, source: String, in writer: CheckpointWriter
    ) throws -> CompressionReport.Weight {
        var kept = value ?? dense
        try ExactSelection.checkFinite(kept, name: name, source: source)
        decision.mask?.apply(to: &kept)
        var decision = decision
        decision.adoptStructure(of: original, values: kept)
        let format: any WeightFormat
        do {
            format = try self.format(kept, for: decision, dataType: dataType)
        } catch var error as CoppiceError {
            error.source = error.source ?? source
            error.field = error.field.map { "\(name): \($0)" } ?? name
            throw error
        }
        try writer.add(name, format.stored())
        return try CompressionReport.Weight(name, role, from: original, dense, to: format)
    }
}

extension CompressionReport.Weight {
    /// What a tensor is in its model.
    struct Role {
        /// How often an entry is multiplied for a token; nil for what nothing is multiplied with.
        var uses: Int?
        /// Whether stages without targets work on it.
        var isPrunable: Bool
    }

    /// A matrix that some stage works on.
    ///
    /// - Parameters:
    ///   - original: the matrix as it was stored.
    ///   - dense: f32 `[rows, columns]`, what it was; without what was cut out of it.
    init(
        _ name: String, _ role: Role, from original: any WeightFormat, _ dense: Tensor, to format: any WeightFormat
    ) throws {
        // A row of a product of two matrices costs nearly what all of it does.
        let rows: any WeightFormat = try format is LowRankWeight ? DenseWeight(format.dense()) : format
        let (nonZeroCount, error, square) = rows.comparison(with: dense)
        self.init(name, role, unchanged: original)
        (shape, self.format, bytes) = ([format.rows, format.columns], format.label, format.byteCount)
        sparsity = dense.count == 0 ? 0 : 1 - Double(nonZeroCount) / Double(dense.count)
        // In the Frobenius norm; zero for a matrix of zeros that stayed one.
        relativeError = error == 0 ? 0 : (error / square).squareRoot()
        multiplications = multiplications.map {
            .init(
                dense: $0.dense, before: $0.before, after: format.multiplicationCount(nonZeroCount: nonZeroCount))
        }
    }

    /// A matrix that stayed as it was stored.
    init(_ name: String, _ role: Role, unchanged weight: any WeightFormat) {
        let (count, nonZeroCount) = (weight.rows * weight.columns, weight.nonZeroCount)
        let sparsity = count == 0 ? 0 : 1 - Double(nonZeroCount) / Double(count)
        let multiplied = weight.multiplicationCount(nonZeroCount: nonZeroCount)
        self.init(
            name: name, shape: [weight.rows, weight.columns], formatBefore: weight.label, format: weight.label,
            bytesBefore: weight.byteCount, bytes: weight.byteCount, sparsityBefore: sparsity, sparsity: sparsity,
            relativeError: nil, countBefore: count, isPrunable: role.isPrunable,
            multiplications: .init(uses: role.uses, dense: count, before: multiplied, after: multiplied))
    }

    /// A dense tensor that no stage works on: as it was, what is left of it, or as training left it.
    init(_ name: String, _ role: Role, from whole: Tensor, to tensor: Tensor) {
        func zeros(_ tensor: Tensor) -> Int { tensor.dataType.isFloatingPoint ? tensor.zeroCount : 0 }
        func share(_ zeros: Int, of tensor: Tensor) -> Double {
            tensor.count == 0 ? 0 : Double(zeros) / Double(tensor.count)
        }
        let (before, after) = (zeros(whole), zeros(tensor))
        self.init(
            name: name, shape: tensor.shape, formatBefore: whole.dataType.description,
            format: tensor.dataType.description, bytesBefore: whole.byteCount, bytes: tensor.byteCount,
            sparsityBefore: share(before, of: whole), sparsity: share(after, of: tensor), relativeError: nil,
            countBefore: whole.count, isPrunable: role.isPrunable,
            multiplications: .init(
                uses: role.uses, dense: whole.count, before: whole.count - before, after: tensor.count - after))
    }
}
