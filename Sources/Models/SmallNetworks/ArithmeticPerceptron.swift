import CoppiceNetworks
import CoppiceTensors

/// logits = U O max(0, I E[a] + I E[b]): a rectified layer on the sum of two embeddings, without biases (Minegishi,
/// Iwasawa and Matsuo, "Bridging lottery ticket and grokking: understanding grokking from inner structure of networks",
/// 2023). Symmetric in a and b.
///
/// Tensors are `embedding.weight` (E) `[tokens, embedding]`, `input.weight` (I) `[hidden, embedding]`,
/// `output.weight` (O) `[embedding, hidden]`, `unembedding.weight` (U) `[classes, embedding]`. The products I E and U O
/// are of weights alone and small, so they are taken first: an example then costs a sum of two rows and one product.
public final class ArithmeticPerceptron: Module, ArithmeticNetwork {
    public struct Configuration: Sendable, Hashable {
        public var tokens: Int
        public var classes: Int
        /// The length of embeddings (the paper: 500).
        public var embeddingSize: Int
        /// Rectified neurons (the paper: 48).
        public var hiddenSize: Int
        /// What initial weights are multiplied by.
        public var scale: Double

        /// - Precondition: positive sizes.
        public init(tokens: Int, classes: Int, embeddingSize: Int = 128, hiddenSize: Int = 128, scale: Double = 1) {
            precondition(min(tokens, classes, embeddingSize, hiddenSize) > 0, "a network of no size")
            self.tokens = tokens
            self.classes = classes
            self.embeddingSize = embeddingSize
            self.hiddenSize = hiddenSize
            self.scale = scale
        }
    }

    public let configuration: Configuration
    @Submodule public var embedding: Embedding
    @Submodule public var input: Linear
    @Submodule public var output: Linear
    @Submodule public var unembedding: Linear

    public var tokenCount: Int { configuration.tokens }

    /// A network with random weights.
    public init(_ configuration: Configuration, seed: UInt64 = 0) {
        self.configuration = configuration
        var layers = NormalLayers(scale: configuration.scale, seed: seed)
        let (size, hidden) = (configuration.embeddingSize, configuration.hiddenSize)
        _embedding = Submodule("embedding", layers.embedding(configuration.tokens, size))
        _input = Submodule("input", layers.linear(size, hidden))
        _output = Submodule("output", layers.linear(hidden, size))
        _unembedding = Submodule("unembedding", layers.linear(size, configuration.classes))
    }

    /// → `[examples, classes]`.
    public func outputs(_ inputs: Tensor) -> Tensor {
        checkInputs(inputs)
        let table = embedding.weight.matmul(input.weight.transposed())
        let head = unembedding.weight.matmul(output.weight)
        let hidden =
            inputs.dataType.isFloatingPoint
            ? inputs.sum(axes: [1]).matmul(table).rectified()
            : table.rectifiedPairSum(tokens(inputs, at: 0), tokens(inputs, at: 1))
        return hidden.matmul(head.transposed())
    }
}
