/// The description of a bidirectional encoder of the BERT kind: everything but its weights and its tokenizer.
public struct EncoderConfiguration: Sendable, Hashable {
    /// Families whose encoders differ in how they count positions and in their heads.
    ///
    /// - `bert`: Devlin et al., "BERT: Pre-training of deep bidirectional transformers for language understanding",
    ///   2019. Positions count from 0; a pooler feeds the classifier.
    /// - `roberta`: Liu et al., "RoBERTa: A robustly optimized BERT pretraining approach", 2019. Positions of tokens
    ///   count from behind ``padToken``, which is the position of padding.
    public enum Family: String, Sendable, CaseIterable {
        case bert, roberta
    }

    public var family: Family
    public var vocabularySize: Int
    public var hiddenSize: Int
    /// Size of the feed-forward layer.
    public var intermediateSize: Int
    public var layerCount: Int
    public var headCount: Int
    /// Numbers of a head. `transformers` has encoders with ``hiddenSize`` / ``headCount`` alone.
    public var headSize: Int
    /// Rows of the table of positions. RoBERTa's has ``padToken`` + 1 that no token uses.
    public var positionCount: Int
    /// Kinds of segments that tokens are told apart by.
    public var tokenTypeCount: Int
    public var normEpsilon: Double
    /// Fills up short texts; nothing attends to it.
    public var padToken: Int

    /// Defaults are those of `transformers` for a field that a configuration leaves out.
    ///
    /// - Parameter headSize: nil where the heads together are of the hidden size.
    /// - Precondition: positive sizes, without a head size heads that divide the hidden size, a pad token of the
    ///   vocabulary.
    public init(
        family: Family = .roberta, vocabularySize: Int, hiddenSize: Int, intermediateSize: Int? = nil, layerCount: Int,
        headCount: Int, headSize: Int? = nil, positionCount: Int = 512, tokenTypeCount: Int = 2,
        normEpsilon: Double = 1e-12, padToken: Int? = nil
    ) {
        let pad = padToken ?? (family == .roberta ? 1 : 0)
        precondition(
            [vocabularySize, hiddenSize, layerCount, headCount, headSize ?? 1, positionCount, tokenTypeCount]
                .allSatisfy { $0 > 0 }, "an encoder of no size")
        precondition(
            headSize != nil || hiddenSize % headCount == 0, "\(headCount) heads for a hidden size of \(hiddenSize)")
        precondition((0..<vocabularySize).contains(pad), "the pad token \(pad) of \(vocabularySize) tokens")
        self.family = family
        self.vocabularySize = vocabularySize
        self.hiddenSize = hiddenSize
        self.intermediateSize = intermediateSize ?? 4 * hiddenSize
        self.layerCount = layerCount
        self.headCount = headCount
        self.headSize = headSize ?? hiddenSize / headCount
        self.positionCount = positionCount
        self.tokenTypeCount = tokenTypeCount
        self.normEpsilon = normEpsilon
        self.padToken = pad
    }

    /// Numbers of all heads.
    public var attentionSize: Int { headCount * headSize }

    /// The position of a text's first token.
    public var firstPosition: Int { family == .roberta ? padToken + 1 : 0 }

    /// Tokens of the longest text.
    public var longestText: Int { max(0, positionCount - firstPosition) }
}
