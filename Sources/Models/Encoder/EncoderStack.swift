import CoppiceNetworks
import CoppiceTensors

/// The encoder that all heads share: embeddings, layers and, where a head reads it, a pooler.
///
/// Parameter names are those of `BertModel` and `RobertaModel` in `transformers`, so that one trained under another
/// head is a lookup or a `Snapshot` away:
///
/// ```swift
/// Snapshot(of: pretrained.stack).restore(classifier.stack)
/// ```
///
/// There is no dropout: it computes in training what it computes in use.
public final class EncoderStack: Module {
    public let configuration: EncoderConfiguration
    @Submodule public var embeddings: EncoderEmbeddings
    @Submodule public var layers: [EncoderLayer]
    private let pooler: Submodule<Linear>?

    init(_ configuration: EncoderConfiguration, hasPooler: Bool, _ weights: inout EncoderWeights) {
        self.configuration = configuration
        _embeddings = Submodule("embeddings", EncoderEmbeddings(configuration, &weights))
        var layers: [EncoderLayer] = []
        for _ in 0..<configuration.layerCount { layers.append(EncoderLayer(configuration, &weights)) }
        _layers = Submodule("encoder.layer", layers)
        let size = configuration.hiddenSize
        pooler = hasPooler ? Submodule("pooler.dense", weights.linear(size, size)) : nil
    }

    /// An encoder without a head, of random weights (see ``MaskedLanguageEncoder``).
    public convenience init(
        _ configuration: EncoderConfiguration, hasPooler: Bool = false, seed: UInt64 = 0,
        initialDeviation: Double = 0.02
    ) {
        var weights = EncoderWeights(seed: seed, deviation: initialDeviation)
        self.init(configuration, hasPooler: hasPooler, &weights)
    }

    /// What the layers make of texts: tokens `[texts, positions]` of integers → `[texts, positions, hidden]`.
    ///
    /// - Parameters:
    ///   - inputs: tokens, padded with the configuration's pad token; or vectors `[texts, positions, hidden]` in the
    ///     place of their embeddings, without padding.
    ///   - types: the segment of each token; nil: all are of the first.
    /// - Precondition: at most ``EncoderConfiguration/longestText`` positions.
    public func callAsFunction(_ inputs: Tensor, types: Tensor? = nil) -> Tensor {
        let padding = EncoderPadding(inputs, configuration)
        var hidden = embeddings(inputs, types: types, padding: padding)
        for layer in layers { hidden = layer(hidden, padding: padding) }
        return hidden
    }

    /// What goes into the first layer: tokens `[texts, positions]` without padding → `[texts, positions, hidden]`.
    public func embedded(_ tokens: Tensor) -> Tensor { embeddings(tokens, types: nil, padding: nil) }

    /// A text in one vector, from what the layers made of its first token: `[texts, positions, hidden]` →
    /// `[texts, hidden]`; without a pooler that token as it is.
    func pooled(_ hidden: Tensor) -> Tensor {
        let first = hidden.slice(axis: 1, 0..<1).squeezed(1)
        return pooler.map { $0.wrappedValue(first).tanh() } ?? first
    }
}

/// Initial weights of encoders: normal of one deviation, biases of zero, norms of one (Devlin et al. 2019; there
/// 0.02). Unloaded ones are zeros that take no memory until a checkpoint is read into them.
struct EncoderWeights {
    private let deviation: Double
    /// Nil where weights are not loaded.
    private var generator: RandomGenerator?

    init(seed: UInt64, deviation: Double) {
        generator = RandomGenerator(seed: seed)
        self.deviation = deviation
    }

    /// Of a network that is loaded next.
    static let unloaded = EncoderWeights()

    private init() { (generator, deviation) = (nil, 0) }

    mutating func matrix(_ shape: [Int]) -> Tensor {
        guard var generator else { return .zeros([]).broadcast(to: shape) }
        defer { self.generator = generator }
        return .normal(shape, using: &generator) * deviation
    }

    mutating func linear(_ inputs: Int, _ outputs: Int) -> Linear {
        Linear(weight: matrix([outputs, inputs]), bias: .zeros([outputs]))
    }

    mutating func embedding(_ count: Int, _ size: Int) -> Embedding { Embedding(weight: matrix([count, size])) }

    func norm(_ size: Int, epsilon: Double) -> LayerNorm { LayerNorm(shape: [size], epsilon: epsilon) }
}
