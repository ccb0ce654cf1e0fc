import CKernels
import CoppiceFormats
import CoppiceModels
import CoppiceTensors

/// Where a model's weights come from, by their Hugging Face names.
public protocol DecoderWeightSource {
    /// A matrix in the format that it is stored in.
    func weight(_ name: String) throws -> any WeightFormat
    /// A tensor as dense numbers.
    func tensor(_ name: String) throws -> Tensor
}

extension Checkpoint: DecoderWeightSource {}

/// A matrix with its bias, if it has one.
struct Projection: Sendable {
    let weight: any WeightFormat
    let bias: Tensor?

    var byteCount: Int { weight.byteCount + (bias?.byteCount ?? 0) }

    fileprivate func rows(_ y: UnsafeMutablePointer<Float>, count: Int) -> OutputRows {
        OutputRows(y, rows: count, columns: weight.rows, stride: weight.rows)
    }

    /// Outputs with the bias.
    fileprivate func output(
        _ y: UnsafeMutablePointer<Float>, count: Int, _ combination: ProductOutput.Combination = .none
    ) -> ProductOutput {
        ProductOutput(rows(y, count: count), bias: bias?.floatPointer, combination)
    }
}

/// One projection, or several of the same activations.
struct ProjectionGroup: Sendable {
    let projections: [Projection]
    private let weights: WeightGroup

    init(_ projections: [Projection], kernels: KernelTable) {
        self.projections = projections
        weights = WeightGroup(projections.map(\.weight), kernels: kernels)
    }

    var byteCount: Int { projections.reduce(0) { $0 + $1.byteCount } }

    /// y = x Wᵀ + b of each projection for `count` rows, all contiguous.
    func apply(
        _ x: UnsafePointer<Float>, into outputs: [UnsafeMutablePointer<Float>], count: Int,
        precision: ActivationPrecision
    ) {
        multiply(x, into: zip(projections, outputs).map { $0.output($1, count: count) }, precision)
    }

    /// Adds x Wᵀ + b of the only projection, which `output` holds afterwards, to `target`.
    func add(
        _ x: UnsafePointer<Float>, through output: UnsafeMutablePointer<Float>, to target: UnsafeMutablePointer<Float>,
        count: Int, precision: ActivationPrecision
    ) {
        let projection = projections[0]
        multiply(
            x, into: [projection.output(output, count: count, .adding(projection.rows(target, count: count)))],
            precision)
    }

    /// silu(x W₁ᵀ + b₁) · (x W₂ᵀ + b₂) of two projections, gate and up. `up` holds the latter afterwards.
    func gate(
        _ x: UnsafePointer<Float>, into gate: UnsafeMutablePointer<Float>, _ up: UnsafeMutablePointer<Float>,
        count: Int, precision: ActivationPrecision
    ) {
        let gateRows = projections[0].output(gate, count: count)
        multiply(x, into: [gateRows, projections[1].output(up, count: count, .gating(gateRows.rows))], precision)
    }

    private func multiply(_ x: UnsafePointer<Float>, into outputs: [ProductOutput], _ precision: ActivationPrecision) {
        let columns = projections[0].weight.columns
        withExtendedLifetime(projections) {
            weights.multiply(
                ActivationRows(
                    x, rows: outputs[0].rows.rows, columns: columns, stride: columns, mayNarrow: precision == .bf16),
                into: outputs)
        }
    }
}

/// The weights of one decoder layer.
struct DecoderLayerWeights: Sendable {
    let inputNorm: Tensor
    /// Query, key and value.
    let attention: ProjectionGroup
    let queryNorm: Tensor?
    let keyNorm: Tensor?
    let output: ProjectionGroup
    let feedForwardNorm: Tensor
    /// Gate and up.
    let expansion: ProjectionGroup
    let down: ProjectionGroup

    var byteCount: Int {
        let projections = attention.byteCount + output.byteCount + expansion.byteCount + down.byteCount
        return [inputNorm, feedForwardNorm, queryNorm, keyNorm].reduce(projections) { $0 + ($1?.byteCount ?? 0) }
    }
}

/// All weights of a decoder, checked against its configuration.
struct DecoderWeights: Sendable {
    let embedding: any WeightFormat
    let layers: [DecoderLayerWeights]
    let finalNorm: Tensor
    /// The embedding itself where the model ties them.
    let head: ProjectionGroup

