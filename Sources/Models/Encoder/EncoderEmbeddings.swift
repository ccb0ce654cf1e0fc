import CoppiceNetworks
import CoppiceTensors

/// What an encoder makes of tokens before its layers: the normalized sum of their vectors, their positions' and their
/// segments'.
public final class EncoderEmbeddings: Module {
    @Submodule public var words: Embedding
    @Submodule public var positions: Embedding
    @Submodule public var tokenTypes: Embedding
    @Submodule public var norm: LayerNorm
    private let configuration: EncoderConfiguration

    init(_ configuration: EncoderConfiguration, _ weights: inout EncoderWeights) {
        self.configuration = configuration
        let size = configuration.hiddenSize
        _words = Submodule("word_embeddings", weights.embedding(configuration.vocabularySize, size))
        _positions = Submodule("position_embeddings", weights.embedding(configuration.positionCount, size))
        _tokenTypes = Submodule("token_type_embeddings", weights.embedding(configuration.tokenTypeCount, size))
        _norm = Submodule("LayerNorm", weights.norm(size, epsilon: configuration.normEpsilon))
    }

    /// Tokens `[texts, positions]`, or vectors in their place `[texts, positions, hidden]` → `[texts, positions,
    /// hidden]`.
    ///
    /// - Parameter types: the segment of each token `[texts, positions]`; nil: all are of the first.
    func callAsFunction(_ inputs: Tensor, types: Tensor?, padding: EncoderPadding?) -> Tensor {
        let length = inputs.shape[1]
        precondition(
            length <= configuration.longestText, "\(length) tokens for an encoder of \(configuration.longestText)")
        let own = inputs.dataType.isFloatingPoint ? inputs : words(inputs)
        let first = configuration.firstPosition
        let place =
            padding.map { positions($0.positions) } ?? positions.weight.slice(axis: 0, first..<(first + length))
        let segment = types.map { tokenTypes($0) } ?? tokenTypes.weight.slice(axis: 0, 0..<1)
        return norm(own + place + segment)
    }
}

/// Where the tokens of some texts are padding, and what follows from it.
struct EncoderPadding {
    /// The position of each token: i64 `[texts, positions]`.
    let positions: Tensor
    /// 0 for tokens and a large negative number for padding: f32 `[texts, 1, 1, positions]`, added to attention scores.
    let scores: Tensor

    /// Beyond it a softmax gives exactly zero in f32 and f64, and f16 still holds it.
    private static let excluded: Float = -1e4

    /// Nil where no token is padding. O(tokens).
    init?(_ tokens: Tensor, _ configuration: EncoderConfiguration) {
        guard !tokens.dataType.isFloatingPoint else { return nil }
        let all = tokens.integers()
        guard all.contains(configuration.padToken) else { return nil }
        let (texts, length) = (tokens.shape[0], tokens.shape[1])
        var places: [Int] = []
        places.reserveCapacity(all.count)
        for text in 0..<texts {
            var next = configuration.firstPosition
            for index in 0..<length {
                let isPadding = all[text * length + index] == configuration.padToken
                switch configuration.family {
                case .bert: places.append(index)
                case .roberta:
                    places.append(isPadding ? configuration.padToken : next)
                    if !isPadding { next += 1 }
                }
            }
        }
        positions = Tensor(places, shape: [texts, length])
        scores = Tensor(all.map { $0 == configuration.padToken ? Self.excluded : 0 }, shape: [texts, 1, 1, length])
    }
}
