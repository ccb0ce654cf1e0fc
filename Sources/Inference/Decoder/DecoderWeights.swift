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
extension RemainingWeights: DecoderWeightSource {}

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

/// The attention of a layer with the norm before it.
struct AttentionWeights: Sendable {
    let norm: Tensor
    /// Query, key and value.
    let input: ProjectionGroup
    let queryNorm: Tensor?
    let keyNorm: Tensor?
    let output: ProjectionGroup
    /// The place of its keys and values among those of all layers that have attention.
    let cacheIndex: Int

    var groups: [ProjectionGroup] { [input, output] }
    var vectors: [Tensor?] { [norm, queryNorm, keyNorm] }
}

/// The feed-forward layer of a layer with the norm before it.
struct FeedForwardWeights: Sendable {
    let norm: Tensor
    /// Gate and up.
    let expansion: ProjectionGroup
    let down: ProjectionGroup

    var groups: [ProjectionGroup] { [expansion, down] }
}

/// The weights of one decoder layer; nil is what was removed of it.
struct DecoderLayerWeights: Sendable {
    let attention: AttentionWeights?
    let feedForward: FeedForwardWeights?

    /// In order of use.
    var groups: [ProjectionGroup] { (attention?.groups ?? []) + (feedForward?.groups ?? []) }

    var byteCount: Int {
        let vectors = (attention?.vectors ?? []) + [feedForward?.norm]
        return vectors.reduce(groups.reduce(0) { $0 + $1.byteCount }) { $0 + ($1?.byteCount ?? 0) }
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

        func attention(_ layer: Int, cacheIndex: Int) throws -> AttentionWeights {
            let prefix = "model.layers.\(layer)", name = "model.layers.\(layer).self_attn"
            let hasBias = configuration.hasAttentionBias
            return AttentionWeights(
                norm: try vector("\(prefix).input_layernorm.weight", hidden),
                input: group(
                    try projection("\(name).q_proj", queries, hidden, hasBias: hasBias),
                    try projection("\(name).k_proj", keys, hidden, hasBias: hasBias),
                    try projection("\(name).v_proj", keys, hidden, hasBias: hasBias)),
                queryNorm: configuration.hasQueryKeyNorm ? try vector("\(name).q_norm.weight", headSize) : nil,
                keyNorm: configuration.hasQueryKeyNorm ? try vector("\(name).k_norm.weight", headSize) : nil,
                output: group(
                    try projection("\(name).o_proj", hidden, queries, hasBias: configuration.hasOutputBias)),
                cacheIndex: cacheIndex)
        }
        func feedForward(_ layer: Int) throws -> FeedForwardWeights {
            let name = "model.layers.\(layer).mlp", inner = configuration.intermediateSize
            let hasBias = configuration.hasFeedForwardBias
            return FeedForwardWeights(
                norm: try vector("model.layers.\(layer).post_attention_layernorm.weight", hidden),
                expansion: group(
                    try projection("\(name).gate_proj", inner, hidden, hasBias: hasBias),
                    try projection("\(name).up_proj", inner, hidden, hasBias: hasBias)),
                down: group(try projection("\(name).down_proj", hidden, inner, hasBias: hasBias)))
        }

        embedding = try matrix("model.embed_tokens.weight", configuration.vocabularySize, hidden)
        var attentionCount = 0
        layers = try (0..<configuration.layerCount).map { layer in
            let hasAttention = configuration.has(.attention, inLayer: layer)
            defer { attentionCount += hasAttention ? 1 : 0 }
            return DecoderLayerWeights(
                attention: hasAttention ? try attention(layer, cacheIndex: attentionCount) : nil,
                feedForward: configuration.has(.feedForward, inLayer: layer) ? try feedForward(layer) : nil)
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
        (layers.flatMap(\.groups) + [head]).flatMap(\.projections)
    }

    /// The first matrix that holds a number that is not finite. O(weights); for error messages.
    func firstNonFinite() -> String? {
        var named: [(String, any WeightFormat)] = [("model.embed_tokens.weight", embedding)]
        for (index, layer) in layers.enumerated() {
            let prefix = "model.layers.\(index)"
            var names: [String] = []
            if layer.attention != nil { names += ["q", "k", "v", "o"].map { "\(prefix).self_attn.\($0)_proj.weight" } }
            if layer.feedForward != nil { names += ["gate", "up", "down"].map { "\(prefix).mlp.\($0)_proj.weight" } }
            named += zip(names, layer.groups.flatMap(\.projections).map(\.weight))
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