    /// - Throws: what the source throws, and `badData` naming the tensor whose shape is not the configuration's, or
    ///   the vector that holds NaN or infinite values.
    init(
        _ configuration: DecoderConfiguration, from weights: some DecoderWeightSource, source: String?,
        kernels: KernelTable
    ) throws {
        let hidden = configuration.hiddenSize, headSize = configuration.headSize
        let queries = configuration.headCount * headSize, keys = configuration.keyValueHeadCount * headSize

        func matrix(_ name: String, _ rows: Int, _ columns: Int) throws -> any WeightFormat {
            let weight = try weights.weight(name)
            guard weight.rows == rows, weight.columns == columns else {
                throw CoppiceError(
                    .badData, source: source, field: name,
                    "expected shape [\(rows), \(columns)], found [\(weight.rows), \(weight.columns)]")
            }
            return weight
        }
        func vector(_ name: String, _ count: Int) throws -> Tensor {
            let tensor = try weights.tensor(name)
            guard tensor.shape == [count] else {
                throw CoppiceError(
                    .badData, source: source, field: name, "expected shape [\(count)], found \(tensor.shape)")
            }
            let values = tensor.converted(to: .f32).contiguous()
            guard values.withElements(Float.self, { $0.allSatisfy(\.isFinite) }) else {
                throw CoppiceError(
                    .badData, source: source, field: name, "expected finite numbers, found NaN or infinite ones")
            }
            return values
        }
        func group(_ projections: Projection...) -> ProjectionGroup { ProjectionGroup(projections, kernels: kernels) }
        func projection(_ prefix: String, _ rows: Int, _ columns: Int, hasBias: Bool) throws -> Projection {
            Projection(
                weight: try matrix("\(prefix).weight", rows, columns),
                bias: hasBias ? try vector("\(prefix).bias", rows) : nil)
        }

        embedding = try matrix("model.embed_tokens.weight", configuration.vocabularySize, hidden)
        layers = try (0..<configuration.layerCount).map { layer in
            let prefix = "model.layers.\(layer)"
            let attention = "\(prefix).self_attn", feedForward = "\(prefix).mlp"
            let hasBias = configuration.hasAttentionBias, inner = configuration.intermediateSize
            return DecoderLayerWeights(
                inputNorm: try vector("\(prefix).input_layernorm.weight", hidden),
                attention: group(
                    try projection("\(attention).q_proj", queries, hidden, hasBias: hasBias),
                    try projection("\(attention).k_proj", keys, hidden, hasBias: hasBias),
                    try projection("\(attention).v_proj", keys, hidden, hasBias: hasBias)),
                queryNorm: configuration.hasQueryKeyNorm ? try vector("\(attention).q_norm.weight", headSize) : nil,
                keyNorm: configuration.hasQueryKeyNorm ? try vector("\(attention).k_norm.weight", headSize) : nil,
                output: group(
                    try projection("\(attention).o_proj", hidden, queries, hasBias: configuration.hasOutputBias)),
                feedForwardNorm: try vector("\(prefix).post_attention_layernorm.weight", hidden),
                expansion: group(
                    try projection(
                        "\(feedForward).gate_proj", inner, hidden, hasBias: configuration.hasFeedForwardBias),
                    try projection(
                        "\(feedForward).up_proj", inner, hidden, hasBias: configuration.hasFeedForwardBias)),
                down: group(
                    try projection(
                        "\(feedForward).down_proj", hidden, inner, hasBias: configuration.hasFeedForwardBias)))
        }
        finalNorm = try vector("model.norm.weight", hidden)
        let scores =
            configuration.tiesEmbeddings
            ? embedding : try matrix("lm_head.weight", configuration.vocabularySize, hidden)
        head = group(Projection(weight: scores, bias: nil))
    }

    /// Bytes of weights that a decoding step reads: all but the embedding table's other rows.
    var bytesPerToken: Int {
        let embeddingRow = embedding.rows == 0 ? 0 : embedding.byteCount / embedding.rows
        return layers.reduce(embeddingRow + finalNorm.byteCount + head.byteCount) { $0 + $1.byteCount }
    }

    /// All that multiplies, in order of use.
    var projections: [Projection] {
        (layers.flatMap { [$0.attention, $0.output, $0.expansion, $0.down] } + [head]).flatMap(\.projections)
    }

    /// The first matrix that holds a number that is not finite. O(weights); for error messages.
    func firstNonFinite() -> String? {
        var named: [(String, any WeightFormat)] = [("model.embed_tokens.weight", embedding)]
        for (index, layer) in layers.enumerated() {
            let attention = "model.layers.\(index).self_attn", feedForward = "model.layers.\(index).mlp"
            let names =
                ["q", "k", "v", "o"].map { "\(attention).\($0)_proj.weight" }
                + ["gate", "up", "down"].map { "\(feedForward).\($0)_proj.weight" }
            let projections =
                [layer.attention, layer.output, layer.expansion, layer.down].flatMap(\.projections)
            named += zip(names, projections.map(\.weight))
        }
        named.append(("lm_head.weight", head.projections[0].weight))
        return named.first { _, weight in
            withUnsafeTemporaryAllocation(of: Float.self, capacity: max(1, weight.columns)) { row in
                guard let base = row.baseAddress else { return false }
                return (0..<weight.rows).contains { index in
                    weight.copyRow(index, into: base)
                    return (0..<weight.columns).contains { !base[$0].isFinite }
                }
            }
        }?.0
    }
}

extension Tensor {
    /// The elements of a contiguous f32 tensor; valid while the storage lives.
    var floatPointer: UnsafePointer<Float> {
        precondition(dataType == .f32 && isContiguous, "expected contiguous f32, found \(dataType)")
        return UnsafePointer(basePointer.assumingMemoryBound(to: Float.self))
    }
}
