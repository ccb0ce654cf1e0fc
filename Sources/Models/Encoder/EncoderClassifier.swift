import CoppiceNetworks
import CoppiceTensors

/// An encoder that classifies texts, or pairs of texts that are read one by one.
///
/// Parameter names are those of `BertForSequenceClassification` and `RobertaForSequenceClassification` in
/// `transformers`.
///
/// ```swift
/// let classifier = EncoderClassifier(configuration, classCount: 2, seed: 1)
/// Snapshot(of: pretrained.stack).restore(classifier.stack)
/// try training.run(classifier, on: batches)
/// ```
public final class EncoderClassifier: Module, SupervisedNetwork {
    public let configuration: EncoderConfiguration
    /// Texts of an example, read one by one; the head sees their vectors side by side.
    public let textsPerExample: Int
    /// The token that ends the first text of a pair that is read as one: those behind it are of the second segment, as
    /// BERT has it. Nil: all are of the first.
    public var separator: Int?
    @Submodule public var stack: EncoderStack
    private let dense: Submodule<Linear>?
    @Submodule public var output: Linear

    /// A network with random weights: normal matrices of the given deviation, norms of ones, biases of zeros.
    ///
    /// - Parameters:
    ///   - textsPerExample: of 2, an example is `[2 · positions]` tokens, one text behind the other, as models of code
    ///     clones read them.
    ///   - stackName: what the encoder's parameters stand under; nil for the family's name.
    /// - Precondition: a class and a text at least.
    public convenience init(
        _ configuration: EncoderConfiguration, classCount: Int, textsPerExample: Int = 1, stackName: String? = nil,
        seed: UInt64 = 0, initialDeviation: Double = 0.02
    ) {
        self.init(
            configuration, classCount, textsPerExample, stackName,
            EncoderWeights(seed: seed, deviation: initialDeviation))
    }

    /// A network whose weights are set next: its matrices are zeros that take no memory.
    public convenience init(unloaded configuration: EncoderConfiguration, classCount: Int) {
        self.init(configuration, classCount, 1, nil, .unloaded)
    }

    private init(
        _ configuration: EncoderConfiguration, _ classCount: Int, _ textsPerExample: Int, _ stackName: String?,
        _ weights: EncoderWeights
    ) {
        precondition(classCount > 0 && textsPerExample > 0, "a classifier of no size")
        var weights = weights
        let size = configuration.hiddenSize
        self.configuration = configuration
        self.textsPerExample = textsPerExample
        let isBERT = configuration.family == .bert
        _stack = Submodule(
            stackName ?? configuration.family.rawValue, EncoderStack(configuration, hasPooler: isBERT, &weights))
        dense = isBERT ? nil : Submodule("classifier.dense", weights.linear(size * textsPerExample, size))
        _output = Submodule(
            isBERT ? "classifier" : "classifier.out_proj",
            weights.linear(isBERT ? size * textsPerExample : size, classCount))
    }

    /// Scores of the classes: tokens `[examples, texts · positions]` → `[examples, classes]`.
    ///
    /// - Parameters:
    ///   - inputs: or vectors `[examples, texts · positions, hidden]` in the place of tokens.
    ///   - types: the segment of each token; nil: all are of the first.
    public func callAsFunction(_ inputs: Tensor, types: Tensor? = nil) -> Tensor {
        precondition(inputs.shape[1] % textsPerExample == 0, "\(inputs.shape[1]) tokens for \(textsPerExample) texts")
        let (examples, length) = (inputs.shape[0], inputs.shape[1] / textsPerExample)
        func apart(_ x: Tensor) -> Tensor {
            textsPerExample == 1 ? x : x.reshaped([examples * textsPerExample, length] + x.shape.dropFirst(2))
        }
        let texts = stack.pooled(stack(apart(inputs), types: types.map(apart)))
        return scores(texts.reshaped([examples, textsPerExample * configuration.hiddenSize]))
    }

    /// Of texts in a vector each: `[examples, features]` → `[examples, classes]`.
    private func scores(_ features: Tensor) -> Tensor {
        output(dense.map { $0.wrappedValue(features).tanh() } ?? features)
    }

    public func outputs(_ inputs: Tensor) -> Tensor { self(inputs, types: segments(of: inputs)) }
}

/// Of examples of one text, or of a pair that is read as one.
extension EncoderClassifier: EncoderNetwork {
    public func segments(of tokens: Tensor) -> Tensor? {
        guard let separator, !tokens.dataType.isFloatingPoint else { return nil }
        let (all, length) = (tokens.integers(), tokens.shape[1])
        var hasEnded = false
        let segments = all.enumerated().map { place, token in
            if place % length == 0 { hasEnded = false }
            defer { if token == separator { hasEnded = true } }
            return hasEnded ? 1 : 0
        }
        return Tensor(segments, shape: tokens.shape)
    }

    public func unloaded(_ configuration: EncoderConfiguration) -> EncoderClassifier {
        let network = EncoderClassifier(unloaded: configuration, classCount: output.outputCount)
        network.separator = separator
        return network
    }

    /// A text in one vector, behind the pooler where there is one.
    public func headInput(ofHidden hidden: Tensor) -> Tensor { stack.pooled(hidden) }

    public func outputs(ofHidden hidden: Tensor) -> Tensor {
        precondition(textsPerExample == 1, "\(textsPerExample) texts of an example")
        return scores(stack.pooled(hidden))
    }
}
