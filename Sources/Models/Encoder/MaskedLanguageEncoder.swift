import CoppiceNetworks
import CoppiceTensors

/// An encoder that fills gaps in texts: BERT and RoBERTa as they are pre-trained.
///
/// Parameter names are those of `BertForMaskedLM` and `RobertaForMaskedLM` in `transformers`; the output layer shares
/// the table of words.
///
/// ```swift
/// let model = MaskedLanguageEncoder(configuration, seed: 1)
/// try model.load(source: file.path) { try file.tensor($0) }
/// let scores = model.outputs(tokens)                     // [texts, positions, vocabulary]
/// ```
public final class MaskedLanguageEncoder: Module, SupervisedNetwork {
    public let configuration: EncoderConfiguration
    @Submodule public var stack: EncoderStack
    @Submodule public var dense: Linear
    @Submodule public var norm: LayerNorm
    @Parameter public var bias: Tensor

    /// A network with random weights: normal matrices of the given deviation, norms of ones, biases of zeros.
    public convenience init(_ configuration: EncoderConfiguration, seed: UInt64 = 0, initialDeviation: Double = 0.02) {
        self.init(configuration, EncoderWeights(seed: seed, deviation: initialDeviation))
    }

    /// A network whose weights are set next: its matrices are zeros that take no memory.
    public convenience init(unloaded configuration: EncoderConfiguration) { self.init(configuration, .unloaded) }

    private init(_ configuration: EncoderConfiguration, _ weights: EncoderWeights) {
        var weights = weights
        let size = configuration.hiddenSize
        self.configuration = configuration
        _stack = Submodule(
            configuration.family.rawValue, EncoderStack(configuration, hasPooler: false, &weights))
        let names =
            switch configuration.family {
            case .bert:
                ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.bias")
            case .roberta: ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias")
            }
        _dense = Submodule(names.0, weights.linear(size, size))
        _norm = Submodule(names.1, weights.norm(size, epsilon: configuration.normEpsilon))
        _bias = Parameter(names.2, .zeros([configuration.vocabularySize]))
    }

    /// Scores of every token of the vocabulary for each place: `[texts, positions]` → `[texts, positions, vocabulary]`.
    ///
    /// - Parameter types: the segment of each token; nil: all are of the first.
    public func callAsFunction(_ inputs: Tensor, types: Tensor? = nil) -> Tensor { scores(stack(inputs, types: types)) }

    public func outputs(_ inputs: Tensor) -> Tensor { self(inputs) }

    /// The mean cross-entropy over the places whose target is not negative. Scores are made of those places alone.
    public func loss(_ batch: LabeledBatch) -> Tensor {
        let targets = batch.targets.integers()
        let places = targets.indices.filter { targets[$0] >= 0 }
        let rows = stack(batch.inputs).reshaped([-1, configuration.hiddenSize])
        // Without any target the loss is zero, but still a function of the parameters.
        let chosen = places.isEmpty ? [0] : places
        return scores(rows.take(Tensor(chosen))).meanCrossEntropy(targets: Tensor(chosen.map { targets[$0] }))
    }

    /// `[..., hidden]` → `[..., vocabulary]`.
    func scores(_ hidden: Tensor) -> Tensor {
        stack.embeddings.words.scores(norm(dense(hidden).gelu())) + bias
    }
}
