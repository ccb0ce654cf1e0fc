import CoppiceNetworks
import CoppiceTensors

/// A decoder language model that can be trained: RMS norms before attention and feed-forward, rotary positions,
/// grouped queries, gated SiLU.
///
/// Parameter names are those of the same architecture in `transformers`. Blocks can be called one by one.
public final class DecoderNetwork: Module {
    public let configuration: DecoderConfiguration
    @Submodule public var model: DecoderStack
    private let head: Submodule<Linear>?

    /// A network with random weights: normal matrices of the given deviation, the two projections that write to the
    /// residual stream smaller by √(2 · layers) (Radford et al., "Language models are unsupervised multitask
    /// learners", 2019), norms of ones, biases of zeros.
    public init(
        _ configuration: DecoderConfiguration, seed: UInt64 = 0, initialDeviation: Double = 0.02,
        dataType: DataType = .f32
    ) {
        self.configuration = configuration
        var generator = RandomGenerator(seed: seed)
        func matrix(_ shape: [Int], _ scale: Double = 1) -> Tensor {
            .normal(shape, dataType: dataType, using: &generator) * (initialDeviation * scale)
        }
        let c = configuration
        let residual = 1 / (2 * Double(c.layerCount)).squareRoot()
        let (queries, keys) = (c.headCount * c.headSize, c.keyValueHeadCount * c.headSize)
        let embedding = Embedding(weight: matrix([c.vocabularySize, c.hiddenSize]))
        func projection(_ outputs: Int, bias: Bool) -> Linear {
            Linear(
                weight: matrix([outputs, c.hiddenSize]), bias: bias ? .zeros([outputs], dataType: dataType) : nil)
        }
        func norm(_ size: Int) -> RMSNorm { RMSNorm(size: size, epsilon: c.normEpsilon, dataType: dataType) }
        let layers = (0..<c.layerCount).map { index in
            DecoderBlock(
                attention: c.has(.attention, inLayer: index)
                    ? DecoderAttention(
                        configuration: c, window: c.slidingWindow(forLayer: index),
                        query: projection(queries, bias: c.hasAttentionBias),
                        key: projection(keys, bias: c.hasAttentionBias),
                        value: projection(keys, bias: c.hasAttentionBias),
                        output: Linear(
                            weight: matrix([c.hiddenSize, queries], residual),
                            bias: c.hasOutputBias ? .zeros([c.hiddenSize], dataType: dataType) : nil),
                        norms: c.hasQueryKeyNorm ? (norm(c.headSize), norm(c.headSize)) : nil) : nil,
                feedForward: c.has(.feedForward, inLayer: index)
                    ? GatedFeedForward(
                        gate: projection(c.intermediateSize, bias: c.hasFeedForwardBias),
                        up: projection(c.intermediateSize, bias: c.hasFeedForwardBias),
                        down: Linear(
                            weight: matrix([c.hiddenSize, c.intermediateSize], residual),
                            bias: c.hasFeedForwardBias ? .zeros([c.hiddenSize], dataType: dataType) : nil)) : nil,
                inputNorm: norm(c.hiddenSize), postAttentionNorm: norm(c.hiddenSize))
        }
        _model = Submodule(
            "model", DecoderStack(embedding: embedding, layers: layers, norm: norm(c.hiddenSize)))
        head = c.tiesEmbeddings ? nil : Submodule("lm_head", projection(c.vocabularySize, bias: false))
    }

    /// Hidden states of tokens: `[batch, positions]` of integers → `[batch, positions, hidden]`.
    public func embed(_ tokens: Tensor, dropout: Dropout? = nil) -> Tensor {
        let hidden = model.embedding(tokens)
        return dropout.map { $0(hidden) } ?? hidden
    }

    /// Logits of hidden states that all blocks have passed: `[..., hidden]` → `[..., vocabulary]`.
    public func logits(ofHidden hidden: Tensor) -> Tensor {
        let normalized = model.norm(hidden)
        return head.map { $0.wrappedValue(normalized) } ?? model.embedding.scores(normalized)
    }

    /// Logits of the next token at every position: `[batch, positions]` → `[batch, positions, vocabulary]`.
    ///
    /// - Parameter dropout: applied to the embeddings and to what each block adds; nil for evaluation.
    public func callAsFunction(_ tokens: Tensor, dropout: Dropout? = nil) -> Tensor {
        logits(ofHidden: blocks(tokens, dropout: dropout))
    }

    /// What all blocks make of tokens: `[batch, positions]` → `[batch, positions, hidden]`.
    private func blocks(_ tokens: Tensor, dropout: Dropout?) -> Tensor {
        let angles = rotaryAngles(positions: tokens.shape[1])
        var hidden = embed(tokens, dropout: dropout)
        for layer in model.layers { hidden = layer(hidden, angles: angles, dropout: dropout) }
        return hidden
    }

    /// Cosines and sines that the blocks need for texts of this many positions.
    public func rotaryAngles(positions: Int) -> RotaryAngles {
        RotaryAngles(configuration, positions: positions)
    }

    /// The mean cross-entropy in nats of targets `[batch, positions]`, negative ones left out.
    public func loss(_ tokens: Tensor, targets: Tensor, dropout: Dropout? = nil) -> Tensor {
        let hidden = blocks(tokens, dropout: dropout)
        let flat = targets.reshaped([-1])
        let counted = flat.integers().reduce(0) { $0 + ($1 >= 0 ? 1 : 0) }
        let terms = Double(max(1, counted))
        let own = head?.wrappedValue
        guard own?.bias == nil, own?.inputObserver == nil else {
            let rows = logits(ofHidden: hidden).reshaped([-1, configuration.vocabularySize])
            return rows.crossEntropy(targets: flat).sum() / terms
        }
        let normalized = model.norm(hidden)
        return normalized.reshaped([-1, configuration.hiddenSize])
            .linearCrossEntropy(weight: own?.weight ?? model.embedding.weight, targets: flat) / terms
    }
}

extension DecoderNetwork: SupervisedNetwork {
    /// Logits of the next token at every position: `[windows, tokens]` → `[windows, tokens, vocabulary]`.
    public func outputs(_ inputs: Tensor) -> Tensor { self(inputs) }

    public func loss(_ batch: LabeledBatch) -> Tensor { loss(batch.inputs, targets: batch.targets) }
}

/// Embeddings, blocks and the last norm.
public final class DecoderStack: Module {
    @Submodule public var embedding: Embedding
    @Submodule public var layers: [DecoderBlock]
    @Submodule public var norm: RMSNorm

    init(embedding: Embedding, layers: [DecoderBlock], norm: RMSNorm) {
        _embedding = Submodule("embed_tokens", embedding)
        _layers = Submodule("layers", layers)
        _norm = Submodule("norm", norm)
    }
}
