import CoppiceNetworks
import CoppiceTensors

/// One block of causal attention with one head and one rectified layer, on two tokens, without biases, norms and
/// positions; the logits are read at the second token (after Nanda et al., "Progress measures for grokking via
/// mechanistic interpretability", 2023).
///
/// With x = E[b] + O Σ p V E[token] over both tokens, p the softmax of b's query with their keys / √size:
/// logits = U (x + D max(0, A x)). Tensors are `embedding` (E) `[tokens, size]`, `attention.query`, `.key`, `.value`,
/// `.output` `[size, size]`, `mlp.up` (A) `[hidden, size]`, `mlp.down` (D) `[size, hidden]`, `unembedding` (U)
/// `[classes, size]`, each with `.weight`.
///
/// Without positions all that is linear in a token is a table over tokens, which is computed first; an example then
/// costs sums of rows and one product.
public final class ArithmeticTransformer: Module, ArithmeticNetwork {
    public struct Configuration: Sendable, Hashable {
        public var tokens: Int
        public var classes: Int
        /// The length of token vectors.
        public var size: Int
        /// Rectified neurons.
        public var hiddenSize: Int
        /// What initial weights are multiplied by.
        public var scale: Double

        /// - Precondition: positive sizes.
        public init(tokens: Int, classes: Int, size: Int = 128, hiddenSize: Int? = nil, scale: Double = 1) {
            precondition(min(tokens, classes, size, hiddenSize ?? size) > 0, "a network of no size")
            self.tokens = tokens
            self.classes = classes
            self.size = size
            self.hiddenSize = hiddenSize ?? size
            self.scale = scale
        }
    }

    public let configuration: Configuration
    @Submodule public var embedding: Embedding
    @Submodule public var query: Linear
    @Submodule public var key: Linear
    @Submodule public var value: Linear
    @Submodule public var output: Linear
    @Submodule public var up: Linear
    @Submodule public var down: Linear
    @Submodule public var unembedding: Linear

    public var tokenCount: Int { configuration.tokens }

    /// A network with random weights.
    public init(_ configuration: Configuration, seed: UInt64 = 0) {
        self.configuration = configuration
        var layers = NormalLayers(scale: configuration.scale, seed: seed)
        let size = configuration.size
        _embedding = Submodule("embedding", layers.embedding(configuration.tokens, size))
        _query = Submodule("attention.query", layers.linear(size, size))
        _key = Submodule("attention.key", layers.linear(size, size))
        _value = Submodule("attention.value", layers.linear(size, size))
        _output = Submodule("attention.output", layers.linear(size, size))
        _up = Submodule("mlp.up", layers.linear(size, configuration.hiddenSize))
        _down = Submodule("mlp.down", layers.linear(configuration.hiddenSize, size))
        _unembedding = Submodule("unembedding", layers.linear(size, configuration.classes))
    }

    /// → `[examples, classes]`.
    public func outputs(_ inputs: Tensor) -> Tensor {
        checkInputs(inputs)
        // What the attended value adds to each token's vector, and what rectified layer and unembedding read of both.
        let added = embedding.weight.matmul(value.weight.transposed()).matmul(output.weight.transposed())
        let readers = Tensor.concatenated([up.weight, unembedding.weight], axis: 0).transposed()
        let (own, attended) = ((embedding.weight + added).matmul(readers), added.matmul(readers))
        let read =
            inputs.dataType.isFloatingPoint
            ? mixed(weights(inputs, at: 0), weights(inputs, at: 1), own, attended)
            : looked(up: tokens(inputs, at: 0), tokens(inputs, at: 1), own, attended)
        let hidden = read.slice(axis: 1, 0..<configuration.hiddenSize).rectified()
        let skipped = read.slice(axis: 1, configuration.hiddenSize..<readers.shape[1])
        return skipped + hidden.matmul(unembedding.weight.matmul(down.weight).transposed())
    }

    private var queries: Tensor { embedding.weight.matmul(query.weight.transposed()) }
    private var keys: Tensor { embedding.weight.matmul(key.weight.transposed()) }
    private var scoreScale: Double { 1 / Double(configuration.size).squareRoot() }

    /// own[b] + p (attended[a] − attended[b]), with p the attention from b to a.
    private func looked(up a: Tensor, _ b: Tensor, _ own: Tensor, _ attended: Tensor) -> Tensor {
        let scores = (queries.matmul(keys.transposed()) * scoreScale).reshaped([-1])
        let row = b * Tensor(Double(tokenCount), dataType: b.dataType)
        let share = (scores.take(row + a) - scores.take(row + b)).sigmoid().expanded(at: -1)
        return own.take(b) + share * (attended.take(a) - attended.take(b))
    }

    private func mixed(_ a: Tensor, _ b: Tensor, _ own: Tensor, _ attended: Tensor) -> Tensor {
        let asked = b.matmul(queries)
        let difference = (asked * (a - b).matmul(keys)).sum(axes: [-1], keepingDimensions: true)
        return b.matmul(own) + (difference * scoreScale).sigmoid() * (a - b).matmul(attended)
    }
}
