import CoppiceTensors

/// The description of a decoder language model: everything but its weights and its tokenizer.
public struct DecoderConfiguration: Sendable, Equatable {
    /// Families whose models differ in details only: attention biases (qwen2), query and key norms (qwen3).
    public enum Family: String, Sendable, CaseIterable {
        case llama, mistral, qwen2, qwen3
    }

    public var family: Family
    public var vocabularySize: Int
    public var hiddenSize: Int
    /// Size of the gated feed-forward layer.
    public var intermediateSize: Int
    public var layerCount: Int
    public var headCount: Int
    /// Heads of keys and values; each serves `headCount / keyValueHeadCount` heads of queries.
    public var keyValueHeadCount: Int
    public var headSize: Int
    /// Positions that the model is made for.
    public var maximumPositions: Int
    public var normEpsilon: Double
    public var rotary: RotaryConfiguration
    /// Keys that a query sees in layers with a window; nil: all before it.
    public var slidingWindow: Int?
    /// Whether each layer has the sliding window; nil: all have it.
    public var layersWithWindow: [Bool]?
    /// Whether each layer has its attention; nil: all have it.
    public var layersWithAttention: [Bool]?
    /// Whether each layer has its feed-forward layer; nil: all have it.
    public var layersWithFeedForward: [Bool]?
    /// Whether query, key and value projections have biases.
    public var hasAttentionBias: Bool
    /// Whether the attention's output projection has a bias.
    public var hasOutputBias: Bool
    /// Whether the feed-forward projections have biases.
    public var hasFeedForwardBias: Bool
    /// Whether queries and keys are normalized head by head.
    public var hasQueryKeyNorm: Bool
    /// Whether the output head shares the embedding table.
    public var tiesEmbeddings: Bool
    public var beginToken: Int?
    public var endTokens: Set<Int>
    /// The type that weights are stored in.
    public var dataType: DataType

    public init(
        family: Family = .llama, vocabularySize: Int, hiddenSize: Int, intermediateSize: Int, layerCount: Int,
        headCount: Int, keyValueHeadCount: Int? = nil, headSize: Int? = nil, maximumPositions: Int = 2048,
        normEpsilon: Double = 1e-5, rotary: RotaryConfiguration = RotaryConfiguration(), slidingWindow: Int? = nil,
        layersWithWindow: [Bool]? = nil, layersWithAttention: [Bool]? = nil, layersWithFeedForward: [Bool]? = nil,
        hasAttentionBias: Bool? = nil, hasOutputBias: Bool = false, hasFeedForwardBias: Bool = false,
        hasQueryKeyNorm: Bool? = nil, tiesEmbeddings: Bool = false,
        beginToken: Int? = nil, endTokens: Set<Int> = [],
        dataType: DataType = .bf16
    ) {
        self.family = family
        self.vocabularySize = vocabularySize
        self.hiddenSize = hiddenSize
        self.intermediateSize = intermediateSize
        self.layerCount = layerCount
        self.headCount = headCount
        self.keyValueHeadCount = keyValueHeadCount ?? headCount
        self.headSize = headSize ?? hiddenSize / headCount
        self.maximumPositions = maximumPositions
        self.normEpsilon = normEpsilon
        self.rotary = rotary
        self.slidingWindow = slidingWindow
        self.layersWithWindow = layersWithWindow
        self.layersWithAttention = layersWithAttention
        self.layersWithFeedForward = layersWithFeedForward
        self.hasAttentionBias = hasAttentionBias ?? (family == .qwen2)
        self.hasOutputBias = hasOutputBias
        self.hasFeedForwardBias = hasFeedForwardBias
        self.hasQueryKeyNorm = hasQueryKeyNorm ?? (family == .qwen3)
        self.tiesEmbeddings = tiesEmbeddings
        self.beginToken = beginToken
        self.endTokens = endTokens
        self.dataType = dataType
    }

    /// The window of a layer; nil: its queries see all keys before them.
    public func slidingWindow(forLayer layer: Int) -> Int? {
        guard let slidingWindow, layersWithWindow?[layer] ?? true else { return nil }
        return slidingWindow
    }

    /// The name and shape of every tensor, as checkpoints name them, in the order of computation.
    public var tensorShapes: [(name: String, shape: [Int])] {
        var result: [(String, [Int])] = [("model.embed_tokens.weight", [vocabularySize, hiddenSize])]
        for layer in 0..<layerCount {
            let prefix = "model.layers.\(layer)"
            if has(.attention, inLayer: layer) { result += attentionShapes("\(prefix).self_attn", prefix) }
            if has(.feedForward, inLayer: layer) { result += feedForwardShapes("\(prefix).mlp", prefix) }
        }
        result.append(("model.norm.weight", [hiddenSize]))
        if !tiesEmbeddings { result.append(("lm_head.weight", [vocabularySize, hiddenSize])) }
        return result
    }

    private func attentionShapes(_ name: String, _ layer: String) -> [(name: String, shape: [Int])] {
        let (queries, keys) = (headCount * headSize, keyValueHeadCount * headSize)
        var result: [(String, [Int])] = [("\(layer).input_layernorm.weight", [hiddenSize])]
        for (projection, size) in [("q", queries), ("k", keys), ("v", keys)] {
            result.append(("\(name).\(projection)_proj.weight", [size, hiddenSize]))
            if hasAttentionBias { result.append(("\(name).\(projection)_proj.bias", [size])) }
        }
        if hasQueryKeyNorm {
            result.append(("\(name).q_norm.weight", [headSize]))
            result.append(("\(name).k_norm.weight", [headSize]))
        }
        result.append(("\(name).o_proj.weight", [hiddenSize, queries]))
        if hasOutputBias { result.append(("\(name).o_proj.bias", [hiddenSize])) }
        return result
    }

    private func feedForwardShapes(_ name: String, _ layer: String) -> [(name: String, shape: [Int])] {
        var result: [(String, [Int])] = [("\(layer).post_attention_layernorm.weight", [hiddenSize])]
        for (projection, outputs, inputs) in [
            ("gate", intermediateSize, hiddenSize), ("up", intermediateSize, hiddenSize),
            ("down", hiddenSize, intermediateSize),
        ] {
            result.append(("\(name).\(projection)_proj.weight", [outputs, inputs]))
            if hasFeedForwardBias { result.append(("\(name).\(projection)_proj.bias", [outputs])) }
        }
        return result
    }
}
